/**
 * The task queue's core: who may run what next. A pure state machine: calls and the time come in, decisions go out
 * through `Decisions`; no clock, socket or timer inside.
 *
 * Every walk over dependents is a loop over a work list: chains of 100,000 tasks need no stack.
 */
import { ReadyIndex } from './ready.ts';
import { Records } from './records.ts';
import { type Change, type Failure, type Holder, NEVER, State, stateNames, Task } from './task.ts';

/** What the queue tells its owner. Called in the middle of a change: keep it short and do not call back in. */
export interface Decisions {
  /** The task has reached its outcome. */
  settled(task: Task): void;
  /** The task changed between states that are not final; only for tasks that are part of a run. */
  moved(task: Task): void;
  /** Tasks have become ready: somebody may be waiting for one. */
  ready(): void;
  /** The lease of a started or un-started task was taken away. */
  revoked(task: Task, lease: number, holder: Holder, failure: Failure): void;
  /** An input that is more than a string is not kept any more. */
  discarded(input: object): void;
  /** The record is not kept any more. Told only of tasks with an input or output that is more than a string, or a failure. */
  forgotten(task: Task): void;
}

export interface QueueLimits {
  /** Most tasks that may wait (blocked or ready). */
  readonly maxSize: number;
  /** Most bytes of input that may wait. */
  readonly maxBytes: number;
  readonly keepRecords: { readonly count: number; readonly age: number };
}

/** A task as it is asked for. */
export interface TaskSpec {
  readonly id: string | undefined;
  readonly name: string;
  readonly priority: number;
  readonly input: unknown;
  readonly bytesIn: number;
  readonly retries: number;
  readonly poisonAfter: number;
  readonly after: readonly Task[] | undefined;
}

/** The end of a lease as its holder reports it. */
export interface LeaseEnd {
  readonly holder: Holder;
  readonly lease: number;
  /** The task's number. */
  readonly number: number;
  /** As the worker measured it, in tenths of a millisecond; NEVER where it did not. */
  readonly ranFor: number;
}

/** What became of a call that speaks for a lease. */
export type LeaseAnswer = 'done' | 'repeated' | 'lost';

export class TaskQueue {
  readonly records: Records;
  readonly #ready = new ReadyIndex();
  #limits: QueueLimits;
  readonly #decide: Decisions;
  readonly #nextLease: () => number;
  readonly #counts = new Array<number>(stateNames.length).fill(0);
  #numbers = 0;
  #bytes = 0;

  constructor(limits: QueueLimits, nextLease: () => number, decide: Decisions) {
    this.#limits = limits;
    this.#nextLease = nextLease;
    this.#decide = decide;
    this.records = new Records(limits.keepRecords, (task) => {
      this.#counts[task.state] = this.count(task.state) - 1;
      if (typeof task.input === 'object' || typeof task.output === 'object' || task.failure !== undefined) {
        decide.forgotten(task);
      }
    });
  }

  /** Other limits from here on. */
  configure(limits: QueueLimits): void {
    this.#limits = limits;
    this.records.keep(limits.keepRecords);
  }

  /** Tasks that can be taken now. */
  get ready(): number {
    return this.#ready.size;
  }

  /** Tasks that wait: blocked or ready. */
  get pending(): number {
    return this.count(State.blocked) + this.count(State.delayed) + this.count(State.ready);
  }

  get bytes(): number {
    return this.#bytes;
  }

  count(state: State): number {
    return this.#counts[state] as number;
  }

  /** Whether a task with so many bytes of input can be put without waiting. */
  hasRoom(bytes: number): boolean {
    return this.pending < this.#limits.maxSize && (this.#bytes === 0 || this.#bytes + bytes <= this.#limits.maxBytes);
  }

  put(spec: TaskSpec, now: number, origin?: unknown, call = 0, run?: unknown): Task {
    const task = new Task(
      ++this.#numbers,
      spec.id,
      spec.name,
      spec.priority,
      spec.input,
      spec.bytesIn,
      spec.retries,
      spec.poisonAfter,
    );
    task.putAt = now;
    task.origin = origin;
    task.call = call;
    task.run = run;
    if (origin !== undefined) task.pins++;
    if (run !== undefined) task.pins++;
    this.records.add(task);
    this.#counts[State.blocked] = this.count(State.blocked) + 1;
    this.#bytes += spec.bytesIn;
    let failed: Task | undefined;
    if (spec.after !== undefined && spec.after.length > 0) {
      task.after = spec.after;
      for (const before of spec.after) {
        this.records.pin(before);
        if (!before.finished) {
          task.waiting++;
          (before.dependents ??= []).push(task);
        } else if (before.state !== State.succeeded) {
          failed ??= before;
        }
      }
    }
    if (failed !== undefined) this.#skip(task, failed, now);
    else if (task.waiting === 0) this.#becomeReady(task, now);
    return task;
  }

  /** Leases the next task to `holder`; undefined when none is ready. */
  take(holder: Holder, worker: unknown, now: number): Task | undefined {
    const task = this.#ready.shift();
    if (task === undefined) return undefined;
    this.#move(task, State.leased);
    this.#bytes -= task.bytesIn;
    task.startedAt = now;
    task.lease = this.#nextLease();
    task.holder = holder;
    task.worker = worker;
    holder.leases.set(task.lease, task);
    if (task.run !== undefined) this.#decide.moved(task);
    return task;
  }

  complete(end: LeaseEnd, output: unknown, bytesOut: number, now: number): LeaseAnswer {
    const task = end.holder.leases.get(end.lease);
    if (task === undefined) return this.#endedBefore(end);
    this.#endLease(task);
    task.attempt++;
    task.endedBy = end.lease;
    if (end.ranFor !== NEVER) task.startedAt = Math.max(task.readyAt, now - end.ranFor);
    task.output = output;
    task.bytesOut = bytesOut;
    this.#dropInput(task);
    this.#settle(task, State.succeeded, now);
    if (task.dependents !== undefined) this.#release(task, now);
    return 'done';
  }

  fail(end: LeaseEnd, failure: Failure, final: boolean, now: number): LeaseAnswer {
    const task = end.holder.leases.get(end.lease);
    if (task === undefined) return this.#endedBefore(end);
    this.#endLease(task);
    task.attempt++;
    task.endedBy = end.lease;
    if (end.ranFor !== NEVER) task.startedAt = Math.max(task.readyAt, now - end.ranFor);
    if (!final && task.failures < task.retries) {
      task.failures++;
      this.#requeue(task, `attempt ${task.attempt} failed: ${failure.message}`, now);
    } else {
      task.failure = failure;
      this.#end(task, State.failed, now);
    }
    return 'done';
  }

  /** Given back un-started: ready again in its old place, the same attempt. */
  giveBack(holder: Holder, lease: number, now: number): LeaseAnswer {
    const task = holder.leases.get(lease);
    if (task === undefined) return 'lost';
    this.#endLease(task);
    this.#requeue(task, undefined, now);
    return 'done';
  }

  /** The lease has run out: the task is ready again, and its late holder is refused. */
  expire(holder: Holder, lease: number, failure: Failure, now: number): void {
    const task = holder.leases.get(lease);
    if (task === undefined) return;
    this.#endLease(task);
    task.attempt++;
    this.#decide.revoked(task, lease, holder, failure);
    this.#died(task, failure, now);
  }

  /** The worker has ended. A task that had started counts a death; one that had not is simply ready again. */
  lose(holder: Holder, lease: number, started: boolean, failure: Failure, now: number): void {
    const task = holder.leases.get(lease);
    if (task === undefined) return;
    this.#endLease(task);
    if (!started) {
      this.#requeue(task, undefined, now);
      return;
    }
    task.attempt++;
    this.#died(task, failure, now);
  }

  /** False where the task had ended already. */
  cancel(task: Task, failure: Failure, now: number): boolean {
    if (task.finished) return false;
    if (task.state === State.leased) {
      const { holder, lease } = task;
      this.#endLease(task);
      task.attempt++;
      if (holder !== undefined) this.#decide.revoked(task, lease, holder, failure);
    } else {
      if (task.state === State.ready) this.#ready.removed();
      this.#bytes -= task.bytesIn;
      task.waiting = 0;
    }
    task.failure = failure;
    this.#end(task, State.cancelled, now);
    return true;
  }

  /** Every invariant that the counts and links must keep; for tests. Throws naming the first that is broken. */
  validate(): void {
    const counts = new Array<number>(stateNames.length).fill(0);
    let bytes = 0;
    for (const task of this.records.values()) {
      counts[task.state] = (counts[task.state] as number) + 1;
      const held = task.holder?.leases.get(task.lease) === task;
      check(task.state === State.leased ? held : task.lease === 0, `${task.key}: its lease does not fit its state`);
      check(
        task.waiting > 0 === (task.state === State.blocked),
        `${task.key}: waits for ${task.waiting} while it is ${stateNames[task.state]}`,
      );
      if (!task.finished && task.state !== State.leased) bytes += task.bytesIn;
    }
    for (const state of Object.values(State)) {
      check(
        counts[state] === this.count(state),
        `${this.count(state)} counted as ${stateNames[state]}, found ${counts[state]}`,
      );
    }
    check(bytes === this.#bytes, `${this.#bytes} bytes counted, found ${bytes}`);
    check([...this.#ready].length === this.count(State.ready), 'the ready index and the records disagree');
  }

  #move(task: Task, state: State): void {
    this.#counts[task.state] = (this.#counts[task.state] as number) - 1;
    this.#counts[state] = (this.#counts[state] as number) + 1;
    task.state = state;
  }

  #becomeReady(task: Task, now: number): void {
    this.#move(task, State.ready);
    task.readyAt = now;
    this.#ready.add(task);
    if (task.run !== undefined) this.#decide.moved(task);
    this.#decide.ready();
  }

  /** It has taken a worker with it, dead or silent. */
  #died(task: Task, failure: Failure, now: number): void {
    task.deaths++;
    if (task.deaths >= task.poisonAfter) {
      task.failure = failure;
      this.#end(task, State.failed, now);
    } else {
      this.#requeue(task, failure.message, now);
    }
  }

  #requeue(task: Task, why: string | undefined, now: number): void {
    if (why !== undefined) {
      // Its times are about to be overwritten: what they told goes into its history.
      task.changes ??= task.after === undefined ? [] : [changed(task.readyAt, State.blocked, State.ready, RELEASED)];
      task.changes.push(
        changed(task.startedAt, State.ready, State.leased, `attempt ${task.attempt}`),
        changed(now, State.leased, State.ready, why),
      );
    }
    task.startedAt = NEVER;
    this.#bytes += task.bytesIn;
    this.#becomeReady(task, now);
  }

  #endLease(task: Task): void {
    const { holder } = task;
    holder?.leases.delete(task.lease);
    if (holder?.bound !== undefined) holder.bound.ended(task.lease);
    task.holder = undefined;
    task.lease = 0;
  }

  /** A repeated complete gets the same answer while the record is kept. */
  #endedBefore(end: LeaseEnd): LeaseAnswer {
    return this.records.byNumber(end.number)?.endedBy === end.lease ? 'repeated' : 'lost';
  }

  #settle(task: Task, state: State, now: number): void {
    this.#move(task, state);
    task.endedAt = now;
    if (task.after !== undefined) for (const before of task.after) this.records.unpin(before);
    this.#decide.settled(task);
    this.records.ended(task, now);
  }

  /** The outcome of a task that did not succeed: whoever comes after it is skipped, however long the chain. */
  #end(task: Task, state: State, now: number): void {
    this.#dropInput(task);
    this.#settle(task, state, now);
    const list = [task];
    for (let at = 0; at < list.length; at++) {
      const failed = list[at] as Task;
      const { dependents } = failed;
      failed.dependents = undefined;
      if (dependents === undefined) continue;
      for (const dependent of dependents) {
        if (dependent.finished) continue;
        this.#skip(dependent, failed, now);
        list.push(dependent);
      }
    }
  }

  #skip(task: Task, failed: Task, now: number): void {
    const root = failed.failure?.ancestor ?? failed.failure;
    const ancestor = failed.state === State.skipped ? String(failed.failure?.fields[1]) : failed.key;
    task.failure = {
      code: 'QM_DEPENDENCY_FAILED',
      message: `task '${task.key}' was skipped: '${ancestor}', which it comes after, ${endings[failed.state === State.skipped ? State.failed : failed.state] ?? 'did not succeed'}`,
      fields: ['ancestor', ancestor],
      cause: undefined,
      ...(root === undefined ? {} : { ancestor: root }),
    };
    task.waiting = 0;
    this.#bytes -= task.bytesIn;
    this.#dropInput(task);
    this.#settle(task, State.skipped, now);
  }

  /** The input of a task with a chosen id stays with its record: putting the id again compares it. */
  #dropInput(task: Task): void {
    if (task.id !== undefined) return;
    const { input } = task;
    task.input = undefined;
    if (typeof input === 'object' && input !== null) this.#decide.discarded(input);
  }

  #release(task: Task, now: number): void {
    const dependents = task.dependents as Task[];
    task.dependents = undefined;
    for (const dependent of dependents) {
      if (dependent.finished) continue;
      dependent.waiting--;
      if (dependent.waiting === 0) this.#becomeReady(dependent, now);
    }
  }
}

/** Why a blocked task became ready. */
export const RELEASED = 'all it comes after have succeeded';

const endings: Readonly<Partial<Record<State, string>>> = {
  [State.failed]: 'failed',
  [State.cancelled]: 'was cancelled',
  [State.expired]: 'expired',
};

function changed(at: number, from: State, to: State, why: string): Change {
  return { at, from, to, why };
}

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(`the queue's state is inconsistent: ${what}`);
}
