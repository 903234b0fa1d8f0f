/** What is due at a time: a binary heap whose entries know their places, so that each can be taken out again. */
import type { Key } from './keys.ts';
import type { Task } from './task.ts';

/** In the order in which timers of the same time come. */
export type TimerKind = 'wake' | 'expiry' | 'key' | 'rest';
const kinds: Readonly<Record<TimerKind, number>> = { wake: 0, expiry: 1, key: 2, rest: 3 };

export class Timer {
  readonly at: number;
  readonly kind: TimerKind;
  readonly of: Task | Key;
  /** Its place in the heap; -1 outside of it. */
  slot = -1;

  constructor(at: number, kind: TimerKind, of: Task | Key) {
    this.at = at;
    this.kind = kind;
    this.of = of;
  }

  before(other: Timer): boolean {
    if (this.at !== other.at) return this.at < other.at;
    if (this.kind !== other.kind) return kinds[this.kind] < kinds[other.kind];
    return this.of.number < other.of.number;
  }
}

export class Timers {
  readonly #heap: Timer[] = [];
  /** Called when a timer comes that is due before all others. */
  readonly #sooner: () => void;

  constructor(sooner: () => void) {
    this.#sooner = sooner;
  }

  get size(): number {
    return this.#heap.length;
  }

  /** When the first is due; Infinity without any. */
  get next(): number {
    return this.#heap[0]?.at ?? Infinity;
  }

  values(): IterableIterator<Timer> {
    return this.#heap.values();
  }

  add(timer: Timer): void {
    this.#heap.push(timer);
    this.#up(timer, this.#heap.length - 1);
    if (timer.slot === 0) this.#sooner();
  }

  /** Nothing happens where it is not in. */
  remove(timer: Timer): void {
    const { slot } = timer;
    if (slot < 0) return;
    timer.slot = -1;
    const last = this.#heap.pop() as Timer;
    if (last === timer) return;
    if (slot > 0 && last.before(this.#heap[(slot - 1) >> 1] as Timer)) this.#up(last, slot);
    else this.#down(last, slot);
  }

  /** Takes out the first, where it is due. */
  due(now: number): Timer | undefined {
    const first = this.#heap[0];
    if (first === undefined || first.at > now) return undefined;
    this.remove(first);
    return first;
  }

  #up(timer: Timer, from: number): void {
    let at = from;
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = this.#heap[up] as Timer;
      if (!timer.before(parent)) break;
      this.#put(parent, at);
      at = up;
    }
    this.#put(timer, at);
  }

  #down(timer: Timer, from: number): void {
    const heap = this.#heap;
    let at = from;
    for (;;) {
      let down = 2 * at + 1;
      if (down >= heap.length) break;
      if (down + 1 < heap.length && (heap[down + 1] as Timer).before(heap[down] as Timer)) down++;
      const child = heap[down] as Timer;
      if (!child.before(timer)) break;
      this.#put(child, at);
      at = down;
    }
    this.#put(timer, at);
  }

  #put(timer: Timer, at: number): void {
    this.#heap[at] = timer;
    timer.slot = at;
  }
}
