/**
 * A map whose keys are numbers that are given out counting up, and whose entries mostly go in about that order: calls
 * under way, tasks by number. A flat array from the oldest live key on; the few entries that outlive their neighbours by
 * far move to a Map, so that one old entry never pins the memory of all that came after it.
 */

/** Slots before the first live one are cut off when there are more than this many, and more than live ones. */
const CUT_AT = 1024;
/** A span of more than SPARSE slots per live entry (beyond a fixed number) moves its oldest entry out. */
const SPARSE = 8;
const FREE_SPAN = 1 << 16;
/** So many entries are moved out at once. */
const FEW = 64;

export class Numbered<T> {
  #slots: (T | undefined)[] = [];
  /** Key of the first slot. */
  #base = 0;
  /** Slots before this one are empty. */
  #head = 0;
  #inSlots = 0;
  readonly #old = new Map<number, T>();

  constructor() {
    this.clear(); // assigned twice, so that V8 does not take them for constants
  }

  get size(): number {
    return this.#inSlots + this.#old.size;
  }

  set(key: number, value: T): void {
    // What few entries need stands apart: code that V8 compiled before it has seen it would be thrown away.
    if (key - this.#base === this.#slots.length) {
      this.#slots.push(value);
      this.#inSlots++;
    } else {
      this.#place(key, value);
    }
  }

  /** Of a key that does not follow the last one. */
  #place(key: number, value: T): void {
    if (this.#inSlots === 0) {
      this.#slots.length = 0;
      this.#head = 0;
      this.#base = key;
    }
    const at = key - this.#base;
    const { length } = this.#slots;
    if (at === length) {
      this.#slots.push(value);
      this.#inSlots++;
    } else if (at > length && this.#inSlots <= FEW) {
      // Counting has jumped, over inputs of a map that are one task: the array begins anew there.
      while (this.#inSlots > 0) this.#evict();
      this.set(key, value);
    } else if (at < 0 || at > length) {
      // It has begun anew, or jumped while there are many.
      this.#old.set(key, value);
    } else {
      if (this.#slots[at] === undefined) this.#inSlots++;
      this.#slots[at] = value;
      if (at < this.#head) this.#head = at;
    }
  }

  get(key: number): T | undefined {
    const value = this.#slots[key - this.#base];
    if (value !== undefined) return value;
    return this.#old.size === 0 ? undefined : this.#old.get(key);
  }

  has(key: number): boolean {
    return this.get(key) !== undefined;
  }

  delete(key: number): void {
    const at = key - this.#base;
    if (this.#slots[at] === undefined) {
      this.#old.delete(key);
      return;
    }
    this.#slots[at] = undefined;
    this.#inSlots--;
    if (at === this.#head) this.#advance();
    else if (this.#slots.length - this.#head > FREE_SPAN + SPARSE * this.#inSlots) this.#evict();
  }

  clear(): void {
    this.#slots = [];
    this.#head = this.#inSlots = this.#base = 0;
    this.#old.clear();
  }

  /** By their keys. */
  *values(): IterableIterator<T> {
    for (const [, value] of this.entries()) yield value;
  }

  *entries(): IterableIterator<[number, T]> {
    const old = [...this.#old].sort(([a], [b]) => a - b).values();
    let next = old.next();
    for (let at = this.#head; at < this.#slots.length; at++) {
      const value = this.#slots[at];
      if (value === undefined) continue;
      for (; next.done !== true && next.value[0] < this.#base + at; next = old.next()) yield next.value;
      yield [this.#base + at, value];
    }
    for (; next.done !== true; next = old.next()) yield next.value;
  }

  #advance(): void {
    const slots = this.#slots;
    let head = this.#head;
    while (head < slots.length && slots[head] === undefined) head++;
    if (head > CUT_AT && head * 2 > slots.length) {
      slots.splice(0, head);
      this.#base += head;
      head = 0;
    }
    this.#head = head;
  }

  #evict(): void {
    const oldest = this.#slots[this.#head];
    if (oldest !== undefined) {
      this.#old.set(this.#base + this.#head, oldest);
      this.#slots[this.#head] = undefined;
      this.#inSlots--;
    }
    this.#advance();
  }
}
