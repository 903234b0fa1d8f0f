/** First come, first served, and any of them may leave in O(1): the waiters of a lock, a queue, a task. */
export class WaitList<T> {
  #first: Entry<T> | undefined;
  #last: Entry<T> | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Joins the end; the function returned leaves again, and says whether the waiter was still there. */
  add(value: T): () => boolean {
    const entry: Entry<T> = { value, before: this.#last, after: undefined, listed: true };
    if (this.#last === undefined) this.#first = entry;
    else this.#last.after = entry;
    this.#last = entry;
    this.#size++;
    return () => this.#remove(entry);
  }

  peek(): T | undefined {
    return this.#first?.value;
  }

  shift(): T | undefined {
    const entry = this.#first;
    if (entry === undefined) return undefined;
    this.#remove(entry);
    return entry.value;
  }

  *[Symbol.iterator](): IterableIterator<T> {
    for (let entry = this.#first; entry !== undefined; entry = entry.after) yield entry.value;
  }

  #remove(entry: Entry<T>): boolean {
    if (!entry.listed) return false;
    entry.listed = false;
    if (entry.before === undefined) this.#first = entry.after;
    else entry.before.after = entry.after;
    if (entry.after === undefined) this.#last = entry.before;
    else entry.after.before = entry.before;
    this.#size--;
    return true;
  }
}

interface Entry<T> {
  readonly value: T;
  before: Entry<T> | undefined;
  after: Entry<T> | undefined;
  listed: boolean;
}
