/**
 * A deadline for what a peer must do. Time in which this process was held up, and could not read what the peer had said,
 * does not count: the deadline passes in steps, of which no turn of the event loop can take more than one.
 */
const STEPS = 10;

export class Deadline {
  readonly #timer: NodeJS.Timeout;

  /** Calls `over` after `ms`, unless it is met before. */
  constructor(ms: number, over: () => void) {
    let left = STEPS;
    this.#timer = setInterval(() => {
      if (--left > 0) return;
      this.met();
      over();
    }, ms / STEPS);
  }

  /** It does not keep the process alive. */
  unref(): this {
    this.#timer.unref();
    return this;
  }

  met(): void {
    clearInterval(this.#timer);
  }
}
