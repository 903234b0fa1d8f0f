/**
 * The window of leased, un-started tasks as two threads see it: the main thread, which starts them, and the helper,
 * which gives them back while the main thread is busy. One word per task decides who has it:
 *
 *     HELD ──(main: compare-and-set)──▶ STARTED          HELD ──(helper: compare-and-set)──▶ RETURNED
 *
 * Slots form a ring in the order of the leases: the main thread starts from its head, the helper takes from its tail.
 */

/** Most tasks that a taker asks for. */
export const MAX_WINDOW = 256;
/** Slots of the ring: calls that ask while the window fills bring a few more. */
const CAPACITY = 2 * MAX_WINDOW;

const HELD = 1;
const STARTED = 2;
const RETURNED = 3;

const HEAD = 0;
const TAIL = 1;
const SLOTS = 2;
/** Place of the time in `#numbers`; the leases come after it. */
const SINCE = 0;

export class SharedWindow {
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #numbers: Float64Array;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(8 * (CAPACITY + 1) + 4 * (CAPACITY + SLOTS))) {
    this.memory = memory;
    this.#numbers = new Float64Array(memory, 0, CAPACITY + 1);
    this.#words = new Int32Array(memory, 8 * (CAPACITY + 1), CAPACITY + SLOTS);
  }

  /** Main thread: a task has come. False where there is no slot for it: then the helper does not know it. */
  add(lease: number): boolean {
    const tail = Atomics.load(this.#words, TAIL);
    if (tail - Atomics.load(this.#words, HEAD) === CAPACITY) return false;
    this.#numbers[1 + (tail % CAPACITY)] = lease;
    Atomics.store(this.#words, SLOTS + (tail % CAPACITY), HELD);
    Atomics.store(this.#words, TAIL, tail + 1);
    return true;
  }

  /** Main thread, at `now` by `performance.now()`: starts the first task; false where the helper has given it back. */
  start(now: number): boolean {
    const head = Atomics.load(this.#words, HEAD);
    const slot = SLOTS + (head % CAPACITY);
    const mine = Atomics.compareExchange(this.#words, slot, HELD, STARTED) === HELD;
    Atomics.store(this.#words, HEAD, head + 1);
    this.#numbers[SINCE] = now + performance.timeOrigin;
    return mine;
  }

  /** Main thread: it is not in the middle of a task that began before now. */
  touch(): void {
    this.#numbers[SINCE] = performance.now() + performance.timeOrigin;
  }

  /** How long the main thread has been at what it does (ms). */
  get busyFor(): number {
    // `performance` counts from another origin in each thread; their sums are one monotonic clock.
    return performance.now() + performance.timeOrigin - (this.#numbers[SINCE] as number);
  }

  /** Whether there is anything to give back. */
  get holds(): boolean {
    return Atomics.load(this.#words, TAIL) > Atomics.load(this.#words, HEAD);
  }

  /** Takes every un-started task, so that nobody starts it any more; their leases in order. */
  takeBack(): number[] {
    const leases: number[] = [];
    const head = Atomics.load(this.#words, HEAD);
    for (let at = Atomics.load(this.#words, TAIL) - 1; at >= head; at--) {
      const slot = at % CAPACITY;
      const lease = this.#numbers[1 + slot] as number;
      if (Atomics.compareExchange(this.#words, SLOTS + slot, HELD, RETURNED) === HELD) leases.push(lease);
    }
    return leases.reverse();
  }
}
