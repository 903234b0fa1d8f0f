/**
 * How a run is ended that must not go on, because its task was cancelled or it takes longer than its `runTimeout`.
 *
 *     timeout   STARTED ──runTimeout──▶ STOP: its signal aborts ──┐                  owned: its group ends the process
 *     cancel    LOST: its signal aborts, the lease has ended ─────┴── cancelGrace ─▶ remote: the lease ends, if it has not
 *
 * A lease whose time is up has *overrun*: it stays with its holder, who may be busy ending what it began, but whatever
 * becomes of it is the timeout. After a cancel ENDED says that the handler has returned, and nothing else happens. Nothing
 * here waits for the worker's main thread: before a process is ended its helper thread gives back what has not been
 * started, and says by that, too, whether the task to be ended ever began.
 *
 * One alarm for the queue. What ends in time leaves its rung behind, and those are cleared away when they are many.
 */
import { LeaseLostError } from '../../errors.ts';
import { Heap } from '../../queue/heap.ts';
import type { TaskQueue } from '../../queue/queue.ts';
import type { Failure, Task } from '../../queue/task.ts';
import type { ManagerCore } from '../core.ts';
import { Alarm } from './alarm.ts';
import { timedOut } from './payload.ts';
import type { Ending, Taker } from './taker.ts';

/** How long (tenths of a ms) a helper may take to give back what has not been started. */
const ANSWER = 10_000;
/** How long (likewise) one that is not there may take to come in: a worker that has just begun, on a busy machine. */
const COME_IN = 50_000;
/** How long (likewise) until a group is asked again: its connection may have been lost with the first order. */
const AGAIN = 10_000;
/** Rungs, most of them left behind, that are not worth clearing away. */
const FEW = 64;

/** In ms. */
export interface RunLimits {
  readonly runTimeout: number;
  readonly cancelGrace: number;
}

/** At that time the next step is due for the lease, where it still matters. */
interface Rung {
  readonly at: number;
  readonly taker: Taker;
  readonly lease: number;
  /** The `runTimeout` that is over then (ms); 0 where it was before. */
  readonly limit: number;
}

export class Ladder {
  readonly #manager: ManagerCore;
  readonly #queue: TaskQueue;
  readonly #limits: () => RunLimits;
  /** A taker that was given nothing may be given tasks again. */
  readonly #spared: () => void;
  readonly #alarm: Alarm;
  #rungs = newHeap();
  #many = FEW;
  /** What the alarm is set to. */
  #next = Infinity;
  #stopped = false;

  constructor(manager: ManagerCore, queue: TaskQueue, limits: () => RunLimits, spared: () => void) {
    this.#manager = manager;
    this.#queue = queue;
    this.#limits = limits;
    this.#spared = spared;
    this.#alarm = new Alarm(
      () => manager.now(),
      // A manager that was itself held up reads first what was said in time.
      () => setImmediate(() => this.#climb()),
    );
  }

  /** Rungs, also those that nothing will climb. */
  get size(): number {
    return this.#rungs.size;
  }

  /** How long (ms) a run of the task may take; Infinity for any time. */
  limitOf(task: Task): number {
    return task.rules?.asked.runTimeout ?? this.#limits().runTimeout;
  }

  /** The taker has started that lease and all before: the time of those with a limit begins. */
  started(taker: Taker, upTo: number): void {
    const { limits } = taker;
    if (limits === undefined) return;
    const now = this.#manager.at(taker.session.link.lastReceived);
    for (const [lease, limit] of limits) {
      if (lease > upTo) continue;
      limits.delete(lease);
      if (taker.leases.has(lease)) this.#add(now + Math.round(limit * 10), taker, lease, limit);
    }
    if (limits.size === 0) taker.limits = undefined;
  }

  /** The task was cancelled under that lease, which has ended. */
  cancelled(taker: Taker, lease: number, failure: Failure): void {
    taker.settled(lease);
    const { cancelGrace } = this.#limits();
    if (cancelGrace === Infinity || !this.#manager.vouchers.owned(taker.session)) return;
    const now = this.#manager.now();
    taker.mustEnd(lease, { failure, since: now, overdue: false });
    this.#add(now + Math.round(cancelGrace * 10), taker, lease);
  }

  /** Whoever had that lease, which has ended, has ended too. */
  ended(taker: Taker, lease: number): void {
    if (taker.leases.has(lease) || !taker.settled(lease)) return;
    if (taker.doom === 'asked') this.#judge(taker);
  }

  /** Whether the lease, which is still there, has overrun: it is being ended, and this is its failure. */
  overran(taker: Taker, lease: number): Failure | undefined {
    return taker.leases.has(lease) ? taker.endings?.get(lease)?.failure : undefined;
  }

  /**
   * The taker says by `call` (0: it wants no answer) what became of the lease. True where that is not what becomes of it,
   * because it has overrun, and the call has its answer.
   */
  tooLate(taker: Taker, call: number, lease: number): boolean {
    const failure = this.overran(taker, lease);
    if (failure === undefined) {
      this.ended(taker, lease);
      return false;
    }
    this.timeOut(taker, lease, failure);
    if (call !== 0) taker.session.failed(call, new LeaseLostError(failure.message));
    return true;
  }

  /** Ends a lease that has overrun: its attempt has failed. */
  timeOut(taker: Taker, lease: number, failure: Failure): void {
    const task = taker.leases.get(lease) as Task;
    const now = this.#manager.now();
    const ranFor = now - (taker.endings?.get(lease)?.since ?? now);
    taker.settled(lease);
    taker.extended.delete(lease);
    this.#queue.fail({ holder: taker, lease, number: task.number, ranFor }, failure, false, now);
    // Nothing that its holder says has been recorded: said again, it is refused again.
    task.endedBy = 0;
    if (taker.doom === 'asked' && !taker.session.ended) this.#judge(taker);
  }

  /** The helper has given back those of the leases that it was asked for which had not been started. */
  gaveBack(taker: Taker, leases: readonly number[]): void {
    for (const lease of leases) taker.settled(lease);
    if (taker.doom === 'asked' && taker.recalls === 0) this.#judge(taker, true);
  }

  /** Its helper has come in, perhaps in the place of one that left without an answer. */
  helperJoined(taker: Taker): void {
    if (taker.doom === 'asked') taker.recallAll();
  }

  /** Sessions have ended: what they held is ended with their processes. */
  clear(): void {
    const live = newHeap();
    for (const rung of this.#rungs.values()) if (isLive(rung)) live.push(rung);
    this.#rungs = live;
    this.#many = 2 * live.size + FEW;
  }

  /** The queue is not used any more. */
  stop(): void {
    this.#stopped = true;
    this.#alarm.stop();
  }

  #add(at: number, taker: Taker, lease: number, limit = 0): void {
    if (this.#rungs.size >= this.#many) this.clear();
    this.#rungs.push({ at, taker, lease, limit });
    if (at >= this.#next) return;
    this.#next = at;
    this.#alarm.set(at);
  }

  #climb(): void {
    if (this.#stopped) return;
    const now = this.#manager.now();
    for (let rung = this.#rungs.peek(); rung !== undefined; rung = this.#rungs.peek()) {
      const live = isLive(rung);
      if (live && rung.at > now) break;
      this.#rungs.pop();
      if (live) this.#reached(rung, now);
    }
    this.#next = this.#rungs.peek()?.at ?? Infinity;
    if (this.#next < Infinity) this.#alarm.set(this.#next);
  }

  #reached({ taker, lease, limit }: Rung, now: number): void {
    const ending = taker.endings?.get(lease);
    if (ending === undefined) this.#overrun(taker, lease, limit, now);
    else if (ending.overdue) this.#kill(taker, lease, ending);
    else this.#force(taker, lease, ending, now);
  }

  #overrun(taker: Taker, lease: number, limit: number, now: number): void {
    const failure = timedOut(taker.leases.get(lease) as Task, limit);
    taker.mustEnd(lease, { failure, since: now - Math.round(limit * 10), overdue: false });
    taker.stop(lease, failure);
    const { cancelGrace } = this.#limits();
    if (cancelGrace < Infinity) this.#add(now + Math.round(cancelGrace * 10), taker, lease);
  }

  /** The grace is over. */
  #force(taker: Taker, lease: number, ending: Ending, now: number): void {
    ending.overdue = true;
    if (!this.#manager.vouchers.owned(taker.session)) return this.#giveUp(taker, lease, ending);
    const { helper } = taker.session;
    if (taker.doom === undefined) {
      // It gets no more tasks, and what it has not started goes to others.
      taker.doom = 'asked';
      if (taker.unsure().length === 0) return this.#kill(taker, lease, ending);
      taker.recallAll();
    }
    // Without a helper nobody gives back anything, and what is known to run must end.
    if (helper === undefined && !taker.isUnsure(lease)) return this.#kill(taker, lease, ending);
    this.#add(now + (helper === undefined ? COME_IN : ANSWER), taker, lease);
  }

  /** Ends the process if that is still needed. `sure`: what its taker still holds has been started. */
  #judge(taker: Taker, sure = false): void {
    let asked = false;
    for (const [lease, ending] of taker.endings ?? []) {
      if (!ending.overdue) continue;
      if (sure) taker.hasStartedAll();
      if (sure || !taker.isUnsure(lease)) return this.#kill(taker, lease, ending);
      asked = true;
    }
    // Of what may not have been started the helper will say so, or the worker itself; the lease's own rung waits for it.
    if (asked) return;
    taker.doom = undefined;
    this.#spared();
  }

  #kill(taker: Taker, lease: number, ending: Ending): void {
    const why = `${ending.failure.message}, and went on after its signal`;
    if (!this.#manager.vouchers.kill(taker.session, why)) return this.#giveUp(taker, lease, ending);
    taker.doom = 'ordered';
    this.#add(this.#manager.now() + AGAIN, taker, lease);
  }

  /** Nobody can end the process: what it says from here on is refused. */
  #giveUp(taker: Taker, lease: number, { failure }: Ending): void {
    if (taker.leases.has(lease)) {
      this.timeOut(taker, lease, failure);
      taker.lost(lease, failure);
    } else {
      taker.settled(lease);
    }
    if (taker.doom === undefined) return;
    taker.doom = undefined;
    this.#spared();
  }
}

function newHeap(): Heap<Rung> {
  return new Heap<Rung>((a, b) => a.at < b.at);
}

/** A lease that has ended in another way than by a cancel matters no more. */
function isLive({ taker, lease }: Rung): boolean {
  if (taker.session.ended) return false;
  if (taker.leases.has(lease)) return true;
  if (taker.endings?.get(lease)?.failure.code === 'QM_TASK_CANCELLED') return true;
  taker.settled(lease);
  return false;
}
