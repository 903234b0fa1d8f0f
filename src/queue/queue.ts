/**
 * The task queue's core: who may run what next. A pure state machine: calls and the time come in, decisions go out
 * through `Decisions`; no clock, socket, timer or chance inside.
 *
 *     queue.ts: what may happen ─▶ lifecycle.ts: states, outcomes ─▶ admission.ts: which ready task a taker gets
 *                                    ├ records.ts: the task dict       ├ views, cells, lanes: the index
 *                                    └ timers.ts: delays, expiries     ├ demands, offers, amounts: who can run what
 *                                                                      └ groups, keys, rate: shares and limits
 *
 * Every walk over dependents is a loop over a work list: chains of 100,000 tasks need no stack.
 */
import { DeadlockError, QueueShutdownError } from '../errors.ts';
import type { Admission } from './admission.ts';
import type { LeaseAnswer, LeaseEnd, QueueLimits, TaskSpec } from './asked.ts';
import { Amounts } from './amounts.ts';
import type { Offer, OfferSpec } from './demands.ts';
import { noteOutcome } from './history.ts';
import type { Key } from './keys.ts';
import { type Decisions, Lifecycle, type Means } from './lifecycle.ts';
import { Mapped } from './mapped.ts';
import { Ranges } from './ranges.ts';
import type { Records } from './records.ts';
import { nothingAsked, type QueueRules } from './rules.ts';
import { type Failure, type Holder, NEVER, State, Task } from './task.ts';
import { check, validate } from './validate.ts';

export type { Decisions, Means } from './lifecycle.ts';
export type { LeaseAnswer, LeaseEnd, QueueLimits, TaskSpec } from './asked.ts';

export class TaskQueue {
  readonly records: Records;
  /** What happens to inputs of a `map`. */
  readonly mapped: Mapped;
  readonly #life: Lifecycle;
  readonly #ranges: Ranges;
  readonly #admission: Admission;
  #limits: QueueLimits;
  readonly #decide: Decisions;
  readonly #nextLease: (count?: number) => number;
  readonly #unwatchHost: () => void;
  #numbers = 0;
  #shut = false;

  constructor(
    limits: QueueLimits,
    nextLease: (count?: number) => number,
    decide: Decisions,
    { random, host = new Amounts() }: Means,
  ) {
    this.#limits = limits;
    this.#nextLease = nextLease;
    this.#decide = decide;
    this.#life = new Lifecycle(limits.keepRecords, decide, random, host);
    this.#admission = this.#life.admission;
    this.records = this.#life.records;
    this.#ranges = new Ranges(this.#life);
    this.mapped = new Mapped(this, this.#ranges);
    this.#unwatchHost = host.watch(() => this.#life.goOn());
    if (limits.rules !== undefined) this.#follow(limits.rules, 0);
  }

  /** Other limits from here on. */
  configure(limits: QueueLimits, now: number): void {
    const { rules } = this.#limits;
    this.#limits = limits;
    this.records.keep(limits.keepRecords);
    if (limits.rules === rules) return;
    this.#follow(limits.rules ?? {}, now);
    this.#life.goOn();
  }

  /** Ready tasks; whether a taker gets one of them is for `take` to say. */
  get ready(): number {
    return this.#admission.size;
  }

  /** Whoever takes may have any of those that are ready. */
  get ordinary(): boolean {
    return this.#admission.ordinary;
  }

  /** Tasks that wait: blocked, delayed or ready. */
  get pending(): number {
    return this.count(State.blocked) + this.count(State.delayed) + this.count(State.ready);
  }

  /** Tasks that wait or run. */
  get unfinished(): number {
    return this.pending + this.count(State.leased);
  }

  get bytes(): number {
    return this.#life.bytes;
  }

  count(state: State): number {
    return this.#life.counts[state] as number;
  }

  /** The first error that a policy of the user's threw. */
  get policyError(): unknown {
    return this.#admission.policyError;
  }

  /** Whether a task with so many bytes of input can be put without waiting. */
  hasRoom(bytes: number): boolean {
    return this.room > 0 && (this.#life.bytes === 0 || this.#life.bytes + bytes <= this.#limits.maxBytes);
  }

  /** How many tasks more may wait, whatever their bytes. */
  get room(): number {
    return this.#limits.maxSize - this.pending;
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

  /** `take` has refused it: whether it would refuse all of its kind. */
  speaksForKind(offer: Offer): boolean {
    return this.#admission.speaksForKind(offer);
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
    this.#life.goOn();
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
    return this.#life.nextWake;
  }

  /** What was due by now has come: delays are over, tasks expire, rates admit. */
  tick(now: number): void {
    this.#life.tickAt = Infinity;
    for (let timer = this.#life.timers.due(now); timer; timer = this.#life.timers.due(now)) {
      if (timer.kind === 'wake') this.#life.woken(timer.of as Task, now);
      else if (timer.kind === 'expiry') this.#life.expired(timer.of as Task, now);
      else if (timer.kind === 'rest') this.#admission.rested(now);
      else {
        this.#admission.due(timer.of as Key, now);
        this.#life.goOn();
      }
    }
    if (this.#admission.rateOpened(now)) this.#life.goOn();
    this.#life.tellWake();
  }

  // --- tasks ---

  /** @throws QueueShutdownError; DeadlockError where its ancestors hold all slots of its key while they await it */
  put(spec: TaskSpec, now: number, origin?: unknown, call = 0): Task {
    const { rules, job } = spec;
    if (this.#shut) throw new QueueShutdownError('the task queue has been shut down: nothing can be put any more');
    if (spec.parent !== undefined) this.#checkAncestors(rules?.key, spec.parent);
    const { part } = spec;
    const task = new Task(
      this.#numbers + 1,
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
    task.job = job;
    if (origin !== undefined) task.pins++;
    if (job !== undefined) {
      task.pins++;
      job.run.add(task);
    }
    this.#numbers += part?.count ?? 1;
    this.records.add(task);
    this.#life.counts[State.blocked] = this.count(State.blocked) + (part?.count ?? 1);
    this.#life.bytes += spec.bytesIn;
    if (rules !== undefined) this.#life.enter(task, rules, rules.delay ?? 0, now);
    if (part !== undefined) {
      this.#admission.rulesOf(task).part = part;
      part.inputs.tasks.add(task);
    }
    if (spec.parent !== undefined) this.#admission.rulesOf(task).parent = spec.parent;
    let failed: Task | undefined;
    if (spec.after !== undefined && spec.after.length > 0) {
      task.after = spec.after;
      failed = this.#life.comesAfter(task, spec.after);
    }
    if (job?.run.stoppedBy !== undefined) this.#life.stop(task, job.run.stoppedBy, now);
    else if (failed !== undefined) this.#life.skip(task, failed, now);
    else if (task.waiting === 0) this.#life.waitOver(task, now);
    return task;
  }

  /** Leases the next task to `holder`, of inputs of a `map` no more than `most`; undefined where there is none for it. */
  take(holder: Holder, worker: unknown, now: number, most = Infinity): Task | undefined {
    if (now >= this.#life.tickAt) this.tick(now);
    const task = this.#admission.take(holder.offer, now);
    if (task === undefined) {
      if (this.#admission.size > 0) this.#life.tellWake();
      return undefined;
    }
    const part = task.rules?.part;
    if (part !== undefined) this.#ranges.trim(task, part, Math.min(most, this.#wanted(holder, task)), now);
    this.#life.move(task, State.leased);
    this.#life.bytes -= task.bytesIn;
    task.startedAt = now;
    task.lease = this.#nextLease(part?.count);
    task.holder = holder;
    task.worker = worker;
    holder.leases.set(task.lease, task);
    if (task.job !== undefined) this.#decide.moved(task);
    return task;
  }

  complete(end: LeaseEnd, output: unknown, bytesOut: number, now: number): LeaseAnswer {
    const task = end.holder.leases.get(end.lease);
    if (task === undefined || isRange(task)) return this.#endedBefore(end);
    this.#life.endLease(task, true, now);
    task.attempt++;
    task.endedBy = end.lease;
    if (end.ranFor !== NEVER) task.startedAt = Math.max(task.readyAt, now - end.ranFor);
    task.output = output;
    task.bytesOut = bytesOut;
    this.#life.dropInput(task);
    this.#life.settle(task, State.succeeded, now);
    if (task.dependents !== undefined) this.#life.release(task, now);
    return 'done';
  }

  fail(end: LeaseEnd, failure: Failure, final: boolean, now: number): LeaseAnswer {
    const task = end.holder.leases.get(end.lease);
    if (task === undefined || isRange(task)) return this.#endedBefore(end);
    this.#life.endLease(task, true, now);
    task.attempt++;
    task.endedBy = end.lease;
    if (end.ranFor !== NEVER) task.startedAt = Math.max(task.readyAt, now - end.ranFor);
    if (!final && task.failures < task.retries && task.job?.run.stoppedBy === undefined) {
      task.failures++;
      this.#life.tryAgain(task, failure, now);
    } else {
      task.failure = failure;
      this.#life.end(task, State.failed, now);
    }
    return 'done';
  }

  /** Given back un-started: ready again in its old place, the same attempt. */
  giveBack(holder: Holder, lease: number, now: number): LeaseAnswer {
    const task = holder.leases.get(lease);
    const part = task?.rules?.part;
    if (task === undefined || (part !== undefined && part.done > 0)) return this.mapped.giveBack(holder, lease, now);
    this.#life.endLease(task, false, now);
    this.#life.requeue(task, undefined, now);
    return 'done';
  }

  /** The lease has run out: the task is ready again, and its late holder is refused. `alone`: see `lose`. */
  expire(holder: Holder, lease: number, failure: Failure, now: number, alone = true): void {
    const task = holder.leases.get(lease);
    if (task === undefined) return;
    this.#life.endLease(task, true, now);
    task.attempt++;
    this.#decide.revoked(task, lease, holder, failure);
    this.#life.died(task, alone, failure, now);
  }

  /**
   * The worker has ended. A task that had started counts a death; one that had not is simply ready again. It was `alone`
   * where the worker ran no other task: then the death can only be its doing. It is `innocent` where the worker was
   * ended for what another one did: then no death is counted.
   */
  lose(
    holder: Holder,
    lease: number,
    started: boolean,
    failure: Failure,
    now: number,
    alone = true,
    innocent = false,
  ): void {
    const task = holder.leases.get(lease);
    if (task === undefined) return;
    this.#life.endLease(task, started, now);
    if (!started) {
      this.#life.requeue(task, undefined, now);
      return;
    }
    task.attempt++;
    if (innocent) this.#life.interrupted(task, failure, now);
    else this.#life.died(task, alone, failure, now);
  }

  /** False where the task had ended already. Of inputs of a `map` those are cancelled that have no outcome. */
  cancel(asked: Task, failure: Failure, now: number): boolean {
    if (asked.finished) return false;
    const task = this.mapped.pending(asked, now);
    if (task.state === State.leased) {
      const { holder, lease } = task;
      this.#life.endLease(task, true, now);
      task.attempt++;
      if (holder !== undefined) this.#decide.revoked(task, lease, holder, failure);
    } else {
      if (task.state === State.ready) this.#admission.remove(task, now);
      this.#life.bytes -= task.bytesIn;
      task.waiting = 0;
    }
    task.failure = failure;
    this.#life.end(task, State.cancelled, now);
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
   * what it comes after did not succeed, or its run has been stopped by another task. @throws QueueShutdownError
   */
  retry(task: Task, now: number): boolean {
    if (this.#shut) throw new QueueShutdownError('the task queue has been shut down: nothing can be run again');
    if (!task.finished || this.records.byNumber(task.number) !== task || task.input === undefined) return false;
    if (!this.#life.mayRunAgain(task)) return false;
    if (task.job !== undefined) task.job.run.stoppedBy = undefined;
    this.#decide.revived(task);
    const runs = (task.rules?.runs ?? 1) + 1;
    this.#life.comesAfter(task, task.after ?? [], true);
    const to = task.waiting > 0 ? State.blocked : State.ready;
    noteOutcome(task, now, to, runs);
    this.records.revive(task);
    this.#life.move(task, State.blocked);
    this.#life.bytes += task.bytesIn;
    task.output = task.failure = undefined;
    task.bytesOut = task.failures = task.deaths = 0;
    task.readyAt = task.startedAt = task.endedAt = NEVER;
    this.#life.enter(task, task.rules?.asked ?? nothingAsked, 0, now);
    this.#admission.rulesOf(task).runs = runs;
    if (task.job !== undefined) this.#decide.moved(task);
    if (to === State.ready) this.#life.becomeReady(task, now);
    return true;
  }

  /** The slot and the amounts of a leased task are free while its handler awaits children. False where it has no lease. */
  lend(holder: Holder, lease: number, now: number): boolean {
    const task = holder.leases.get(lease);
    if (task === undefined) return false;
    if (this.#admission.lend(task, now)) this.#life.goOn();
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
    const bytes = validate(this.records, this.#life.counts, this.#admission, this.#life.timers);
    check(bytes === this.#life.bytes, `${this.#life.bytes} bytes counted, found ${bytes}`);
  }

  /** A rate counts each of them. What must be heard of before it begins is leased by itself. */
  #wanted(holder: Holder, task: Task): number {
    const alone = task.poisonAfter === 1 || task.rules?.part?.careful === true;
    return alone || this.#limits.rules?.rateLimit !== undefined ? 1 : (holder.wants?.(task) ?? 1);
  }

  #follow(rules: QueueRules, now: number): void {
    this.#life.backoff = rules.backoff;
    const ready = [...this.records.values()].filter((task) => task.state === State.ready);
    this.#admission.configure(rules, ready, now);
  }

  /** A repeated complete gets the same answer while the record is kept. */
  #endedBefore(end: LeaseEnd): LeaseAnswer {
    return this.records.byNumber(end.number)?.endedBy === end.lease ? 'repeated' : 'lost';
  }

  #checkAncestors(key: string | undefined, parent: Task): void {
    const [nearest] = this.#admission.heldByAncestors(key, parent);
    if (nearest === undefined) return;
    const why = `key '${key}' is held by task '${nearest.key}', which would await this one while it waits for the key`;
    throw new DeadlockError(why, [nearest.key]);
  }
}

/** Its inputs have outcomes of their own, and it has none before the last of them has. */
function isRange({ rules }: Task): boolean {
  return rules?.part !== undefined && rules.part.count > 1 && rules.part.open > 0;
}
