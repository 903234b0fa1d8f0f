import { UnknownJobError } from '../errors.ts';
import { isJobRef, jobRef } from '../job-ref.ts';
import { errorFrom } from '../protocol/errors.ts';
import { Outcome } from '../protocol/messages.ts';
import type { Item } from '../protocol/wire.ts';
import type { JobRef } from '../tasks.ts';
import { checkTimeout, type WaitOptions, watchWait } from '../waiting.ts';
import type { DurationsFile } from './durations-file.ts';
import { EventStream } from './event-stream.ts';
import { eventFrom, type JobEvent, type RunProgress, Tally } from './run-events.ts';
import type { TaskCalls } from './task-calls.ts';

/** What a run is made of. */
interface Submission {
  readonly calls: TaskCalls;
  readonly id: string;
  /** Ids of its jobs, and of those whose outputs are its result. */
  readonly jobs: ReadonlySet<string>;
  readonly wanted: readonly string[];
  readonly submitted: Promise<void>;
  readonly signal: AbortSignal | undefined;
  readonly file: DurationsFile | undefined;
}

/**
 * One run of a job graph. The manager moves it; this watches it.
 *
 * All outputs stay until the run is closed, here or with its client: so long can what failed be retried. After that they
 * go by the queue's `keepRecords`, as those of any task, but never before every job that consumes them has ended.
 */
export class GraphRun implements AsyncDisposable {
  /** Its id: a job's task id is `id/job`. */
  readonly id: string;
  readonly #calls: TaskCalls;
  readonly #jobs: ReadonlySet<string>;
  readonly #wanted: readonly string[];
  readonly #submitted: Promise<void>;
  readonly #file: DurationsFile | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #aborted = (): void => void this.cancel('its caller aborted').catch(() => {});
  #ended: Promise<Record<string, unknown>> | undefined;
  #closed = false;

  constructor({ calls, id, jobs, wanted, submitted, signal, file }: Submission) {
    this.#calls = calls;
    this.id = id;
    this.#jobs = jobs;
    this.#wanted = wanted;
    this.#submitted = submitted;
    this.#file = file;
    this.#signal = signal;
    signal?.addEventListener('abort', this.#aborted);
    if (file !== undefined) void this.#end();
  }

  /**
   * Waits for the end of the run: the outputs, by id, of the jobs that nobody consumes and of those with `keep`; of one
   * that failed with `onFailure: 'ignore'`, undefined.
   * @throws the error of the first job that did not succeed, also of one that a job has put, and was not ignored
   */
  async result(options?: WaitOptions): Promise<Record<string, unknown>> {
    checkTimeout(options?.timeout);
    options?.signal?.throwIfAborted();
    const ended = this.#end();
    return this.#calls.lending(() => within(ended, options, `run '${this.id}'`));
  }

  /** The output of one job, as soon as it has it. @throws its error, or why it was skipped */
  async output<Out>(job: JobRef<Out> | string, options?: WaitOptions): Promise<Out> {
    const id = typeof job === 'string' ? job : isJobRef(job) ? job[jobRef].id : job.id;
    if (!this.#jobs.has(id)) throw new UnknownJobError(`run '${this.id}' has no job '${id}'`, [id]);
    await this.#submitted;
    return this.#calls.lending(() => this.#outputOf(`${this.id}/${id}`, options)) as Promise<Out>;
  }

  /** The state as it is now of every job and of what jobs have put, then every change, until the run has ended. */
  events(): AsyncIterable<JobEvent> {
    return new EventStream<JobEvent>((push) => this.#follow((item) => push(eventFrom(item))));
  }

  /** How far the run is, at every change, until it has ended. */
  progress(): AsyncIterable<RunProgress> {
    return new EventStream<RunProgress>((push) => {
      const tally = new Tally(this.#jobs.size);
      return this.#follow((item) => push(tally.add(eventFrom(item))));
    });
  }

  /** Cancels every job that has not ended, and what jobs have put. */
  async cancel(reason?: string): Promise<void> {
    await this.#submitted;
    await this.#calls.call('cancelRun', [this.id, reason]);
  }

  /**
   * Runs anew what did not succeed: jobs that failed, expired or were cancelled, and those that were skipped; what has
   * succeeded is not run again. `result()` is of all of it from here on. Also while the run goes on.
   * @returns how many
   */
  async retryFailed(): Promise<number> {
    this.#ended = undefined;
    await this.#submitted;
    const retried = this.#calls.call('retryRun', [this.id]);
    if (this.#file !== undefined) void this.#end();
    return (await retried) as number;
  }

  /** Nobody will ask for its outputs any more: from here on its records go by retention. It goes on. Also with the client. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#signal?.removeEventListener('abort', this.#aborted);
    await this.#submitted;
    if (!this.#calls.connection.closed) await this.#calls.call('closeRun', [this.id]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The end of the run: watched once, and nobody's failure while nobody asks. */
  #end(): Promise<Record<string, unknown>> {
    if (this.#ended !== undefined) return this.#ended;
    const ended = this.#watchEnd();
    ended.catch(() => {});
    return (this.#ended = ended);
  }

  async #watchEnd(): Promise<Record<string, unknown>> {
    await this.#submitted;
    const answer = await this.#calls.call('watchRun', [this.id, false, this.#file !== undefined]);
    const [failed, ran] = answer as readonly Item[];
    this.#signal?.removeEventListener('abort', this.#aborted);
    this.#learn(ran);
    if (typeof failed === 'string') await this.#outputOf(failed);
    const outputs = await Promise.all(this.#wanted.map((job) => this.#outputIfAny(`${this.id}/${job}`)));
    return Object.fromEntries(this.#wanted.map((job, at) => [job, outputs[at]]));
  }

  /** Losing what was learned spoils nothing but the order of the next run. */
  #learn(ran: Item): void {
    if (this.#file === undefined || !Array.isArray(ran)) return;
    const items = ran as readonly Item[];
    const jobs: [string, string, number][] = [];
    for (let at = 0; at + 2 < items.length; at += 3) {
      jobs.push([items[at] as string, items[at + 1] as string, items[at + 2] as number]);
    }
    try {
      this.#file.learn(jobs);
    } catch (error) {
      process.emitWarning(`durations of run '${this.id}' were not kept: ${(error as Error).message}`);
    }
  }

  async #outcomeOf(task: string, options?: WaitOptions): Promise<readonly [Item, Item]> {
    return (await this.#calls.call('outcome', [task], options)) as readonly [Item, Item];
  }

  async #outputOf(task: string, options?: WaitOptions): Promise<unknown> {
    const [outcome, value] = await this.#outcomeOf(task, options);
    if (outcome === Outcome.succeeded) return this.#calls.unpack(value);
    throw errorFrom(value, this.#calls.connection.codec);
  }

  /** The run has succeeded: what has not is ignored. */
  async #outputIfAny(task: string): Promise<unknown> {
    const [outcome, value] = await this.#outcomeOf(task);
    return outcome === Outcome.succeeded ? this.#calls.unpack(value) : undefined;
  }

  #follow(report: (item: Item) => void): { done: Promise<unknown>; stop(): void } {
    let stopped = false;
    let stop = (): void => {
      stopped = true;
    };
    const done = this.#submitted.then(() => {
      if (stopped) return undefined;
      const following = this.#calls.follow('watchRun', [this.id, true], report);
      stop = () => following.stop();
      return following.done;
    });
    done.catch(() => {});
    return { done, stop: () => stop() };
  }
}

function within<T>(promise: Promise<T>, options: WaitOptions | undefined, what: string): Promise<T> {
  if (options?.signal === undefined && options?.timeout === undefined) return promise;
  return new Promise((resolve, reject) => {
    const end = watchWait(options, what, reject);
    void promise.then(resolve, reject).finally(end);
  });
}
