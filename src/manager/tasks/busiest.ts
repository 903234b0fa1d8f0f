/**
 * Workers that are busy with tiny tasks. A task that takes a worker a few microseconds costs the manager as much, and
 * whoever put it, so that one worker keeps up with both of them. Others would bring nothing, where there is no processor
 * for them, but their wake-ups and the compiling of the same code once more: they are let alone (decision 0023).
 */
import { availableParallelism, hostname } from 'node:os';
import type { TaskQueue } from '../../queue/queue.ts';
import { runDelay } from '../run-delay.ts';
import type { Kinds } from './kinds.ts';
import type { Taker } from './taker.ts';

/** A window of so many holds tasks that take less than 8 µs each, what surrounds them in the worker included. */
const TINY = 512;
/**
 * So many windows, each of four milliseconds of work, may wait for a worker while others have nothing to do; more of them
 * while it has asked for a task in the last so many tenths of a millisecond, because it had none: it keeps up.
 */
const BACKLOG = 24;
const LATELY = 200;
/**
 * Who has ended nothing for so long (ms), but for the time in which its thread waited for a processor, is at a task that is
 * not tiny. Less would be mistaken for that where it waits for its engine's other threads, which wait for one. Where the
 * system does not say who waits, it takes STUCK_UNSEEN.
 */
const STUCK = 20;
const STUCK_UNSEEN = 40;

/** A worker as it was when it was last looked at, or last had ended something. */
interface Look {
  readonly done: number;
  readonly at: number;
  readonly delay: number | undefined;
}

export class Busiest {
  /** How many workers there is a processor for: one is the manager's, and one that of whoever puts the tasks. */
  readonly #most = Math.max(1, availableParallelism() - 2);
  readonly #queue: TaskQueue;
  readonly #kinds: Kinds;
  readonly #all: ReadonlySet<Taker>;
  /** Answers a taker's calls, and fills its window. */
  readonly #fill: (taker: Taker, now: number) => void;
  /** Those of tiny tasks; the first are the busiest. */
  readonly #takers = new Set<Taker>();
  /** What was left to them the others are to be asked for. */
  readonly #spare: () => void;
  /** Something is left to them. */
  #left = false;
  #watch: NodeJS.Timeout | undefined;
  #looks = new Map<Taker, Look>();

  constructor(
    queue: TaskQueue,
    kinds: Kinds,
    all: ReadonlySet<Taker>,
    fill: (taker: Taker, now: number) => void,
    spare: () => void,
  ) {
    this.#queue = queue;
    this.#kinds = kinds;
    this.#all = all;
    this.#fill = fill;
    this.#spare = spare;
  }

  /** Its window may be another one. What it holds is asked back, where others wait and its tasks are not tiny any more. */
  note(taker: Taker): void {
    if (taker.loops && taker.window >= TINY) this.#takers.add(taker);
    else if (this.delete(taker) && this.#kinds.waiting > 0 && taker.spare > 0) taker.recall();
  }

  /** False where it was none of them. */
  delete(taker: Taker): boolean {
    if (!this.#takers.delete(taker)) return false;
    this.#letGo();
    return true;
  }

  /**
   * Whether what is ready is left to the busiest, whose windows are filled first: nobody else is to be given any of it,
   * neither `asks` nor those who wait. Not while somebody waits by hand, or anything that is ready asks for something.
   */
  keepUp(now: number, asks?: Taker): boolean {
    if (asks !== undefined) {
      asks.askedAt = now;
      if (!asks.loops || this.#has(asks)) return false;
    }
    if (this.#all.size <= this.#most || this.#takers.size < this.#most) return false;
    if (this.#kinds.byHand > 0 || !this.#queue.ordinary) return this.#letGo();
    let place = 0;
    let most = 0;
    let ranDry = true;
    for (const taker of this.#takers) {
      this.#fill(taker, now);
      ranDry &&= now - taker.askedAt <= LATELY;
      // It does not take what there is.
      if (this.#queue.ready > 0 && taker.leases.size < taker.window) return this.#letGo();
      most += BACKLOG * taker.window;
      if (++place === this.#most) break;
    }
    if (this.#queue.ready > most && !ranDry) return this.#letGo();
    this.#left = this.#queue.ready > 0;
    return true;
  }

  #letGo(): false {
    if (this.#left) this.#spare();
    return (this.#left = false);
  }

  #has(taker: Taker): boolean {
    let place = 0;
    for (const busy of this.#takers) {
      if (place++ === this.#most) return false;
      if (busy === taker) return true;
    }
    return false;
  }

  /** It will be asked for what it has not started, should it get stuck. */
  watches(taker: Taker): boolean {
    return this.#watch !== undefined && this.#looks.has(taker) && this.#takers.has(taker);
  }

  /** Others have nothing to do: who gets stuck has nothing left to it, and is asked for what it has not started. */
  watch(): void {
    if (this.#watch !== undefined) return;
    const before = this.#looks;
    this.#looks = new Map<Taker, Look>();
    for (const taker of this.#takers) {
      if (taker.spare === 0) continue;
      const last = before.get(taker);
      this.#looks.set(taker, last?.done === taker.done ? last : lookAt(taker));
    }
    if (this.#looks.size === 0) return;
    const look = (): void => {
      this.#watch = undefined;
      if (this.#kinds.waiting === 0) return this.#looks.clear();
      for (const [taker, last] of this.#looks) {
        if (!this.#takers.has(taker) || !isStuck(taker, last)) continue;
        this.delete(taker);
        taker.recall();
      }
      this.watch();
    };
    // What they have said meanwhile may lie in the sockets, which are read between a timer and an immediate.
    this.#watch = setTimeout(() => setImmediate(look), STUCK).unref();
  }
}

function lookAt({ done, worker }: Taker): Look {
  return { done, at: performance.now(), delay: worker.host === hostname() ? runDelay(worker.pid) : undefined };
}

function isStuck(taker: Taker, last: Look): boolean {
  if (taker.done !== last.done) return false;
  const now = lookAt(taker);
  const passed = now.at - last.at;
  if (now.delay === undefined || last.delay === undefined) return passed >= STUCK_UNSEEN;
  return passed - (now.delay - last.delay) >= STUCK;
}
