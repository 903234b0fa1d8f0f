/**
 * What handlers take by themselves, where they end when they return. The clock is a good part of a short task, so only
 * some of them are timed.
 */
import { Durations } from './durations.ts';

/** So many are timed one after the other, then each so manieth. */
const FIRST = 8;
const EACH = 16;

export class HandlerTimes {
  readonly #durations = new Durations();
  #asked = 0;

  /** Asked before each handler: whether it is to be timed. */
  due(): boolean {
    const asked = this.#asked++;
    if (asked < FIRST) return true;
    if (asked < FIRST + EACH - 1) return false;
    this.#asked = FIRST;
    return true;
  }

  /** One that was timed has taken `ms`. */
  add(ms: number): void {
    this.#durations.add(ms);
  }

  /** Some have been timed. */
  get any(): boolean {
    return this.#durations.count > 0;
  }

  /** The longest (ms) of all but the longest quarter of the last ones. */
  get upperQuartile(): number {
    return this.#durations.upperQuartile;
  }
}
