/** A first-in-first-out ring that grows by doubling and gives memory back when it has emptied. */
export class Deque<T> {
  #ring: (T | undefined)[] = new Array<T | undefined>(16);
  #head = 0;
  #size = 0;

  constructor() {
    this.clear(); // assigned twice, so that V8 does not take them for constants
  }

  get size(): number {
    return this.#size;
  }

  push(value: T): void {
    if (this.#size === this.#ring.length) this.#resize(this.#size * 2);
    this.#ring[(this.#head + this.#size) & (this.#ring.length - 1)] = value;
    this.#size++;
  }

  unshift(value: T): void {
    if (this.#size === this.#ring.length) this.#resize(this.#size * 2);
    this.#head = (this.#head - 1) & (this.#ring.length - 1);
    this.#ring[this.#head] = value;
    this.#size++;
  }

  shift(): T | undefined {
    if (this.#size === 0) return undefined;
    const value = this.#ring[this.#head];
    this.#ring[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#ring.length - 1);
    this.#size--;
    if (this.#size === 0 && this.#ring.length > 4096) this.#resize(16);
    return value;
  }

  pop(): T | undefined {
    if (this.#size === 0) return undefined;
    this.#size--;
    const at = (this.#head + this.#size) & (this.#ring.length - 1);
    const value = this.#ring[at];
    this.#ring[at] = undefined;
    return value;
  }

  peek(): T | undefined {
    return this.#ring[this.#head];
  }

  peekLast(): T | undefined {
    return this.#size === 0 ? undefined : this.#ring[(this.#head + this.#size - 1) & (this.#ring.length - 1)];
  }

  clear(): void {
    this.#ring = new Array<T | undefined>(16);
    this.#head = this.#size = 0;
  }

  *[Symbol.iterator](): IterableIterator<T> {
    for (let i = 0; i < this.#size; i++) yield this.#ring[(this.#head + i) & (this.#ring.length - 1)] as T;
  }

  #resize(capacity: number): void {
    const ring = new Array<T | undefined>(capacity);
    for (let i = 0; i < this.#size; i++) ring[i] = this.#ring[(this.#head + i) & (this.#ring.length - 1)];
    this.#ring = ring;
    this.#head = 0;
  }
}
