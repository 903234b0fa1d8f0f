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
import { failureItem } from './payload.ts';
import { amountsOf, tagsOf, wordOf } from './rules.ts';

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
  /** Leases up to this one have started. */
  started = 0;
  /** Executions that it completed or failed. */
  done = 0;
  /** `extend`: leases that must live until then, whatever the silence (tenths of a ms). */
  readonly extended = new Map<number, number>();
  /** By lease: what ends with it. Only while there is something. */
  bound: Bound | undefined = undefined;
  /** Those of its kind with room in their windows: kinds.ts. */
  hungryPeers = new Set<Taker>();
  /** The helper that has been asked to give back what has not been started, and has not answered. */
  recalled: Link | undefined = undefined;

  constructor(session: Session, handle: number, enrol: (spec: OfferSpec) => Offer) {
    const { name, pid, host } = session.peer;
    this.session = session;
    this.handle = handle;
    const offered = session.offers.get(handle) ?? { worker: name };
    this.worker = { name: offered.worker ?? name, pid, host };
    this.offer = enrol(offered);
  }

  /** `end` is called when the lease ends before the function returned is; of one that `waits` before others. */
  bind(lease: number, end: () => void, waits: boolean): () => void {
    return (this.bound ??= new Bound()).bind(lease, end, waits);
  }

  /** There is room for another task that it did not ask for by a call. */
  get hungry(): boolean {
    return this.window > 1 && this.leases.size < this.window && !this.session.congested;
  }

  /** It has tasks that it may not have started. */
  get spare(): number {
    let spare = 0;
    for (const lease of this.leases.keys()) if (lease > this.started) spare++;
    return spare;
  }

  /**
   * Whether the process may have started on a task: reported so, or the next in line. That of a task that may run once
   * only is always reported first.
   */
  hasStarted(task: Task, position: number): boolean {
    return task.lease <= this.started || (position === 0 && task.poisonAfter > 1);
  }

  /** Tasks that the process may have started on. */
  get running(): number {
    let running = 0;
    let position = 0;
    for (const task of this.leases.values()) if (this.hasStarted(task, position++)) running++;
    return running;
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

  /** Asks for un-started tasks back, by the helper, which answers even while the main thread is busy. */
  recall(): void {
    const link = this.session.helper;
    if (link === undefined || this.recalled === link) return;
    this.recalled = link;
    // All of them: the helper tells what has been started, and takes what its main thread has not read up to the last.
    const leases = [...this.leases.keys()];
    const start = link.begin(ToClient.RECALL);
    link.writer.u32(this.handle);
    link.writer.u32(leases.length);
    for (const lease of leases) link.writer.u48(lease);
    link.end(start);
  }
}

export function refuseLease(session: Session, call: number, lease: number): void {
  const why = `lease ${lease} has ended: the task was given to another worker, cancelled, or its record has gone`;
  session.failed(call, new LeaseLostError(why));
}
