/**
 * Runs of job graphs. A graph arrives in one piece, is checked whole, and becomes tasks with the ids 'run/job'; from
 * then on the queue's own dependencies move it, with no round trip to whoever submitted it. Tasks that its jobs put are
 * part of it.
 *
 * A run pins the records of its tasks, and with them inputs and outputs, until it is closed: so long can it be retried.
 * Beyond that an output stays until all that comes after it has ended.
 */
import { DuplicateJobError, DuplicateTaskError, UnknownJobError, UnknownTaskError } from '../../errors.ts';
import { Durations, type Estimate } from '../../graph/durations.ts';
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
import type { SubmittedGraph } from './graph-frame.ts';
import { sameInput } from './payload.ts';
import { durationOf, type Follower, Run, type RunJob, type RunRules } from './run.ts';
import type { WorkerInfo } from './taker.ts';

/** The job at that place of a graph as a task to put. */
export type SpecOf = (graph: SubmittedGraph, place: number, after: readonly Task[] | undefined, job: Job) => TaskSpec;

const none: readonly never[] = [];

/** A graph that is all right. */
interface Checked {
  readonly inputs: readonly unknown[];
  /** By their ids. */
  readonly outside: ReadonlyMap<string, Task>;
}

export class Runs {
  readonly #manager: ManagerCore;
  readonly #queue: TaskQueue;
  /** The queue's name. */
  readonly #name: string;
  readonly #runs = new Map<string, Run>();
  /** Learned from all runs so far. */
  readonly #durations = new Durations();

  constructor(manager: ManagerCore, queue: TaskQueue, name: string) {
    this.#manager = manager;
    this.#queue = queue;
    this.#name = name;
  }

  /** All of it or nothing. A run of that id that is there already must be the same one; false then: its inputs are not kept. */
  submit(session: Session, id: string, rules: RunRules, graph: SubmittedGraph, specOf: SpecOf, now: number): boolean {
    const existing = this.#runs.get(id);
    if (existing === undefined) this.#begin(id, rules, graph, specOf, now);
    else checkSame(existing, graph);
    this.#hold(session, this.#find(id));
    return existing === undefined;
  }

  #begin(id: string, rules: RunRules, graph: SubmittedGraph, specOf: SpecOf, now: number): void {
    const { ids } = graph;
    const { inputs, outside } = this.#check(id, graph);
    const { records } = this.#queue;
    // What ends as soon as it is put may be the reason why another record goes.
    for (const task of outside.values()) records.pin(task);
    const run = new Run(id, ids.length, rules);
    const known = ids.map((job, place) => this.#durations.job(graph.names[place] as string, job));
    const weights = levels(graph.after, this.#weigher(graph, known, rules));
    this.#runs.set(id, run);
    const checked = { ...graph, inputs };
    for (let place = 0; place < ids.length; place++) {
      const onFailure = graph.options[place]?.onFailure ?? rules.onFailure;
      const job: RunJob = {
        run,
        id: ids[place],
        weight: weights[place] as number,
        onFailure,
        estimate: known[place],
      };
      const after = tasksBefore(run, graph, place, outside);
      this.#queue.put(specOf(checked, place, after, job), now);
    }
    for (const task of outside.values()) records.unpin(task);
  }

  /** @throws DuplicateJobError, DuplicateTaskError, UnknownTaskError, UnknownJobError */
  #check(run: string, graph: SubmittedGraph): Checked {
    const { records } = this.#queue;
    const outside = new Map<string, Task>();
    graph.outside.forEach((before, place) => {
      for (const id of before) {
        const task = outside.get(id) ?? records.get(id);
        if (task === undefined) {
          const job = graph.ids[place];
          throw new UnknownTaskError(`job '${job}' comes after task '${id}', which is not there (any more)`);
        }
        outside.set(id, task);
      }
    });
    const inputs = this.#named(run, graph);
    const taken = records.reserve(run, graph.ids);
    if (taken === undefined) return { inputs, outside };
    if (records.get(`${run}/${taken}`) === undefined)
      throw new DuplicateJobError('two jobs of the graph have the same id');
    throw new DuplicateTaskError(`task '${run}/${taken}' exists already: choose another id for the run`);
  }

  /**
   * What an input names the job must also come after: another task's output may not be there. It names it by the texts that
   * the tasks have from here on, not by a copy for each edge.
   */
  #named(run: string, { ids: jobs, inputs, after: { starts, nodes }, outside }: SubmittedGraph) {
    let ids: readonly string[] = none;
    let places: Map<string, number> | undefined;
    return inputs.map((input, place) => {
      if (!(input instanceof Packed) || input.jobs.length === 0) return input;
      if (places === undefined) {
        ids = jobs.map((job) => `${run}/${job}`);
        places = new Map(ids.map((id, at) => [id, at]));
      }
      const all = places;
      const before = new Set(nodes.subarray(starts[place], starts[place + 1]));
      const others = new Set(outside[place]);
      const named = input.jobs.map(({ queue, id }) => {
        const at = all.get(id);
        if (queue !== this.#name || !(at === undefined ? others.has(id) : before.has(at))) {
          const why = `the input of job '${jobs[place]}' names '${id}', which it does not come after`;
          throw new UnknownJobError(why, [id]);
        }
        return { queue: this.#name, id: at === undefined ? id : (ids[at] as string) };
      });
      return new Packed(input.bytes, input.proxies, named);
    });
  }

  /** How long each job will take: as told, as learned, or as those of which something is known take on average. */
  #weigher(
    { ids, names }: SubmittedGraph,
    jobs: readonly (Estimate | undefined)[],
    { estimates }: RunRules,
  ): (place: number) => number {
    const known = new Float64Array(ids.length).fill(NaN);
    let sum = 0;
    let count = 0;
    for (let place = 0; place < known.length; place++) {
      const ms = estimates[place] ?? jobs[place]?.ms ?? this.#durations.handler(names[place] as string);
      if (ms === undefined) continue;
      known[place] = ms;
      sum += ms;
      count++;
    }
    const mean = count === 0 ? 1 : sum / count;
    return (place) => {
      const ms = known[place] as number;
      return Number.isNaN(ms) ? mean : ms;
    };
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
    const part: RunJob = {
      run,
      id: undefined,
      weight: job.weight,
      onFailure: onFailure ?? run.onFailure,
      estimate: undefined,
    };
    return part;
  }

  /** It was not put after all. */
  refused(job: Job): void {
    (job.run as Run).unfinished--;
  }

  /** It has been put: whoever follows its run hears of it, also where nothing else happens to it for now. */
  joined(task: Task): void {
    if (task.state === State.blocked) this.#tellAll(runOf(task), task);
  }

  /** A task of a run has moved between states that are not final. */
  moved(task: Task): void {
    const run = runOf(task);
    if (run.followers.size > 0) this.#tellAll(run, task);
  }

  /** A task of a run has ended. */
  settled(task: Task): void {
    const run = runOf(task);
    run.settled(task);
    const ms = durationOf(task);
    if (ms !== undefined) this.#learn(run, task, ms);
    if (run.followers.size > 0) this.#tellAll(run, task);
    if (run.unfinished > 0) return;
    for (let follower = run.followers.shift(); follower; follower = run.followers.shift()) {
      follower.call.answer(run.summary(follower.durations));
    }
    if (run.closed) run.letGo();
  }

  #learn(run: Run, task: Task, ms: number): void {
    const { estimate } = task.job as RunJob;
    const grown = task.rules?.asked.parent !== undefined;
    if (estimate === undefined) return this.#durations.note(task.name, grown ? undefined : run.jobOf(task), ms);
    estimate.note(ms);
    this.#durations.note(task.name, undefined, ms);
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

/** What the job at that place comes after, of its run and outside of it; undefined for nothing. */
function tasksBefore(
  run: Run,
  { after: { starts, nodes }, outside }: SubmittedGraph,
  place: number,
  others: ReadonlyMap<string, Task>,
): readonly Task[] | undefined {
  const from = starts[place] as number;
  const count = (starts[place + 1] as number) - from;
  const more = outside[place] as readonly string[];
  if (count + more.length === 0) return undefined;
  const after = new Array<Task>(count);
  for (let i = 0; i < count; i++) after[i] = run.tasks[nodes[from + i] as number] as Task;
  for (const id of new Set(more)) after.push(others.get(id) as Task);
  return after;
}

/** As far as it is known: a record that has gone comes after nothing. */
function sameEdges(run: string, task: Task, { ids, after: { starts, nodes }, outside }: SubmittedGraph, place: number) {
  const asked = new Set(outside[place]);
  for (const before of nodes.subarray(starts[place], starts[place + 1])) asked.add(`${run}/${ids[before]}`);
  if (task.after === undefined) return task.finished || asked.size === 0;
  const keys = new Set(task.after.map(({ key }) => key));
  return keys.size === asked.size && [...asked].every((key) => keys.has(key));
}

function checkSame(run: Run, graph: SubmittedGraph): void {
  const own = new Map<string, Task>();
  for (const task of run.tasks) if (task.rules?.asked.parent === undefined) own.set(run.jobOf(task), task);
  const other = graph.ids.find((job, place) => {
    const task = own.get(job);
    if (task === undefined || task.name !== graph.names[place] || !sameEdges(run.id, task, graph, place)) return true;
    return !sameInput(task.input, graph.inputs[place]);
  });
  if (other === undefined && own.size === graph.ids.length) return;
  const where = other === undefined ? '' : `: its job '${other}' is another one`;
  throw new DuplicateTaskError(`a run '${run.id}' of another graph exists already${where}`);
}
