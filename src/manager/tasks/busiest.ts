/**
 * Workers that are busy with tiny tasks. A task that takes a worker a few microseconds costs the manager and whoever put
 * it as much, so that one worker keeps up with both of them. Others would bring nothing where there is no processor for
 * them but their wake-ups, and the compiling of the same code in each of them: they are left alone.
 */
import { availableParallelism } from 'node:os';
import type { TaskQueue } from '../../queue/queue.ts';
import type { Taker } from './taker.ts';

/** A window of so many holds tasks that take less than 8 µs each, what surrounds them in the worker included. */
const TINY = 512;
/** So many windows (each of four milliseconds of work) may wait for a worker while others have nothing to do. */
const BACKLOG = 16;
/** One that has ended nothing for so long (ms) is at a task that is not tiny. */
const STUCK = 8;

export class Busiest {
  /** How many workers there is a processor for: one is the manager's, and one is that of whoever puts the tasks. */
  readonly most = Math.max(1, availableParallelism() - 2);
  /** Those of tiny tasks, the first of whom are the busiest. */
  readonly #takers = new Set<Taker>();
  #watch: NodeJS.Timeout | undefined;

  /** Its window is another one. */
  note(taker: Taker): void {
    if (taker.loops && taker.window >= TINY) this.#takers.add(taker);
    else this.#takers.delete(taker);
  }

  delete(taker: Taker): void {
    this.#takers.delete(taker);
  }

  has(taker: Taker): boolean {
    let place = 0;
    for (const busy of this.#takers) {
      if (place++ === this.most) return false;
      if (busy === taker) return true;
    }
    return false;
  }

  /** Others have nothing to do: whoever gets stuck is asked for what it has not started. */
  watch(): void {
    if (this.#watch !== undefined) return;
    const ended = new Map<Taker, number>();
    for (const taker of this.#takers) if (taker.spare > 0) ended.set(taker, taker.done);
    if (ended.size === 0) return;
    const look = (): void => {
      this.#watch = undefined;
      for (const [taker, done] of ended) if (taker.done === done && this.#takers.has(taker)) taker.recall();
      this.watch();
    };
    // What they have said meanwhile may lie in the sockets: those are read between a timer and an immediate.
    this.#watch = setTimeout(() => setImmediate(look), STUCK).unref();
  }

  /** Whether they can be left alone with what is ready once `fill` has filled their windows. */
  keepUp(queue: TaskQueue, fill: (taker: Taker) => void): boolean {
    if (this.#takers.size < this.most) return false;
    let place = 0;
    let room = 0;
    for (const taker of this.#takers) {
      fill(taker);
      // It does not take what there is.
      if (queue.ready > 0 && taker.leases.size < taker.window) return false;
      room += BACKLOG * taker.window;
      if (++place === this.most) break;
    }
    return queue.ready <= room;
  }
}
