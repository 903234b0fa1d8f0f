/**
 * The window of leased, un-started tasks as two threads see it: the main thread, which starts them, and the helper,
 * which gives them back while the main thread is busy. One word per task decides who has it:
 *
 *     HELD ──(main: compare-and-set)──▶ STARTED          HELD ──(helper: compare-and-set)──▶ RETURNED
 *
 * The word of a range counts how many of its inputs have been started; to be given back it is negated, in whichever of
 * the two threads, and none of the others is started any more:
 *
 *     ITEMS + 0 ──(main)──▶ ITEMS + 1 ──(main)──▶ … ITEMS + n ──(helper, or main)──▶ -n - 1
 *
 * Slots form a ring in the order of the leases, which grow. The helper may also give back tasks that the main thread has
 * not read yet: it says up to which lease it has done so, and the main thread looks at that whenever a task comes. Of the
 * two, at least one sees what the other did, because each writes its own word before it reads the other's.
 */

/**
 * Most tasks that a taker asks for, a power of two: three milliseconds of the shortest. Fewer would have both sides wake up
 * for each handful of them, which costs more than the tasks.
 */
export const MAX_WINDOW = 2048;
/** Slots of the ring, a power of two: calls that ask while the window fills bring a few more. */
const CAPACITY = 2 * MAX_WINDOW;

const HELD = 1;
const STARTED = 2;
const RETURNED = 3;
const ITEMS = 4;

/** Places of the words: how many tasks have come, how often the helper was to take some back, and did; the slots. */
const TAIL = 0;
const RECALLS = 1;
const TAKEN = 2;
const SLOTS = 3;
/** Places of the numbers: a time; the lease up to which the helper took back; the leases of the slots. */
const SINCE = 0;
const UP_TO = 1;
const LEASES = 2;

/** When this thread's clock began. */
const ORIGIN = performance.timeOrigin;

/** The counters grow for ever, and wrap. */
function slotOf(counter: number): number {
  return counter & (CAPACITY - 1);
}

export class SharedWindow {
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #numbers: Float64Array;
  /** Of the main thread: how many tasks have been started, and have come. */
  #head: number;
  #tail: number;
  /** Of the main thread: what it last saw of the helper's. */
  #recalls = 0;
  #upTo = 0;
  #taken = 0;

  /** `count`: where the counters begin. */
  constructor(memory?: SharedArrayBuffer, count = 0) {
    this.memory = memory ?? new SharedArrayBuffer(8 * (LEASES + CAPACITY) + 4 * (SLOTS + CAPACITY));
    this.#numbers = new Float64Array(this.memory, 0, LEASES + CAPACITY);
    this.#words = new Int32Array(this.memory, 8 * (LEASES + CAPACITY), SLOTS + CAPACITY);
    if (memory === undefined) this.#words[TAIL] = count;
    this.#head = this.#tail = this.#words[TAIL] as number;
  }

  /** Main thread: a task or a range has come. False where there is no slot for it. */
  add(lease: number, range = false): boolean {
    const tail = this.#tail;
    if (((tail - this.#head) | 0) === CAPACITY) return false;
    const slot = slotOf(tail);
    this.#numbers[LEASES + slot] = lease;
    const held = range ? ITEMS : HELD;
    Atomics.store(this.#words, SLOTS + slot, held);
    this.#tail = (tail + 1) | 0;
    Atomics.store(this.#words, TAIL, this.#tail);
    const recalls = Atomics.load(this.#words, RECALLS);
    if (recalls !== this.#recalls) {
      this.#recalls = recalls;
      this.#upTo = this.#numbers[UP_TO] as number;
    }
    if (lease <= this.#upTo) Atomics.compareExchange(this.#words, SLOTS + slot, held, range ? -1 : RETURNED);
    return true;
  }

  /** The slot of whatever comes next. */
  get nextSlot(): number {
    return slotOf(this.#tail);
  }

  /** Main thread: the helper has taken tasks back since this was last asked. */
  tookBack(): boolean {
    const taken = Atomics.load(this.#words, TAKEN);
    const more = taken !== this.#taken;
    this.#taken = taken;
    return more;
  }

  /** Main thread, at `now`: the first one is a range, which begins. Returns its slot; -1 where it was given back. */
  open(now: number): number {
    const slot = slotOf(this.#head);
    this.#head = (this.#head + 1) | 0;
    this.busySince(now);
    return Atomics.load(this.#words, SLOTS + slot) < 0 ? -1 : slot;
  }

  /** Main thread: starts input `at` of the range; false where it has been given back. */
  startItem(slot: number, at: number): boolean {
    return Atomics.compareExchange(this.#words, SLOTS + slot, ITEMS + at, ITEMS + at + 1) === ITEMS + at;
  }

  /** Main thread: the inputs of the range from `at` on are given back; false where the helper was faster. */
  endItems(slot: number, at: number): boolean {
    return Atomics.compareExchange(this.#words, SLOTS + slot, ITEMS + at, -at - 1) === ITEMS + at;
  }

  /** Main thread, at `now` by `performance.now()`: starts the first task; false where the helper has given it back. */
  start(now: number): boolean {
    const head = this.#head;
    const mine = Atomics.compareExchange(this.#words, SLOTS + slotOf(head), HELD, STARTED) === HELD;
    this.#head = (head + 1) | 0;
    this.busySince(now);
    return mine;
  }

  /** Main thread: it is at something that began at `now`. */
  busySince(now: number): void {
    this.#numbers[SINCE] = now + ORIGIN;
  }

  /** Main thread: it is not in the middle of a task that began before now. */
  touch(): void {
    this.busySince(performance.now());
  }

  /** How long the main thread has been at what it does (ms). */
  get busyFor(): number {
    // `performance` counts from another origin in each thread; their sums are one monotonic clock.
    return performance.now() + ORIGIN - (this.#numbers[SINCE] as number);
  }

  /**
   * Helper: of these leases, in their order, takes those that have not been started, so that nobody starts them any
   * more, read or not. Of a range, named by its first lease, that is the first of those that have not.
   */
  takeBack(leases: readonly number[]): number[] {
    const words = this.#words;
    const numbers = this.#numbers;
    numbers[UP_TO] = Math.max(numbers[UP_TO] as number, ...leases);
    Atomics.add(words, RECALLS, 1);
    const slots = new Map<number, number>();
    const oldest = Math.min(...leases);
    let newest = 0;
    let tail: number;
    do {
      // What comes from here on, the main thread itself marks as taken back: it counts as not read yet.
      tail = Atomics.load(words, TAIL);
      slots.clear();
      for (let back = 1; back <= CAPACITY; back++) {
        const slot = slotOf(tail - back);
        const lease = numbers[LEASES + slot] as number;
        if (lease < oldest) break;
        slots.set(lease, slot);
      }
      newest = numbers[LEASES + slotOf(tail - 1)] as number;
    } while (Atomics.load(words, TAIL) !== tail);
    const taken: number[] = [];
    for (const lease of leases) {
      if (lease > newest) {
        // Not read yet.
        taken.push(lease);
        continue;
      }
      const slot = slots.get(lease);
      // Started so long ago that its slot has been used again.
      if (slot === undefined) continue;
      const begun = this.#takeItems(SLOTS + slot);
      if (begun >= 0) {
        taken.push(lease + begun);
        continue;
      }
      const state = Atomics.compareExchange(words, SLOTS + slot, HELD, RETURNED);
      if (state === HELD || state === RETURNED) taken.push(numbers[LEASES + slot] as number);
    }
    if (taken.length > 0) Atomics.add(words, TAKEN, 1);
    return taken;
  }

  /** How many of a range have been started, the others being given back now or before; -1 where the word is no range's. */
  #takeItems(word: number): number {
    for (;;) {
      const state = Atomics.load(this.#words, word);
      if (state < 0) return -state - 1;
      if (state < ITEMS) return -1;
      const begun = state - ITEMS;
      if (Atomics.compareExchange(this.#words, word, state, -begun - 1) === state) return begun;
    }
  }
}
