/**
 * One session's side of a task queue as a taker: the tasks it holds, the calls in which it waits, and its window, which
 * is how many leased tasks it wants to have lying ready so that the next one is there when one ends.
 */
import { LeaseLostError } from '../../errors.ts';
import { errorItem } from '../../protocol/errors.ts';
import { ToClient } from '../../protocol/messages.ts';
import type { Item } from '../../protocol/wire.ts';
import type { Offer, OfferSpec } from '../../queue/demands.ts';
import type { Failure, Holder, Task } from '../../queue/task.ts';
import type { Link } from '../../transport/link.ts';
import { listOf } from '../arguments.ts';
import type { Session } from '../session.ts';
import type { Wait } from './kinds.ts';
import { failureItem } from './payload.ts';
import { amountsOf, tagsOf, wordOf } from './rules.ts';

/** Ranges take longer than the short tasks that a window of more than so many was made for. */
const FEW = 8;

/** The worker as records show it: kept by every task that it held. */
export interface WorkerInfo {
  readonly name: string;
  readonly pid: number;
  readonly host: string;
}

/** What a taker offers, from [name, tags, resources]. */
export function offerOf(item: Item, peer: string): OfferSpec {
  const [name, tags, resources] = listOf(item, 'an offer');
  return {
    worker: name === undefined ? peer : wordOf(name, 'name'),
    tags: tags === undefined ? [] : tagsOf(tags),
    resources: resources === undefined ? {} : amountsOf(resources, 'resources'),
  };
}

/** A run that must end: of a task that was cancelled, or under a lease that has overrun. */
export interface Ending {
  readonly failure: Failure;
  /** When it was cancelled; when the run that has overrun began. */
  readonly since: number;
  /** The grace is over as well. */
  overdue: boolean;
}

/** What ends with leases: waits of an attempt for locks, and locks that it took. */
class Bound {
  readonly #waits = new Map<number, Set<() => void>>();
  readonly #grants = new Map<number, Set<() => void>>();

  bind(lease: number, end: () => void, waits: boolean): () => void {
    const by = waits ? this.#waits : this.#grants;
    const ends = by.get(lease) ?? new Set();
    by.set(lease, ends.add(end));
    return () => {
      ends.delete(end);
      if (ends.size === 0 && by.get(lease) === ends) by.delete(lease);
    };
  }

  /** The waits first: what the attempt held must not be passed on to itself. */
  ended(lease: number): void {
    for (const by of [this.#waits, this.#grants]) {
      const ends = by.get(lease);
      by.delete(lease);
      for (const end of [...(ends ?? [])]) end();
    }
  }
}

export class Taker implements Holder {
  readonly session: Session;
  readonly handle: number;
  readonly worker: WorkerInfo;
  readonly offer: Offer;
  /** By lease, in the order in which they were leased. */
  readonly leases = new Map<number, Task>();
  /** Most tasks it wants to hold; 1: only what it asks for. */
  window = 1;
  /** First leases of the ranges that it was given last. */
  #rangeBefore = 0;
  #lastRange = 0;
  /** Leases up to this one have started. */
  started = 0;
  /** When it last asked for a task by a call. */
  askedAt = 0;
  /** Executions that it completed or failed. */
  done = 0;
  /** `extend`: leases that must live until then, whatever the silence (tenths of a ms). */
  readonly extended = new Map<number, number>();
  /** Leases whose handlers wait for other tasks, each with what forgets its end. */
  readonly lent = new Map<number, () => void>();
  /** A worker loop takes through it. */
  loops = false;
  /** It takes ranges. */
  ranges = false;
  /** How many inputs of a `map` it takes with one lease. */
  wants: ((task: Task) => number) | undefined = undefined;
  /** By lease: what ends with it. Only while there is something. */
  bound: Bound | undefined = undefined;
  /** Those of its kind with room in their windows: kinds.ts. */
  hungryPeers = new Set<Taker>();
  /** Its calls that wait, in their order. */
  readonly waits = new Set<Wait>();
  /** The helper that has been asked to give back what has not been started, and has not answered. */
  recalled: Link | undefined = undefined;
  /** RECALLs that the helper has not answered. */
  recalls = 0;
  /** The last lease that it has been asked for. */
  #askedUpTo = 0;
  /** By lease: how long (ms) it may run, once its start has been reported. Only while there is something. */
  limits: Map<number, number> | undefined = undefined;
  /** By lease: runs that must end. Only while there is something. */
  endings: Map<number, Ending> | undefined = undefined;
  /** Its process is to be ended for what it runs: it is given nothing. The helper has been asked, or the group ordered. */
  doom: 'asked' | 'ordered' | undefined = undefined;

  constructor(session: Session, handle: number, enrol: (spec: OfferSpec) => Offer) {
    const { name, pid, host } = session.peer;
    this.session = session;
    this.handle = handle;
    const offered = session.offers.get(handle) ?? { worker: name };
    this.worker = { name: offered.worker ?? name, pid, host };
    this.offer = enrol(offered);
  }

  /** Nobody will run what it is given. */
  get doomed(): boolean {
    return this.doom !== undefined || this.session.processEnded;
  }

  /** `end` is called when the lease ends before the function returned is; of one that `waits` before others. */
  bind(lease: number, end: () => void, waits: boolean): () => void {
    return (this.bound ??= new Bound()).bind(lease, end, waits);
  }

  /** A lease with a limit on its run, whose start will be reported. */
  limit(lease: number, ms: number): void {
    const limits = (this.limits ??= new Map<number, number>());
    // What was given back un-started is still among them.
    if (limits.size > 2 * this.leases.size)
      for (const old of limits.keys()) if (!this.leases.has(old)) limits.delete(old);
    limits.set(lease, ms);
  }

  mustEnd(lease: number, ending: Ending): void {
    (this.endings ??= new Map<number, Ending>()).set(lease, ending);
  }

  /** The run has ended. False where it did not have to. */
  settled(lease: number): boolean {
    const { endings } = this;
    if (endings?.delete(lease) !== true) return false;
    if (endings.size === 0) this.endings = undefined;
    return true;
  }

  /** There is room for another task that it did not ask for by a call. */
  get hungry(): boolean {
    return (
      this.window > 1 &&
      this.leases.size - this.lent.size < this.window &&
      !this.session.congested &&
      (this.window <= FEW || !this.#hasRanges)
    );
  }

  /** It was given a range, under that lease and those that follow. */
  gotRange(lease: number): void {
    this.#rangeBefore = this.#lastRange;
    this.#lastRange = lease;
  }

  /** What each of its last two ranges began with has not ended: in a window made for short tasks, more would be too much. */
  get #hasRanges(): boolean {
    const before = this.#rangeBefore;
    return before > 0 && this.leases.has(before) && this.leases.has(this.#lastRange);
  }

  /** It has tasks that it may not have started. */
  get spare(): number {
    let spare = 0;
    for (const [lease, task] of this.leases) if (lastOf(lease, task) > this.started) spare++;
    return spare;
  }

  /**
   * Whether the process may have started on a task: reported so, or the next in line. That of a task that may run once
   * only, that of one with a limit on its run, and that of one that may have ended a worker, is always reported first.
   */
  hasStarted(task: Task, position: number): boolean {
    if (this.limits?.has(task.lease) === true) return false;
    return task.lease <= this.started || (position === 0 && !startsTold(task));
  }

  /** All leases, and of each whether the process may have started on it: lent ones have, and stand in no line. */
  starts(): [lease: number, task: Task, started: boolean][] {
    let position = 0;
    return Array.from(this.leases, ([lease, task]) => [
      lease,
      task,
      this.lent.has(lease) || this.hasStarted(task, position++),
    ]);
  }

  /**
   * The lease of the one task whose doing the end of the process can only be; undefined where it may be another's. While
   * anything runs it is not the doing of what waits for other tasks.
   */
  get culprit(): number | undefined {
    const all = this.starts();
    const started = all.filter(([, , begun]) => begun);
    const running = started.filter(([lease]) => !this.lent.has(lease));
    const suspects = running.length > 0 ? running : started;
    const lease = suspects[0]?.[0];
    if (lease === undefined || suspects.length > 1) return undefined;
    // Short tasks are run out before anything is said of them: it may have been any that lay there.
    const reported = lease <= this.started || this.lent.has(lease);
    const others = all.some(([other, task]) => other > lease && !startsTold(task) && !this.limits?.has(other));
    return reported || !others ? lease : undefined;
  }

  /** The handler of that lease waits for other tasks. */
  lend(lease: number): void {
    const unbind = this.bind(lease, () => this.lent.delete(lease), true);
    this.lent.set(lease, unbind);
  }

  /** It goes on; false where it did not wait. */
  reclaim(lease: number): boolean {
    this.lent.get(lease)?.();
    return this.lent.delete(lease);
  }

  taken(call: number, count: number): void {
    const { link } = this.session;
    const start = link.begin(ToClient.TAKEN);
    link.writer.u32(call);
    link.writer.u16(count);
    link.end(start);
  }

  /** Its lease on a task was taken away. */
  lost(lease: number, failure: Failure): void {
    const { session, handle } = this;
    if (session.ended) return;
    const wasCancelled = failure.code === 'QM_TASK_CANCELLED';
    const { link } = session;
    const start = link.begin(ToClient.LOST);
    link.writer.u32(handle);
    link.writer.u48(lease);
    link.writer.item(wasCancelled ? failureItem(failure) : errorItem('QM_LEASE_LOST', failure.message));
    link.end(start);
  }

  /** What it runs under that lease must end; the lease stays. */
  stop(lease: number, failure: Failure): void {
    const { link } = this.session;
    const start = link.begin(ToClient.STOP);
    link.writer.u32(this.handle);
    link.writer.u48(lease);
    link.writer.item(failureItem(failure));
    link.end(start);
  }

  /** The helper has given back whatever had not been started. */
  hasStartedAll(): void {
    for (const lease of this.leases.keys()) this.started = Math.max(this.started, lease);
    this.limits = undefined;
  }

  /** Asks for un-started tasks back, by the helper, which answers even while the main thread is busy. */
  recall(): void {
    const link = this.session.helper;
    if (link === undefined || this.recalled === link) return;
    // All of them: the helper tells what has been started, and takes what its main thread has not read up to the last.
    this.#recall(link, [...this.leases.keys()]);
  }

  /** The helper has answered. What it has been asked for and has not given back has been started. */
  answered(): void {
    this.recalled = undefined;
    if (this.recalls > 0 && --this.recalls === 0) this.started = Math.max(this.started, this.#askedUpTo);
  }

  /** Whether that lease, cancelled or not, may not have been started. */
  isUnsure(lease: number): boolean {
    return lease > this.started || this.limits?.has(lease) === true;
  }

  /** All such leases. */
  unsure(): number[] {
    return [...(this.endings?.keys() ?? []), ...this.leases.keys()].filter((lease) => this.isUnsure(lease));
  }

  /** Asks the helper, where it is there, for all of them. */
  recallAll(): void {
    const link = this.session.helper;
    if (link !== undefined) this.#recall(link, this.unsure());
  }

  #recall(link: Link, leases: readonly number[]): void {
    this.recalls = this.recalled === undefined || this.recalled === link ? this.recalls + 1 : 1;
    this.recalled = link;
    for (const [lease, task] of this.leases) this.#askedUpTo = Math.max(this.#askedUpTo, lastOf(lease, task));
    const start = link.begin(ToClient.RECALL);
    link.writer.u32(this.handle);
    link.writer.u32(leases.length);
    for (const lease of leases) link.writer.u48(lease);
    link.end(start);
  }
}

/** The last lease of what was leased together. */
function lastOf(lease: number, { rules }: Task): number {
  return lease + (rules?.part?.count ?? 1) - 1;
}

/** The manager hears of its start before it starts. */
function startsTold({ poisonAfter, rules }: Task): boolean {
  return poisonAfter === 1 || rules?.part?.careful === true;
}

export function refuseLease(session: Session, call: number, lease: number): void {
  const why = `lease ${lease} has ended: the task was given to another worker, cancelled, or its record has gone`;
  session.failed(call, new LeaseLostError(why));
}
