/** How many inputs of a `map` go with one lease: about two milliseconds of work, fewer towards the end. */

/** How much work a range holds (ms): the window of a worker is two of them. */
const RANGE_TIME = 2;
/** Most inputs of a range, whatever they take. */
export const MOST_INPUTS = 4096;
/** Towards the end so many ranges should be left for each taker: they get smaller, down to half of their time. */
const SHARES = 3;
const LEAST = 0.5;
/** Names of tasks whose durations are remembered. */
const REMEMBERED = 1000;

export class RangeSizes {
  /** By name: how long one mostly takes (ms), as the workers see it. */
  readonly #typical = new Map<string, number>();

  /** An input of that name mostly takes so long (ms). */
  heard(name: string, typical: number): void {
    if (this.#typical.size >= REMEMBERED && !this.#typical.has(name)) this.#typical.clear();
    this.#typical.set(name, typical);
  }

  /** How many to lease at once where so many `ready` inputs are shared by so many takers. One by one to begin with. */
  of(name: string, ready: number, takers: number): number {
    const typical = this.#typical.get(name);
    if (typical === undefined) return 1;
    const most = Math.min(MOST_INPUTS, RANGE_TIME / typical);
    const share = Math.ceil(ready / (SHARES * Math.max(1, takers)));
    return Math.max(1, Math.floor(Math.min(most, Math.max(share, LEAST * most))));
  }
}
