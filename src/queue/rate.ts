/**
 * A token bucket without a clock or a refill, as the generic cell rate algorithm keeps it (ITU-T I.371): the time at
 * which the bucket will be full again. In units of 1/max of a tenth of a ms, so that everything is a whole number.
 */
import type { RateLimit } from '../scheduling.ts';

export class Bucket {
  readonly #max: number;
  /** Tenths of a ms for a whole refill; in the bucket's units, those for one token. */
  readonly #per: number;
  #fullAt = 0;

  constructor({ max, per }: RateLimit) {
    this.#max = max;
    this.#per = Math.round(per * 10);
  }

  /** A token is there. */
  open(now: number): boolean {
    return now * this.#max >= this.#fullAt - (this.#max - 1) * this.#per;
  }

  /** When the next token will be there. */
  get opensAt(): number {
    return Math.ceil((this.#fullAt - (this.#max - 1) * this.#per) / this.#max);
  }

  /** As good as new from here on. */
  get fullFrom(): number {
    return Math.ceil(this.#fullAt / this.#max);
  }

  take(now: number): void {
    this.#fullAt = Math.max(this.#fullAt, now * this.#max) + this.#per;
  }

  /** A token was not used after all. */
  refund(): void {
    this.#fullAt -= this.#per;
  }
}
