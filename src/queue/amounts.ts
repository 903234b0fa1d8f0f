/** Amounts of resources: those of the host, which all queues of a manager share, or those that one taker offers. */

/** One resource. */
export class Pool {
  readonly total: number;
  used = 0;
  #holders = 0;

  constructor(total: number) {
    this.total = total;
  }

  /** A hair more than the total passes: sums of fractions are not exact. */
  fits(amount: number): boolean {
    return this.used + amount <= this.total * (1 + 1e-9);
  }

  take(amount: number): void {
    this.used += amount;
    this.#holders++;
  }

  free(amount: number): void {
    this.#holders--;
    this.used = this.#holders === 0 ? 0 : this.used - amount;
  }
}

export class Amounts {
  readonly #pools = new Map<string, Pool>();
  readonly #watchers = new Set<() => void>();

  constructor(totals: Readonly<Record<string, number>> = {}) {
    for (const [name, total] of Object.entries(totals)) this.#pools.set(name, new Pool(total));
  }

  /** There are none. */
  get empty(): boolean {
    return this.#pools.size === 0;
  }

  /** Nothing of them is in use. */
  get idle(): boolean {
    for (const { used } of this.#pools.values()) if (used > 0) return false;
    return true;
  }

  pool(name: string): Pool | undefined {
    return this.#pools.get(name);
  }

  /** `freed` is called when something of it has been given back; the function returned stops that. */
  watch(freed: () => void): () => void {
    this.#watchers.add(freed);
    return () => void this.#watchers.delete(freed);
  }

  /** Something of it has been given back: whoever watches may go on. */
  freed(): void {
    for (const watcher of this.#watchers) watcher();
  }
}
