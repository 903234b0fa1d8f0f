/** The one timer of a task queue: its core says when it wants to hear the time. */

/** Longest delay that Node's timers take (ms); a later alarm is set again. */
const LONGEST = 0x7fff_ffff;

export class Alarm {
  readonly #now: () => number;
  readonly #ring: () => void;
  #timer: NodeJS.Timeout | undefined;

  /** `now` in tenths of a ms. */
  constructor(now: () => number, ring: () => void) {
    this.#now = now;
    this.#ring = ring;
  }

  /** Rings at that time and at no other. It does not keep the process alive. */
  set(at: number): void {
    clearTimeout(this.#timer);
    const wait = Math.min(LONGEST, Math.max(0, Math.ceil((at - this.#now()) / 10)));
    this.#timer = setTimeout(() => (this.#now() < at ? this.set(at) : this.#ring()), wait).unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
