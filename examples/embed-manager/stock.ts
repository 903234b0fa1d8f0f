/** A class like any other: the manager owns the object, every public method can be called through a proxy. */
export class Stock {
  readonly #counts: Map<string, number>;

  constructor(initial: Readonly<Record<string, number>>) {
    this.#counts = new Map(Object.entries(initial));
  }

  add(what: string, count: number): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + count);
  }

  /** All or nothing. An error reaches the caller with its class's name, its message and its stack. */
  take(what: string, count: number): number {
    const left = (this.#counts.get(what) ?? 0) - count;
    if (left < 0) throw new RangeError(`only ${left + count} ${what} are left`);
    this.#counts.set(what, left);
    return left;
  }

  all(): Record<string, number> {
    return Object.fromEntries(this.#counts);
  }
}
