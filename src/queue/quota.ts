/** How many tasks of the whole queue may be leased: its concurrency and its rate, and whether it is paused. */
import { Bucket } from './rate.ts';
import type { QueueRules } from './rules.ts';

export class Quota {
  /** Leases that hold a slot of the concurrency: all that are not lent. */
  running = 0;
  #concurrency = Infinity;
  #bucket: Bucket | undefined;
  #paused = false;
  /** Somebody was refused because of the rate. */
  #refused = false;
  /** It may refuse. */
  limited = false;

  configure({ concurrency = Infinity, rateLimit }: QueueRules): void {
    this.#concurrency = concurrency;
    this.#bucket = rateLimit === undefined || rateLimit.keyed === true ? undefined : new Bucket(rateLimit);
    this.#refused = false;
    this.#limit();
  }

  get paused(): boolean {
    return this.#paused;
  }

  pause(paused: boolean): void {
    this.#paused = paused;
    this.#limit();
  }

  /** One more may be leased. */
  open(now: number): boolean {
    if (this.#paused || this.running >= this.#concurrency) return false;
    if (this.#bucket === undefined || this.#bucket.open(now)) return true;
    this.#refused = true;
    return false;
  }

  /** One has been leased. */
  take(now: number): void {
    this.running++;
    this.#bucket?.take(now);
  }

  /** One has been given back un-started. */
  refund(): void {
    this.#bucket?.refund();
  }

  /** When the rate admits the next one, where somebody was refused for it; else Infinity. */
  get opensAt(): number {
    return this.#refused && this.#bucket !== undefined ? this.#bucket.opensAt : Infinity;
  }

  /** Whether the rate, because of which somebody was refused, admits another one. */
  opened(now: number): boolean {
    if (!this.#refused || this.#bucket === undefined || !this.#bucket.open(now)) return false;
    this.#refused = false;
    return true;
  }

  #limit(): void {
    this.limited = this.#paused || this.#concurrency !== Infinity || this.#bucket !== undefined;
  }
}
