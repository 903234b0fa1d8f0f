/**
 * Runs of job graphs. A graph arrives in one piece, is checked whole, and becomes tasks with the ids 'run/job'; from
 * then on the queue's own dependencies move it, with no round trip to whoever submitted it. Tasks that its jobs put are
 * part of it.
 *
 * A run pins the records of its tasks, and with them inputs and outputs, until it is closed: so long can it be retried.
 * Beyond that an output stays until all that comes after it has ended.
 */
import { DuplicateTaskError, UnknownJobError, UnknownTaskError } from '../../errors.ts';
import { Durations } from '../../graph/durations.ts';
import { levels } from '../../graph/levels.ts';
import { ToClient } from '../../protocol/messages.ts';
import { type Item, Packed } from '../../protocol/wire.ts';
import type { TaskQueue, TaskSpec } from '../../queue/queue.ts';
import type { Job } from '../../queue/run.ts';
import type { OnFailure } from '../../tasks.ts';
import { State, stateNames, type Task } from '../../queue/task.ts';
import type { Answer, Call } from '../call.ts';
import type { ManagerCore } from '../core.ts';
import type { Session } from '../session.ts';
import { checkSubmitted, type Submitted } from './graph-check.ts';
import { payloadFrom, sameInput } from './payload.ts';
import type { GraphJob } from './put-options.ts';
import { durationOf, type Follower, Run, type RunRules } from './run.ts';
import type { WorkerInfo } from './taker.ts';

/** A job as a task to put, without its part in the run. */
export type SpecOf = (job: GraphJob, after: readonly string[]) => TaskSpec;

export class Runs {
  readonly #manager: ManagerCore;
  readonly #queue: TaskQueue;
  readonly #runs = new Map<string, Run>();
  /** Learned from all runs so far. */
  readonly #durations = new Durations();

  constructor(manager: ManagerCore, queue: TaskQueue) {
    this.#manager = manager;
    this.#queue = queue;
  }

  /** All of it or nothing. A run of that id that is there already must be the same one. */
  submit(session: Session, id: string, rules: RunRules, jobs: readonly GraphJob[], specOf: SpecOf, now: number): void {
    const existing = this.#runs.get(id);
    if (existing === undefined) this.#begin(id, rules, jobs, specOf, now);
    else checkSame(existing, jobs);
    this.#hold(session, this.#find(id));
  }

  #begin(id: string, rules: RunRules, jobs: readonly GraphJob[], specOf: SpecOf, now: number): void {
    const { graph, order, outside } = this.#check(id, jobs);
    const { records } = this.#queue;
    // What ends as soon as it is put may be the reason why another record goes.
    for (const task of outside) records.pin(task);
    const run = new Run(id, jobs.length, rules);
    const weights = levels(graph, order, this.#weigher(jobs, rules));
    this.#runs.set(id, run);
    for (const index of order) {
      const job = withSharedIds(jobs[index] as GraphJob, this.#queue);
      const spec = specOf(job, [...job.after.map((before) => `${id}/${before}`), ...job.outside]);
      const onFailure = job.options.onFailure ?? rules.onFailure;
      const part: Job = { run, weight: weights[index] as number, onFailure };
      this.#queue.put({ ...spec, id: `${id}/${job.id}`, job: part }, now);
    }
    for (const task of outside) records.unpin(task);
  }

  #check(id: string, jobs: readonly GraphJob[]): Submitted & { readonly outside: ReadonlySet<Task> } {
    const submitted = checkSubmitted(jobs);
    const found = new Set<Task>();
    for (const job of jobs) {
      if (this.#queue.records.get(`${id}/${job.id}`) !== undefined) {
        throw new DuplicateTaskError(`task '${id}/${job.id}' exists already: choose another id for the run`);
      }
      checkNamed(id, job);
      for (const outside of job.outside) {
        const task = this.#queue.records.get(outside);
        if (task === undefined) {
          throw new UnknownTaskError(`job '${job.id}' comes after task '${outside}', which is not there (any more)`);
        }
        found.add(task);
      }
    }
    return { ...submitted, outside: found };
  }

  /** How long each job will take: as told, as learned, or as those of which something is known take on average. */
  #weigher(jobs: readonly GraphJob[], { estimates }: RunRules): (node: number) => number {
    const known = jobs.map(({ id, name }, at) => estimates[at] ?? this.#durations.of(name, id));
    let sum = 0;
    let count = 0;
    for (const ms of known) {
      if (ms === undefined) continue;
      sum += ms;
      count++;
    }
    const mean = count === 0 ? 1 : sum / count;
    return (node) => known[node] ?? mean;
  }

  /** The run stays until every session that has submitted it has closed it, or has ended. */
  #hold(session: Session, run: Run): void {
    const holder = run.holders.get(session);
    if (holder !== undefined) {
      holder.times++;
      return;
    }
    const ended = (): void => this.#leave(session, run);
    run.holders.set(session, { times: 1, ended });
    session.holdings.add(ended);
  }

  /** The part in its parent's run of a task that a job puts; it has room there from here on. */
  childOf({ job }: Task, onFailure: OnFailure | undefined): Job | undefined {
    if (job === undefined) {
      if (onFailure === undefined) return undefined;
      throw new TypeError('onFailure is for jobs and what they put: the task that puts this is part of no run');
    }
    const run = job.run as Run;
    run.unfinished++;
    // Its parent cannot end before it: what comes after that waits for both.
    return { run, weight: job.weight, onFailure: onFailure ?? run.onFailure };
  }

  /** It was not put after all. */
  refused(job: Job): void {
    (job.run as Run).unfinished--;
  }

  /** It has been put: whoever follows its run hears of it, also where nothing else happens to it for now. */
  joined(task: Task): void {
    if (task.state === State.blocked) this.#tellAll(runOf(task), task);
  }

  /** A task of a run has moved. */
  changed(task: Task): void {
    const run = runOf(task);
    run.moved(task);
    const ms = durationOf(task);
    if (ms !== undefined) {
      const grown = task.rules?.asked.parent !== undefined;
      this.#durations.note(task.name, grown ? undefined : run.jobOf(task), ms);
    }
    this.#tellAll(run, task);
    if (run.unfinished > 0) return;
    for (let follower = run.followers.shift(); follower; follower = run.followers.shift()) {
      follower.call.answer(run.summary(follower.durations));
    }
    if (run.closed) run.letGo();
  }

  /** A finished task of a run is about to be run anew. */
  revived(task: Task): void {
    runOf(task).revived(task);
  }

  /** Answers when the run has ended; with `events`, every job's state first and then every change of it. */
  watch(id: string, follower: Follower): Answer {
    const run = this.#find(id);
    const { call, events, durations } = follower;
    if (events) for (const task of run.tasks) this.#tell(call, run, task);
    if (run.unfinished === 0) return run.summary(durations);
    return call.park(run.followers.add(follower));
  }

  /** Every task of the run, what comes after others first. */
  backwards(id: string): readonly Task[] {
    return this.#find(id).tasks.toReversed();
  }

  /** Runs anew what did not succeed. Returns how many. @throws QueueShutdownError */
  retry(id: string, now: number): number {
    const run = this.#find(id);
    run.stoppedBy = undefined;
    let retried = 0;
    for (const task of [...run.tasks]) {
      if (task.finished && task.state !== State.succeeded && this.#queue.retry(task, now)) retried++;
    }
    return retried;
  }

  /** One submitter will not ask for its outputs any more: after the last one its records go by retention. */
  close(session: Session, id: string): void {
    const run = this.#runs.get(id);
    const holder = run?.holders.get(session);
    if (run !== undefined && holder !== undefined && --holder.times === 0) this.#leave(session, run);
  }

  #leave(session: Session, run: Run): void {
    const holder = run.holders.get(session);
    if (holder === undefined) return;
    session.holdings.delete(holder.ended);
    run.holders.delete(session);
    if (run.holders.size > 0) return;
    this.#runs.delete(run.id);
    run.closed = true;
    for (const task of run.tasks) this.#queue.records.unpin(task);
    if (run.unfinished === 0) run.letGo();
  }

  #find(id: string): Run {
    const run = this.#runs.get(id);
    if (run === undefined) throw new UnknownTaskError(`there is no run '${id}', or it has been closed`);
    return run;
  }

  #tellAll(run: Run, task: Task): void {
    for (const follower of run.followers) if (follower.events) this.#tell(follower.call, run, task);
  }

  #tell(call: Call, run: Run, task: Task): void {
    const { session } = call;
    const worker = task.worker as WorkerInfo | undefined;
    const parent = task.rules?.asked.parent;
    const item: Item = [
      run.jobOf(task),
      task.name,
      stateNames[task.state],
      this.#manager.wallTime(this.#manager.now()),
      worker?.name,
      worker?.pid,
      task.failure?.message,
      parent?.startsWith(`${run.id}/`) === true ? parent.slice(run.id.length + 1) : parent,
    ];
    session.whenWritable(() => {
      const start = session.link.begin(ToClient.PROGRESS);
      session.link.writer.u32(call.id);
      session.link.writer.item(item);
      session.link.end(start);
    });
  }
}

function runOf({ job }: Task): Run {
  return (job as Job).run as Run;
}

/** What an input names it names by the texts that the tasks have: not by a copy for each edge. */
function withSharedIds(job: GraphJob, { records }: TaskQueue): GraphJob {
  const { input } = job;
  if (!(input instanceof Packed) || input.jobs.length === 0) return job;
  const jobs = input.jobs.map((ref) => ({ queue: ref.queue, id: records.get(ref.id)?.key ?? ref.id }));
  return { ...job, input: new Packed(input.bytes, input.proxies, jobs) };
}

/** What an input names it also comes after: another task's output may not be there. */
function checkNamed(run: string, { id, input, after, outside }: GraphJob): void {
  if (!(input instanceof Packed)) return;
  for (const { id: named } of input.jobs) {
    if (outside.includes(named) || after.some((before) => named === `${run}/${before}`)) continue;
    throw new UnknownJobError(`the input of job '${id}' names '${named}', which it does not come after`, [named]);
  }
}

/** As far as it is known: a record that has gone comes after nothing. */
function sameEdges(run: string, task: Task, { after, outside }: GraphJob): boolean {
  if (task.after === undefined) return task.finished || after.length + outside.length === 0;
  const keys = new Set(task.after.map(({ key }) => key));
  const asked = new Set([...after.map((before) => `${run}/${before}`), ...outside]);
  return keys.size === asked.size && [...asked].every((key) => keys.has(key));
}

function checkSame(run: Run, jobs: readonly GraphJob[]): void {
  const own = new Map<string, Task>();
  for (const task of run.tasks) if (task.rules?.asked.parent === undefined) own.set(run.jobOf(task), task);
  const other = jobs.find((job) => {
    const task = own.get(job.id);
    if (task === undefined || task.name !== job.name || !sameEdges(run.id, task, job)) return true;
    return !sameInput(task.input, payloadFrom(job.input).input);
  });
  if (other === undefined && own.size === jobs.length) return;
  const where = other === undefined ? '' : `: its job '${other.id}' is another one`;
  throw new DuplicateTaskError(`a run '${run.id}' of another graph exists already${where}`);
}
