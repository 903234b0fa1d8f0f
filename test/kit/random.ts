/** Randomness that can be had again: the seed is printed, and QM_SEED replays it. */

export class Random {
  readonly seed: number;
  #state: number;

  /** `what` is printed beside the seed. */
  constructor(what: string, seed: number = Number(process.env['QM_SEED'] ?? Math.floor(Math.random() * 2 ** 32))) {
    this.seed = seed;
    this.#state = seed;
    console.log(`${what}: QM_SEED=${seed}`);
  }

  /** A whole number from 0 to `below` - 1 (mulberry32, a public-domain generator by Tommy Ettinger). */
  below(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  }

  chance(probability: number): boolean {
    return this.below(1_000_000) < probability * 1_000_000;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }
}
