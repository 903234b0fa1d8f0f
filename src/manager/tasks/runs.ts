/**
 * Runs of job graphs. A graph arrives in one piece, is checked whole, and becomes tasks with the ids 'run/job'; from
 * then on the queue's own dependencies move it, with no round trip to whoever submitted it.
 */
import { CycleError, DuplicateJobError, DuplicateTaskError, UnknownJobError, UnknownTaskError } from '../../errors.ts';
import { cycles } from '../../graph/cycles.ts';
import { Digraph } from '../../graph/digraph.ts';
import { topologicalOrder } from '../../graph/order.ts';
import { ToClient } from '../../protocol/messages.ts';
import type { Item } from '../../protocol/wire.ts';
import type { TaskQueue, TaskSpec } from '../../queue/queue.ts';
import { State, stateNames, type Task } from '../../queue/task.ts';
import type { Answer, Call } from '../call.ts';
import type { ManagerCore } from '../core.ts';
import type { Session } from '../session.ts';
import { WaitList } from '../wait-list.ts';
import type { GraphJob } from './put-options.ts';
import type { WorkerInfo } from './taker.ts';

interface Follower {
  readonly call: Call;
  readonly events: boolean;
}

class Run {
  readonly id: string;
  readonly tasks: Task[] = [];
  readonly followers = new WaitList<Follower>();
  open = 0;
  firstFailed: Task | undefined;

  constructor(id: string) {
    this.id = id;
  }

  jobOf(task: Task): string {
    return (task.id as string).slice(this.id.length + 1);
  }
}

/** A job as a task to put. `weight`: how many jobs the longest chain has that begins with it. */
export type SpecOf = (job: GraphJob, after: readonly string[], weight: number) => TaskSpec;

export class Runs {
  readonly #manager: ManagerCore;
  readonly #queue: TaskQueue;
  readonly #runs = new Map<string, Run>();

  constructor(manager: ManagerCore, queue: TaskQueue) {
    this.#manager = manager;
    this.#queue = queue;
  }

  /** All of it or nothing. A run of that id that is there already must be the same one. */
  submit(session: Session, id: string, jobs: readonly GraphJob[], specOf: SpecOf, now: number): void {
    const existing = this.#runs.get(id);
    if (existing !== undefined) return checkSame(existing, jobs);
    const order = checkedOrder(jobs);
    for (const job of jobs) {
      if (this.#queue.records.get(`${id}/${job.id}`) !== undefined) {
        throw new DuplicateTaskError(`task '${id}/${job.id}' exists already: choose another id for the run`);
      }
      for (const outside of job.outside) {
        if (this.#queue.records.get(outside) !== undefined) continue;
        throw new UnknownTaskError(`job '${job.id}' comes after task '${outside}', which is not there (any more)`);
      }
    }
    const run = new Run(id);
    this.#runs.set(id, run);
    run.open = jobs.length;
    const weights = weightsOf(jobs, order);
    for (const index of order) {
      const job = jobs[index] as GraphJob;
      const after = [...job.after.map((before) => `${id}/${before}`), ...job.outside];
      const spec = specOf(job, after, weights[index] as number);
      run.tasks.push(this.#queue.put({ ...spec, id: `${id}/${job.id}` }, now, undefined, 0, run));
    }
    const closed = (): void => {
      session.holdings.delete(closed);
      this.close(id);
    };
    session.holdings.add(closed);
  }

  /** A task of a run has moved. */
  changed(task: Task): void {
    const run = task.run as Run;
    if (task.finished) {
      run.open--;
      if (task.state !== State.succeeded && task.state !== State.skipped) run.firstFailed ??= task;
    }
    for (const follower of run.followers) if (follower.events) this.#tell(follower.call, run, task);
    if (run.open > 0) return;
    for (let follower = run.followers.shift(); follower; follower = run.followers.shift()) {
      follower.call.answer(summary(run));
    }
  }

  /** A finished task of a run is about to be run anew. */
  revived(task: Task): void {
    const run = task.run as Run;
    run.open++;
    if (run.firstFailed === task) run.firstFailed = undefined;
  }

  /** Answers when the run has ended; with `events`, every job's state first and then every change of it. */
  watch(call: Call, id: string, events: boolean): Answer {
    const run = this.#find(id);
    if (events) for (const task of run.tasks) this.#tell(call, run, task);
    if (run.open === 0) return summary(run);
    return call.park(run.followers.add({ call, events }));
  }

  tasksOf(id: string): readonly Task[] {
    return this.#find(id).tasks;
  }

  /** Nobody will ask for its outputs any more: its records go by retention from here on. */
  close(id: string): void {
    const run = this.#runs.get(id);
    if (run === undefined) return;
    this.#runs.delete(id);
    for (const task of run.tasks) this.#queue.records.unpin(task);
  }

  #find(id: string): Run {
    const run = this.#runs.get(id);
    if (run === undefined) throw new UnknownTaskError(`there is no run '${id}', or it has been closed`);
    return run;
  }

  #tell(call: Call, run: Run, task: Task): void {
    const { session } = call;
    const worker = task.worker as WorkerInfo | undefined;
    const item: Item = [
      run.jobOf(task),
      task.name,
      stateNames[task.state],
      this.#manager.wallTime(this.#manager.now()),
      worker?.name,
      worker?.pid,
      task.failure?.message,
    ];
    session.whenWritable(() => {
      const start = session.link.begin(ToClient.PROGRESS);
      session.link.writer.u32(call.id);
      session.link.writer.item(item);
      session.link.end(start);
    });
  }
}

function summary(run: Run): Item {
  return [run.firstFailed === undefined ? undefined : run.jobOf(run.firstFailed)];
}

function checkSame(run: Run, jobs: readonly GraphJob[]): void {
  const names = new Map(run.tasks.map((task) => [run.jobOf(task), task.name]));
  if (names.size === jobs.length && jobs.every((job) => names.get(job.id) === job.name)) return;
  throw new DuplicateTaskError(`a run '${run.id}' of another graph exists already`);
}

/** The client has checked its graph; what came over the wire is checked all the same. */
function checkedOrder(jobs: readonly GraphJob[]): number[] {
  const index = new Map(jobs.map((job, at) => [job.id, at]));
  if (index.size !== jobs.length) throw new DuplicateJobError('two jobs of the graph have the same id');
  const graph = new Digraph(jobs.length);
  jobs.forEach((job, at) => {
    for (const before of job.after) {
      const from = index.get(before);
      if (from === undefined)
        throw new UnknownJobError(`job '${job.id}' comes after '${before}', which is not in the graph`, [before]);
      graph.addEdge(from, at);
    }
  });
  const order = topologicalOrder(graph);
  if (order !== undefined) return order;
  const path = (cycles(graph)[0] ?? []).map((at) => (jobs[at] as GraphJob).id);
  throw new CycleError(`the graph waits for itself: ${path.join(' → ')}`, path);
}

/** Of each job, the length of the longest chain that begins with it; `order` is a topological one. */
function weightsOf(jobs: readonly GraphJob[], order: readonly number[]): Int32Array {
  const places = new Map(jobs.map(({ id }, at) => [id, at]));
  const weights = new Int32Array(jobs.length).fill(1);
  for (let at = order.length - 1; at >= 0; at--) {
    const index = order[at] as number;
    for (const before of (jobs[index] as GraphJob).after) {
      const place = places.get(before) as number;
      weights[place] = Math.max(weights[place] as number, 1 + (weights[index] as number));
    }
  }
  return weights;
}
