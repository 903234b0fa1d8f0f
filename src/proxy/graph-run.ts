import { randomUUID } from 'node:crypto';
import { UnknownJobError } from '../errors.ts';
import { isJobRef, jobRef } from '../job-ref.ts';
import { type CodecContext, encode } from '../protocol/codec.ts';
import { errorFrom } from '../protocol/errors.ts';
import { Outcome, ToManager } from '../protocol/messages.ts';
import type { Item } from '../protocol/wire.ts';
import type { JobRef, TaskState } from '../tasks.ts';
import { checkTimeout, type WaitOptions, watchWait } from '../waiting.ts';
import { EventStream } from './event-stream.ts';
import { type JobGraph, jobsOf, type SubmittedJob } from './job-graph.ts';
import { PendingCall } from './pending.ts';
import { settingItems } from './put-options.ts';
import type { TaskCalls } from './task-calls.ts';

/** How a graph is run. */
export interface RunGraphOptions {
  /** Your own id of the run: submitting the same graph under it again gives the run that is there. */
  id?: string | undefined;
  /** Aborting cancels the run. */
  signal?: AbortSignal | undefined;
}

/** A job of a run has moved. */
export interface JobEvent {
  readonly job: string;
  /** The handler's name. */
  readonly name: string;
  readonly state: TaskState;
  /** Wall-clock time (ms since 1970). */
  readonly at: number;
  /** Who runs or ran it. */
  readonly worker?: string;
  readonly pid?: number;
  /** Why it did not succeed. */
  readonly error?: string;
}

/** How far a run is. */
export interface RunProgress {
  readonly total: number;
  /** In a final state, whichever. */
  readonly done: number;
  readonly running: number;
  readonly failed: number;
  readonly skipped: number;
}

/** One run of a job graph. The manager moves it; this watches it. */
export class GraphRun implements AsyncDisposable {
  /** Its id: a job's task id is `id/job`. */
  readonly id: string;
  readonly #calls: TaskCalls;
  readonly #jobs: readonly SubmittedJob[];
  readonly #ids: ReadonlySet<string>;
  readonly #submitted: Promise<void>;
  #ended: Promise<Record<string, unknown>> | undefined;
  #closed = false;

  constructor(calls: TaskCalls, id: string, jobs: readonly SubmittedJob[], submitted: Promise<void>) {
    this.#calls = calls;
    this.id = id;
    this.#jobs = jobs;
    this.#ids = new Set(jobs.map((job) => job.id));
    this.#submitted = submitted;
  }

  /**
   * Waits for the end of the run: the outputs, by id, of the jobs that nobody consumes and of those with `keep`.
   * @throws the error of the first job that did not succeed
   */
  async result(options?: WaitOptions): Promise<Record<string, unknown>> {
    checkTimeout(options?.timeout);
    options?.signal?.throwIfAborted();
    const ended = (this.#ended ??= this.#end());
    ended.catch(() => {});
    return this.#calls.lending(() => within(ended, options, `run '${this.id}'`));
  }

  /** The output of one job, as soon as it has it. */
  async output<Out>(job: JobRef<Out> | string, options?: WaitOptions): Promise<Out> {
    const id = typeof job === 'string' ? job : isJobRef(job) ? job[jobRef].id : job.id;
    if (!this.#ids.has(id)) throw new UnknownJobError(`run '${this.id}' has no job '${id}'`, [id]);
    await this.#submitted;
    return this.#calls.lending(() => this.#outputOf(id, options)) as Promise<Out>;
  }

  /** Every job's state as it is now, then every change, until the run has ended. */
  events(): AsyncIterable<JobEvent> {
    return new EventStream<JobEvent>((push) => this.#follow((item) => push(eventFrom(item))));
  }

  /** How far the run is, at every change, until it has ended. */
  progress(): AsyncIterable<RunProgress> {
    return new EventStream<RunProgress>((push) => {
      const states = new Map<string, TaskState>();
      const count = { total: this.#jobs.length, done: 0, running: 0, failed: 0, skipped: 0 };
      return this.#follow((item) => {
        const { job, state } = eventFrom(item);
        tally(count, states.get(job), -1);
        tally(count, state, 1);
        states.set(job, state);
        push({ ...count });
      });
    });
  }

  /** Cancels every job that has not ended. */
  async cancel(reason?: string): Promise<void> {
    await this.#submitted;
    await this.#calls.call('cancelRun', [this.id, reason]);
  }

  /** Nobody will ask for its outputs any more: from here on its records go by retention. Also with the client. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#submitted;
    if (!this.#calls.connection.closed) await this.#calls.call('closeRun', [this.id]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #end(): Promise<Record<string, unknown>> {
    await this.#submitted;
    const answer = await this.#calls.call('watchRun', [this.id, false]);
    const failed = Array.isArray(answer) ? (answer[0] as Item) : undefined;
    if (typeof failed === 'string') await this.#outputOf(failed);
    const wanted = this.#jobs.filter((job) => job.keep || !job.consumed);
    const outputs = await Promise.all(wanted.map((job) => this.#outputOf(job.id)));
    return Object.fromEntries(wanted.map((job, at) => [job.id, outputs[at]]));
  }

  async #outputOf(job: string, options?: WaitOptions): Promise<unknown> {
    const answer = await this.#calls.call('outcome', [`${this.id}/${job}`], options);
    const [outcome, value] = answer as readonly [Item, Item];
    if (outcome === Outcome.succeeded) return this.#calls.unpack(value);
    throw errorFrom(value, this.#calls.connection.codec);
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

/** Checks the graph whole and sends it in one piece. What is wrong with it is thrown here, before anything is sent. */
export function submitGraph<H>(calls: TaskCalls, graph: JobGraph<H>, options: RunGraphOptions): GraphRun {
  const { id = randomUUID(), signal } = options;
  if (typeof id !== 'string' || id === '' || id.includes('/') || id.length > 400) {
    throw new TypeError("the id of a run must be a string of 1 to 400 characters without '/'");
  }
  signal?.throwIfAborted();
  const jobs = jobsOf(graph);
  const codec = contextFor(calls, id, new Set(jobs.map((job) => job.id)));
  const items = jobs.map((job): Item => [
    job.id,
    job.name,
    encode(job.input, codec, `input of job '${job.id}'`),
    job.after,
    job.outside.map((ref) => outsideId(ref, calls.queue)),
    settingItems(job.options) ?? [],
    job.keep,
  ]);
  const submitted = send(calls, id, items);
  submitted.catch(() => {});
  const run = new GraphRun(calls, id, jobs, submitted);
  signal?.addEventListener('abort', () => void run.cancel('its caller aborted').catch(() => {}), { once: true });
  return run;
}

/** Jobs of the graph are tasks 'run/job' of the queue from here on. */
function contextFor(calls: TaskCalls, run: string, ids: ReadonlySet<string>): CodecContext {
  return {
    ...calls.connection.codec,
    jobRef: (value) => {
      if (!isJobRef(value)) return undefined;
      const { queue, id } = value[jobRef];
      if (queue !== undefined) return { queue, id };
      return ids.has(id) ? { queue: calls.queue, id: `${run}/${id}` } : undefined;
    },
  };
}

function outsideId(ref: JobRef, queue: string): string {
  if (!isJobRef(ref)) return ref.id;
  const target = ref[jobRef];
  if (target.queue !== undefined && target.queue !== queue) {
    throw new UnknownJobError(`task '${target.id}' is in queue '${target.queue}', and the graph runs in '${queue}'`, [
      target.id,
    ]);
  }
  return target.id;
}

function send({ connection, handle }: TaskCalls, run: string, items: readonly Item[]): Promise<void> {
  return new Promise((resolve, reject) => {
    connection.handles.check(handle);
    const id = connection.begin(new PendingCall(() => resolve(), reject));
    const start = connection.link.begin(ToManager.GRAPH);
    const { writer } = connection.link;
    writer.u32(id);
    writer.u32(handle);
    writer.item(run);
    writer.item(items);
    connection.finish(start, id);
  });
}

function eventFrom(item: Item): JobEvent {
  const [job, name, state, at, worker, pid, error] = item as readonly Item[];
  return {
    job: job as string,
    name: name as string,
    state: state as TaskState,
    at: Number(at),
    ...(typeof worker === 'string' ? { worker } : {}),
    ...(typeof pid === 'number' ? { pid } : {}),
    ...(typeof error === 'string' ? { error } : {}),
  };
}

type Counts = { -readonly [K in keyof RunProgress]: number };

function tally(count: Counts, state: TaskState | undefined, by: number): void {
  switch (state) {
    case 'leased':
      count.running += by;
      return;
    case 'failed':
    case 'cancelled':
    case 'expired':
      count.failed += by;
      count.done += by;
      return;
    case 'skipped':
      count.skipped += by;
      count.done += by;
      return;
    case 'succeeded':
      count.done += by;
      return;
    default:
  }
}

function within<T>(promise: Promise<T>, options: WaitOptions | undefined, what: string): Promise<T> {
  if (options?.signal === undefined && options?.timeout === undefined) return promise;
  return new Promise((resolve, reject) => {
    const end = watchWait(options, what, reject);
    void promise.then(resolve, reject).finally(end);
  });
}
