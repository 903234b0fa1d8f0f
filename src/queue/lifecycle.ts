/**
 * How tasks pass from state to state: delays and expiries, ready and back, outcomes and those who wait for them. What
 * may happen to a task, and when, is for queue.ts to say.
 */
import { Admission } from './admission.ts';
import { Amounts } from './amounts.ts';
import type { Backoff } from '../scheduling.ts';
import { backoffAfter } from './backoff.ts';
import type { Demand } from './demands.ts';
import { expiredAfter, noteAttempt, noteChange, RELEASED, skippedBecauseOf, stoppedBecauseOf } from './history.ts';
import { type Kept, Records } from './records.ts';
import { weightOf } from './ranges.ts';
import type { TaskRules } from './rules.ts';
import type { Job } from './run.ts';
import { type Failure, type Holder, NEVER, State, stateNames, type Task } from './task.ts';
import { Timer, Timers } from './timers.ts';

/** What the queue tells its owner. Called in the middle of a change: keep it short and do not call back in. */
export interface Decisions {
  /** The task has reached its outcome. */
  settled(task: Task): void;
  /** The task changed between states that are not final; only for tasks that are part of a run. */
  moved(task: Task): void;
  /** Tasks have become ready, or may be taken now: somebody may be waiting for one. */
  ready(): void;
  /** The lease of a started or un-started task was taken away. */
  revoked(task: Task, lease: number, holder: Holder, failure: Failure): void;
  /** An input that is more than a string is not kept any more. */
  discarded(input: object): void;
  /** The record is not kept any more. Told only of tasks with an input or output that is more than a string, or a failure. */
  forgotten(task: Task): void;
  /** A finished task is about to be run anew: its output or failure, still there, will not be kept. */
  revived(task: Task): void;
  /** `tick` is wanted at that time, which is sooner than was said before. */
  wake(at: number): void;
  /** There are tasks of that class, and enrolled takers, but none of those can ever run one. Once until that changes. */
  unrunnable?(demand: Demand): void;
}

/** What the core cannot make up itself. */
export interface Means {
  /** From 0 to below 1: the jitter of backoffs. */
  readonly random: () => number;
  /** The host's amounts, shared by all queues that have the same; none where it is left out. */
  readonly host?: Amounts | undefined;
}

/** Deaths alone after which a task is to blame, though it was not alone when it had died once too often. */
const ALONE_ENOUGH = 2;

export class Lifecycle {
  readonly records: Records;
  readonly timers = new Timers(() => this.tellWake());
  readonly admission: Admission;
  readonly counts = new Array<number>(stateNames.length).fill(0);
  /** Bytes of input that wait. */
  bytes = 0;
  /** For tasks that bring none of their own. */
  backoff: Backoff | undefined = undefined;
  /** The time for which `tick` is wanted, as the queue's owner knows it. */
  tickAt = Infinity;
  readonly #decide: Decisions;
  readonly #random: () => number;
  /** Those among whose dependents some may stand twice. */
  readonly #twice = new Set<Task>();

  constructor(keep: Kept, decide: Decisions, random: () => number, host: Amounts) {
    this.#decide = decide;
    this.#random = random;
    this.admission = new Admission(
      host,
      this.timers,
      () => this.goOn(),
      (demand) => decide.unrunnable?.(demand),
    );
    this.records = new Records(keep, (state, task) => {
      this.counts[state] = (this.counts[state] as number) - (task === undefined ? 1 : weightOf(task));
      if (task === undefined) return;
      if (typeof task.input === 'object' || typeof task.output === 'object' || task.failure !== undefined) {
        decide.forgotten(task);
      }
      // Its run still knows it.
      if (task.job !== undefined) task.input = task.output = undefined;
    });
  }

  /** When `tick` is wanted next; Infinity for never, as things are. */
  get nextWake(): number {
    return Math.min(this.timers.next, this.admission.opensAt);
  }

  move(task: Task, state: State): void {
    const weight = weightOf(task);
    this.counts[task.state] = (this.counts[task.state] as number) - weight;
    this.counts[state] = (this.counts[state] as number) + weight;
    task.state = state;
  }

  /** Somebody may get what nobody got so far. */
  goOn(): void {
    if (this.admission.size > 0) this.#decide.ready();
  }

  // --- delays and expiries ---

  enter(task: Task, asked: TaskRules, delay: number, now: number): void {
    const rules = this.admission.enter(task, asked);
    rules.wakeAt = now + Math.round(delay * 10);
    if (asked.expires === undefined) return;
    rules.expiry = new Timer(rules.wakeAt + Math.round(asked.expires * 10), 'expiry', task);
    this.timers.add(rules.expiry);
  }

  #exit(task: Task, now: number): void {
    const { rules } = task;
    if (rules === undefined) return;
    if (rules.wake !== undefined) this.timers.remove(rules.wake);
    if (rules.expiry !== undefined) this.timers.remove(rules.expiry);
    rules.wake = rules.expiry = undefined;
    // Its ancestors would stay as long as its record.
    rules.parent = undefined;
    this.admission.exit(task, now);
  }

  #delay(task: Task, at: number): void {
    const rules = this.admission.rulesOf(task);
    rules.wakeAt = at;
    rules.wake = new Timer(at, 'wake', task);
    this.timers.add(rules.wake);
    this.move(task, State.delayed);
    if (task.job !== undefined) this.#decide.moved(task);
  }

  woken(task: Task, now: number): void {
    if (task.rules !== undefined) task.rules.wake = undefined;
    noteChange(task, now, State.delayed, State.ready, 'its time has come');
    this.becomeReady(task, now);
  }

  /** It has waited for too long, un-started; while it is leased that does not matter, unless it is given back. */
  expired(task: Task, now: number): void {
    if (task.state === State.leased) return;
    if (task.state === State.ready) this.admission.remove(task, now);
    this.bytes -= task.bytesIn;
    task.waiting = 0;
    task.failure = expiredAfter(task);
    this.end(task, State.expired, now);
  }

  tellWake(): void {
    const at = this.nextWake;
    if (at >= this.tickAt) return;
    this.tickAt = at;
    this.#decide.wake(at);
  }

  // --- ready and back ---

  /** Nothing that it comes after is left to wait for. */
  waitOver(task: Task, now: number): void {
    const wakeAt = task.rules?.wakeAt ?? 0;
    const later = wakeAt > now;
    if (task.changes !== undefined || (later && task.after !== undefined)) {
      noteChange(task, now, State.blocked, later ? State.delayed : State.ready, RELEASED);
    }
    if (later) this.#delay(task, wakeAt);
    else this.becomeReady(task, now);
  }

  becomeReady(task: Task, now: number): void {
    if (task.job?.run.stoppedBy !== undefined) return this.stop(task, task.job.run.stoppedBy, now);
    this.move(task, State.ready);
    task.readyAt = now;
    this.admission.add(task, now);
    if (task.job !== undefined) this.#decide.moved(task);
    this.#decide.ready();
  }

  /** Its handler has failed, and it has attempts left. */
  tryAgain(task: Task, failure: Failure, now: number): void {
    const backoff: Backoff | undefined = task.rules?.asked.backoff ?? this.backoff;
    const pause = backoff === undefined ? 0 : backoffAfter(task.failures, backoff, this.#random);
    const why = `attempt ${task.attempt} failed: ${failure.message}`;
    if (pause === 0) return this.requeue(task, why, now, failure);
    noteAttempt(task, now, State.delayed, why, failure);
    task.startedAt = NEVER;
    this.bytes += task.bytesIn;
    this.#noExpiry(task);
    this.#delay(task, now + pause);
  }

  /**
   * It has taken a worker with it, dead or silent. It is to blame where that was its doing and no other task's; where that
   * is not known after so many deaths, it runs alone, and the next one tells.
   */
  died(task: Task, alone: boolean, failure: Failure, now: number): void {
    task.deaths++;
    if (!alone) this.admission.rulesOf(task).shared++;
    const aloneBefore = task.deaths - (task.rules?.shared ?? 0);
    const blamed = alone || aloneBefore >= ALONE_ENOUGH || task.poisonAfter === 1;
    if (task.deaths < task.poisonAfter) return this.requeue(task, failure.message, now, failure);
    if (blamed) {
      task.failure = failure;
      return this.end(task, State.failed, now);
    }
    this.admission.isolate(task);
    this.requeue(task, `${failure.message}; from here on it runs alone`, now, failure);
  }

  /** Its worker was ended for what another task did there. At most once is still at most once. */
  interrupted(task: Task, failure: Failure, now: number): void {
    if (task.poisonAfter > 1) return this.requeue(task, failure.message, now);
    task.failure = failure;
    this.end(task, State.failed, now);
  }

  /** Back in its old place; `why` is given where an execution has ended. */
  requeue(task: Task, why: string | undefined, now: number, failure?: Failure): void {
    if (why !== undefined) {
      // Its times are about to be overwritten: what they told goes into its history.
      noteAttempt(task, now, State.ready, why, failure);
      this.#noExpiry(task);
    }
    task.startedAt = NEVER;
    this.bytes += task.bytesIn;
    this.becomeReady(task, now);
    if (task.finished) return;
    const expiry = task.rules?.expiry;
    if (expiry !== undefined && expiry.at <= now) {
      this.timers.remove(expiry);
      this.expired(task, now);
    }
  }

  /** It has been started: what it waits from here on is not held against it. */
  #noExpiry(task: Task): void {
    const { rules } = task;
    if (rules?.expiry === undefined) return;
    this.timers.remove(rules.expiry);
    rules.expiry = undefined;
  }

  endLease(task: Task, started: boolean, now: number): void {
    const { holder } = task;
    holder?.leases.delete(task.lease);
    if (holder?.bound !== undefined) holder.bound.ended(task.lease);
    task.holder = undefined;
    task.lease = 0;
    if (this.admission.ended(task, holder?.offer, started, now)) this.goOn();
  }

  // --- outcomes and dependents ---

  settle(task: Task, state: State, now: number): void {
    this.move(task, state);
    task.endedAt = now;
    if (task.rules !== undefined) this.#exit(task, now);
    task.rules?.part?.inputs.tasks.delete(task);
    if (task.after !== undefined) for (const before of task.after) this.records.unpin(before);
    this.#decide.settled(task);
    this.records.ended(task, now);
  }

  /**
   * The outcome of a task that did not succeed: whoever comes after it is skipped, however long the chain, unless its
   * failure is ignored; and with it the rest of its run, where it stops that.
   */
  end(task: Task, state: State, now: number): void {
    this.settle(task, state, now);
    if (task.fulfilled) {
      if (task.dependents !== undefined) this.release(task, now);
      return;
    }
    this.#cascade(task, now);
    if (task.job?.onFailure === 'fail' && (state === State.failed || state === State.expired)) this.#stopRun(task, now);
  }

  /** It has not begun, and nothing more of its run does. */
  stop(task: Task, failed: Task, now: number): void {
    task.failure = stoppedBecauseOf(task, failed);
    task.waiting = 0;
    this.bytes -= task.bytesIn;
    this.settle(task, State.skipped, now);
    this.#cascade(task, now);
  }

  #stopRun(failed: Task, now: number): void {
    const { run } = failed.job as Job;
    if (run.stoppedBy !== undefined) return;
    run.stoppedBy = failed;
    // Backwards, so that each is told why it was: the run, and not what it comes after.
    for (let at = run.tasks.length - 1; at >= 0; at--) {
      const task = run.tasks[at] as Task;
      if (task.finished || task.state === State.leased) continue;
      if (task.state === State.ready) this.admission.remove(task, now);
      this.stop(task, failed, now);
    }
  }

  #cascade(task: Task, now: number): void {
    const list = [task];
    for (let at = 0; at < list.length; at++) {
      const failed = list[at] as Task;
      const { dependents } = failed;
      failed.dependents = undefined;
      this.#twice.delete(failed);
      if (dependents === undefined) continue;
      for (const dependent of dependents) {
        if (dependent.finished) continue;
        this.skip(dependent, failed, now);
        list.push(dependent);
      }
    }
  }

  skip(task: Task, failed: Task, now: number): void {
    task.failure = skippedBecauseOf(task, failed);
    task.waiting = 0;
    this.bytes -= task.bytesIn;
    this.settle(task, State.skipped, now);
  }

  /** What it comes after has succeeded, or is being run anew; and its run has not been stopped by another task. */
  mayRunAgain(task: Task): boolean {
    const stoppedBy = task.job?.run.stoppedBy;
    if (stoppedBy !== undefined && stoppedBy !== task) return false;
    return (task.after ?? []).every((given) => {
      const before = this.records.kept(given);
      return before !== undefined && (!before.finished || before.fulfilled);
    });
  }

  /** It waits for those of them that have not ended. The first that did not succeed. */
  comesAfter(task: Task, after: readonly Task[], again = false): Task | undefined {
    let failed: Task | undefined;
    for (const given of after) {
      // A task that is part of a run stands for itself as long as its record is kept.
      const before = given.job === undefined ? (this.records.kept(given) ?? given) : given;
      this.records.pin(before);
      if (!before.finished) {
        task.waiting++;
        // One that ended while it waited, and waits again, may still be among them.
        if (again && before.dependents !== undefined) this.#twice.add(before);
        // A list of one, where one comes: an empty one would take room for seventeen with its first.
        if (before.dependents === undefined) before.dependents = [task];
        else before.dependents.push(task);
      } else if (!before.fulfilled) {
        failed ??= before;
      }
    }
    return failed;
  }

  /**
   * The input of a task that succeeded is not needed any more; with a chosen id it stays with the record: putting the id
   * again compares it. That of others stays for `retry`.
   */
  dropInput(task: Task): void {
    if (task.id !== undefined || task.job?.id !== undefined) return;
    const { input } = task;
    task.input = undefined;
    if (typeof input === 'object' && input !== null) this.#decide.discarded(input);
  }

  release(task: Task, now: number): void {
    const dependents = task.dependents as Task[];
    task.dependents = undefined;
    for (const dependent of this.#twice.delete(task) ? new Set(dependents) : dependents) {
      if (dependent.finished) continue;
      dependent.waiting--;
      if (dependent.waiting === 0) this.waitOver(dependent, now);
    }
  }
}
