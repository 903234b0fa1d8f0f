/**
 * The task queue's core: who may run what next. A pure state machine: calls and the time come in, decisions go out
 * through `Decisions`; no clock, socket, timer or chance inside.
 *
 *     put ─▶ queue.ts: states, leases, outcomes, dependencies ─▶ admission.ts: which ready task a taker gets
 *              │                                                   ├ views, cells, lanes: the index
 *              ├ records.ts: the task dict                         ├ demands, offers, amounts: who can run what
 *              └ timers.ts: delays, expiries, rates                └ groups, keys, rate: shares and limits
 *
 * Every walk over dependents is a loop over a work list: chains of 100,000 tasks need no stack.
 */
import { DeadlockError, QueueShutdownError } from '../errors.ts';
import { Admission } from './admission.ts';
import { Amounts } from './amounts.ts';
import { type Backoff, backoffAfter } from './backoff.ts';
import type { Demand, Offer, OfferSpec } from './demands.ts';
import { expiredAfter, noteAttempt, noteChange, noteOutcome, RELEASED, skippedBecauseOf } from './history.ts';
import type { Key } from './keys.ts';
import { Records } from './records.ts';
import { nothingAsked, type QueueRules, type TaskRules } from './rules.ts';
import { type Failure, type Holder, NEVER, State, stateNames, Task } from './task.ts';
import { Timer, Timers } from './timers.ts';
import { check, validate } from './validate.ts';

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

export interface QueueLimits {
  /** Most tasks that may wait (blocked, delayed or ready). */
  readonly maxSize: number;
  /** Most bytes of input that may wait. */
  readonly maxBytes: number;
  readonly keepRecords: { readonly count: number; readonly age: number };
  /** Who runs what and when; without any, first in, first out by priority. */
  readonly rules?: QueueRules | undefined;
}

/** What the core cannot make up itself. */
export interface Means {
  /** From 0 to below 1: the jitter of backoffs. */
  readonly random: () => number;
  /** The host's amounts, shared by all queues that have the same; none where it is left out. */
  readonly host?: Amounts | undefined;
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
  /** All else that it asks for; nothing for most. */
  readonly rules?: TaskRules | undefined;
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

/** Deaths alone after which a task is to blame, though it was not alone when it had died once too often. */
const ALONE_ENOUGH = 2;

export class TaskQueue {
  readonly records: Records;
  readonly #timers = new Timers();
  readonly #admission: Admission;
  #limits: QueueLimits;
  readonly #decide: Decisions;
  readonly #nextLease: () => number;
  readonly #random: () => number;
  readonly #counts = new Array<number>(stateNames.length).fill(0);
  readonly #unwatchHost: () => void;
  #numbers = 0;
  #bytes = 0;
  #shut = false;
  /** The time for which `tick` is wanted, as its owner knows it. */
  #tickAt = Infinity;

  constructor(limits: QueueLimits, nextLease: () => number, decide: Decisions, { random, host = new Amounts() }: Means) {
    this.#limits = limits;
    this.#nextLease = nextLease;
    this.#decide = decide;
    this.#random = random;
    this.#admission = new Admission(host, this.#timers, (demand) => decide.unrunnable?.(demand));
    this.#unwatchHost = host.watch(() => this.#goOn());
    this.records = new Records(limits.keepRecords, (task) => {
      this.#counts[task.state] = this.count(task.state) - 1;
      if (typeof task.input === 'object' || typeof task.output === 'object' || task.failure !== undefined) {
        decide.forgotten(task);
      }
    });
    if (limits.rules !== undefined) this.#admission.configure(limits.rules, [], 0);
  }

  /** Other limits from here on. */
  configure(limits: QueueLimits, now: number): void {
    const { rules } = this.#limits;
    this.#limits = limits;
    this.records.keep(limits.keepRecords);
    if (limits.rules === rules) return;
    this.#admission.configure(limits.rules ?? {}, this.#inState(State.ready), now);
    this.#goOn();
  }

  /** Ready tasks; whether a taker gets one of them is for `take` to say. */
  get ready(): number {
    return this.#admission.size;
  }

  /** Tasks that wait: blocked, delayed or ready. */
  get pending(): number {
    return this.count(State.blocked) + this.count(State.delayed) + this.count(State.ready);
  }

  get bytes(): number {
    return this.#bytes;
  }

  count(state: State): number {
    return this.#counts[state] as number;
  }

  /** The first error that a policy of the user's threw. */
  get policyError(): unknown {
    return this.#admission.policyError;
  }

  /** Whether a task with so many bytes of input can be put without waiting. */
  hasRoom(bytes: number): boolean {
    return this.pending < this.#limits.maxSize && (this.#bytes === 0 || this.#bytes + bytes <= this.#limits.maxBytes);
  }

  // --- takers ---

  /** A taker that offers something: its holder's `offer` from here on. */
  enrol(spec: OfferSpec): Offer {
    return this.#admission.enrol(spec);
  }

  /** The taker takes no more; leases that it still holds end as any others. */
  leave(offer: Offer): void {
    this.#admission.leave(offer);
  }

  /** Waiting tasks that no enrolled taker could ever run; none while there is no taker at all. */
  *unrunnable(): IterableIterator<Task> {
    for (const task of this.records.values()) {
      if (!task.finished && task.state !== State.leased && !this.#admission.runnable(task)) yield task;
    }
  }

  // --- the queue as a whole ---

  /** Nothing is taken until `resume`. Delays and expiries go on. */
  pause(): void {
    this.#admission.pause(true);
  }

  resume(): void {
    this.#admission.pause(false);
    this.#goOn();
  }

  get paused(): boolean {
    return this.#admission.paused;
  }

  /** Puts and retries are refused from here on; what is there goes on. */
  shutdown(): void {
    this.#shut = true;
  }

  get shut(): boolean {
    return this.#shut;
  }

  /** The queue is not used any more: lets go of what it shares with others. */
  dispose(): void {
    this.#unwatchHost();
  }

  // --- time ---

  /** When `tick` is wanted next; Infinity for never, as things are. */
  nextWake(): number {
    return Math.min(this.#timers.next, this.#admission.opensAt);
  }

  /** What was due by now has come: delays are over, tasks expire, rates admit. */
  tick(now: number): void {
    this.#tickAt = Infinity;
    for (let timer = this.#timers.due(now); timer; timer = this.#timers.due(now)) {
      if (timer.kind === 'wake') this.#woken(timer.of as Task, now);
      else if (timer.kind === 'expiry') this.#expired(timer.of as Task, now);
      else {
        this.#admission.due(timer.of as Key, now);
        this.#goOn();
      }
    }
    if (this.#admission.rateOpened(now)) this.#goOn();
    this.#tellWake();
  }

  // --- tasks ---

  /** @throws QueueShutdownError; DeadlockError where its ancestors hold all slots of its key while they await it */
  put(spec: TaskSpec, now: number, origin?: unknown, call = 0, run?: unknown): Task {
    const { rules } = spec;
    if (this.#shut) throw new QueueShutdownError('the task queue has been shut down: nothing can be put any more');
    if (rules?.parent !== undefined) this.#checkAncestors(rules);
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
    if (rules !== undefined) this.#enter(task, rules, rules.delay ?? 0, now);
    let failed: Task | undefined;
    if (spec.after !== undefined && spec.after.length > 0) {
      task.after = spec.after;
      failed = this.#comesAfter(task, spec.after);
    }
    if (failed !== undefined) this.#skip(task, failed, now);
    else if (task.waiting === 0) this.#waitOver(task, now);
    return task;
  }

  /** Leases the next task to `holder`; undefined where there is none for it. */
  take(holder: Holder, worker: unknown, now: number): Task | undefined {
    if (now >= this.#tickAt) this.tick(now);
    const task = this.#admission.take(holder.offer, now);
    if (task === undefined) {
      if (this.#admission.size > 0) this.#tellWake();
      return undefined;
    }
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
    this.#endLease(task, true, now);
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
    this.#endLease(task, true, now);
    task.attempt++;
    task.endedBy = end.lease;
    if (end.ranFor !== NEVER) task.startedAt = Math.max(task.readyAt, now - end.ranFor);
    if (!final && task.failures < task.retries) {
      task.failures++;
      this.#tryAgain(task, failure, now);
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
    this.#endLease(task, false, now);
    this.#requeue(task, undefined, now);
    return 'done';
  }

  /** The lease has run out: the task is ready again, and its late holder is refused. `alone`: see `lose`. */
  expire(holder: Holder, lease: number, failure: Failure, now: number, alone = true): void {
    const task = holder.leases.get(lease);
    if (task === undefined) return;
    this.#endLease(task, true, now);
    task.attempt++;
    this.#decide.revoked(task, lease, holder, failure);
    this.#died(task, alone, failure, now);
  }

  /**
   * The worker has ended. A task that had started counts a death; one that had not is simply ready again. It was `alone`
   * where the worker ran no other task: then the death can only be its doing.
   */
  lose(holder: Holder, lease: number, started: boolean, failure: Failure, now: number, alone = true): void {
    const task = holder.leases.get(lease);
    if (task === undefined) return;
    this.#endLease(task, started, now);
    if (!started) {
      this.#requeue(task, undefined, now);
      return;
    }
    task.attempt++;
    this.#died(task, alone, failure, now);
  }

  /** False where the task had ended already. */
  cancel(task: Task, failure: Failure, now: number): boolean {
    if (task.finished) return false;
    if (task.state === State.leased) {
      const { holder, lease } = task;
      this.#endLease(task, true, now);
      task.attempt++;
      if (holder !== undefined) this.#decide.revoked(task, lease, holder, failure);
    } else {
      if (task.state === State.ready) this.#admission.remove(task, now);
      this.#bytes -= task.bytesIn;
      task.waiting = 0;
    }
    task.failure = failure;
    this.#end(task, State.cancelled, now);
    return true;
  }

  /** False where the task has ended. Of a leased one it counts when it comes back. */
  setPriority(task: Task, priority: number, now: number): boolean {
    if (task.finished) return false;
    if (task.state === State.ready) this.#admission.setPriority(task, priority, now);
    else task.priority = priority;
    return true;
  }

  /**
   * Runs a finished task anew: ready, or blocked where it comes after tasks that are being run anew. Its outcome goes to
   * its history, its failures and deaths begin at none, its attempts go on counting. False where it has not ended, or
   * cannot be run: its input has gone (that of a task that succeeded, without an id of the user's), its record has, or
   * what it comes after did not succeed. @throws QueueShutdownError
   */
  retry(task: Task, now: number): boolean {
    if (this.#shut) throw new QueueShutdownError('the task queue has been shut down: nothing can be run again');
    if (!task.finished || this.records.byNumber(task.number) !== task || task.input === undefined) return false;
    for (const before of task.after ?? []) {
      if (this.records.byNumber(before.number) !== before) return false;
      if (before.finished && before.state !== State.succeeded) return false;
    }
    this.#decide.revived(task);
    const runs = (task.rules?.runs ?? 1) + 1;
    noteOutcome(task, now, State.blocked, runs);
    this.records.revive(task);
    this.#move(task, State.blocked);
    this.#bytes += task.bytesIn;
    task.output = task.failure = undefined;
    task.bytesOut = task.failures = task.deaths = 0;
    task.readyAt = task.startedAt = task.endedAt = NEVER;
    this.#enter(task, task.rules?.asked ?? nothingAsked, 0, now);
    this.#admission.rulesOf(task).runs = runs;
    if (task.run !== undefined) this.#decide.moved(task);
    this.#comesAfter(task, task.after ?? []);
    if (task.waiting === 0) this.#waitOver(task, now);
    return true;
  }

  /** The slot and the amounts of a leased task are free while its handler awaits children. False where it has no lease. */
  lend(holder: Holder, lease: number): boolean {
    const task = holder.leases.get(lease);
    if (task === undefined) return false;
    if (this.#admission.lend(task)) this.#goOn();
    return true;
  }

  /** Its handler goes on: granted at once, though for a while more may be in use than there is. False without a lease. */
  reclaim(holder: Holder, lease: number): boolean {
    const task = holder.leases.get(lease);
    if (task === undefined) return false;
    this.#admission.reclaim(task);
    return true;
  }

  /** Every invariant that the counts, links and indexes must keep; for tests. Throws naming the first that is broken. */
  validate(): void {
    const bytes = validate(this.records, this.#counts, this.#admission, this.#timers);
    check(bytes === this.#bytes, `${this.#bytes} bytes counted, found ${bytes}`);
  }

  #move(task: Task, state: State): void {
    this.#counts[task.state] = (this.#counts[task.state] as number) - 1;
    this.#counts[state] = (this.#counts[state] as number) + 1;
    task.state = state;
  }

  /** Somebody may get what nobody got so far. */
  #goOn(): void {
    if (this.#admission.size > 0) this.#decide.ready();
  }

  *#inState(state: State): IterableIterator<Task> {
    for (const task of this.records.values()) if (task.state === state) yield task;
  }

  // --- delays and expiries ---

  #enter(task: Task, asked: TaskRules, delay: number, now: number): void {
    const rules = this.#admission.enter(task, asked);
    rules.wakeAt = now + Math.round(delay * 10);
    if (asked.expires === undefined) return;
    rules.expiry = new Timer(rules.wakeAt + Math.round(asked.expires * 10), 'expiry', task);
    this.#timers.add(rules.expiry);
    this.#tellWake();
  }

  #exit(task: Task, now: number): void {
    const { rules } = task;
    if (rules === undefined) return;
    if (rules.wake !== undefined) this.#timers.remove(rules.wake);
    if (rules.expiry !== undefined) this.#timers.remove(rules.expiry);
    rules.wake = rules.expiry = undefined;
    // Its ancestors would stay as long as its record.
    rules.parent = undefined;
    this.#admission.exit(task, now);
  }

  #delay(task: Task, at: number): void {
    const rules = this.#admission.rulesOf(task);
    rules.wakeAt = at;
    rules.wake = new Timer(at, 'wake', task);
    this.#timers.add(rules.wake);
    this.#move(task, State.delayed);
    if (task.run !== undefined) this.#decide.moved(task);
    this.#tellWake();
  }

  #woken(task: Task, now: number): void {
    if (task.rules !== undefined) task.rules.wake = undefined;
    noteChange(task, now, State.delayed, State.ready, 'its time has come');
    this.#becomeReady(task, now);
  }

  /** It has waited for too long, un-started; while it is leased that does not matter, unless it is given back. */
  #expired(task: Task, now: number): void {
    if (task.state === State.leased) return;
    if (task.state === State.ready) this.#admission.remove(task, now);
    this.#bytes -= task.bytesIn;
    task.waiting = 0;
    task.failure = expiredAfter(task);
    this.#end(task, State.expired, now);
  }

  #tellWake(): void {
    const at = this.nextWake();
    if (at >= this.#tickAt) return;
    this.#tickAt = at;
    this.#decide.wake(at);
  }

  // --- ready and back ---

  /** Nothing that it comes after is left to wait for. */
  #waitOver(task: Task, now: number): void {
    const wakeAt = task.rules?.wakeAt ?? 0;
    const later = wakeAt > now;
    if (task.changes !== undefined || (later && task.after !== undefined)) {
      noteChange(task, now, State.blocked, later ? State.delayed : State.ready, RELEASED);
    }
    if (later) this.#delay(task, wakeAt);
    else this.#becomeReady(task, now);
  }

  #becomeReady(task: Task, now: number): void {
    this.#move(task, State.ready);
    task.readyAt = now;
    this.#admission.add(task, now);
    if (task.run !== undefined) this.#decide.moved(task);
    this.#decide.ready();
  }

  /** Its handler has failed, and it has attempts left. */
  #tryAgain(task: Task, failure: Failure, now: number): void {
    const backoff: Backoff | undefined = task.rules?.asked.backoff ?? this.#limits.rules?.backoff;
    const pause = backoff === undefined ? 0 : backoffAfter(task.failures, backoff, this.#random);
    const why = `attempt ${task.attempt} failed: ${failure.message}`;
    if (pause === 0) return this.#requeue(task, why, now);
    noteAttempt(task, now, State.delayed, why);
    task.startedAt = NEVER;
    this.#bytes += task.bytesIn;
    this.#noExpiry(task);
    this.#delay(task, now + pause);
  }

  /** It has taken a worker with it, dead or silent. It is to blame where that was its doing and no other task's. */
  #died(task: Task, alone: boolean, failure: Failure, now: number): void {
    task.deaths++;
    if (!alone) this.#admission.rulesOf(task).shared++;
    const aloneBefore = task.deaths - (task.rules?.shared ?? 0);
    const blamed = alone || aloneBefore >= ALONE_ENOUGH || task.poisonAfter === 1;
    if (task.deaths >= task.poisonAfter && blamed) {
      task.failure = failure;
      this.#end(task, State.failed, now);
    } else {
      this.#requeue(task, failure.message, now);
    }
  }

  /** Back in its old place; `why` is given where an execution has ended. */
  #requeue(task: Task, why: string | undefined, now: number): void {
    if (why !== undefined) {
      // Its times are about to be overwritten: what they told goes into its history.
      noteAttempt(task, now, State.ready, why);
      this.#noExpiry(task);
    }
    task.startedAt = NEVER;
    this.#bytes += task.bytesIn;
    this.#becomeReady(task, now);
    const expiry = task.rules?.expiry;
    if (expiry !== undefined && expiry.at <= now) {
      this.#timers.remove(expiry);
      this.#expired(task, now);
    }
  }

  /** It has been started: what it waits from here on is not held against it. */
  #noExpiry(task: Task): void {
    const { rules } = task;
    if (rules?.expiry === undefined) return;
    this.#timers.remove(rules.expiry);
    rules.expiry = undefined;
  }

  #endLease(task: Task, started: boolean, now: number): void {
    const { holder } = task;
    holder?.leases.delete(task.lease);
    if (holder?.bound !== undefined) holder.bound.ended(task.lease);
    task.holder = undefined;
    task.lease = 0;
    if (this.#admission.ended(task, started, now)) this.#goOn();
  }

  /** A repeated complete gets the same answer while the record is kept. */
  #endedBefore(end: LeaseEnd): LeaseAnswer {
    return this.records.byNumber(end.number)?.endedBy === end.lease ? 'repeated' : 'lost';
  }

  // --- outcomes and dependents ---

  #settle(task: Task, state: State, now: number): void {
    this.#move(task, state);
    task.endedAt = now;
    if (task.rules !== undefined) this.#exit(task, now);
    if (task.after !== undefined) for (const before of task.after) this.records.unpin(before);
    this.#decide.settled(task);
    this.records.ended(task, now);
  }

  /** The outcome of a task that did not succeed: whoever comes after it is skipped, however long the chain. */
  #end(task: Task, state: State, now: number): void {
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
    task.failure = skippedBecauseOf(task, failed);
    task.waiting = 0;
    this.#bytes -= task.bytesIn;
    this.#settle(task, State.skipped, now);
  }

  /** It waits for those of them that have not ended. The first that did not succeed. */
  #comesAfter(task: Task, after: readonly Task[]): Task | undefined {
    let failed: Task | undefined;
    for (const before of after) {
      this.records.pin(before);
      if (!before.finished) {
        task.waiting++;
        (before.dependents ??= []).push(task);
      } else if (before.state !== State.succeeded) {
        failed ??= before;
      }
    }
    return failed;
  }

  #checkAncestors(rules: TaskRules): void {
    const [nearest] = this.#admission.heldByAncestors(rules);
    if (nearest === undefined) return;
    const why = `key '${rules.key}' is held by task '${nearest.key}', which would await this one while it waits for the key`;
    throw new DeadlockError(why, [nearest.key]);
  }

  /**
   * The input of a task that succeeded is not needed any more; with a chosen id it stays with the record: putting the id
   * again compares it. That of others stays for `retry`.
   */
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
      if (dependent.waiting === 0) this.#waitOver(dependent, now);
    }
  }
}

