/**
 * When a manager process polls for the next call (transport/hot-polling.ts): while one client makes one call after the
 * other, each as soon as it has the answer to the last. Never while tasks come and go, or several clients are busy: then
 * the processor has others to serve.
 */
import { HotPolling } from '../transport/hot-polling.ts';
import type { Session } from './session.ts';

/** Calls that follow each other within so many ms are a sequence. */
const CLOSE = 1;
/** After work of another kind there is no polling for so long (ms). */
const BUSY = 50;

export class Pace {
  readonly polling: HotPolling;
  #last: Session | undefined;
  #lastAt = -Infinity;
  #busyUntil = -Infinity;

  readonly #clock: () => number;

  /** `clock`: monotonic, ms. */
  constructor(polling: HotPolling = new HotPolling(), clock: () => number = () => performance.now()) {
    this.polling = polling;
    this.#clock = clock;
  }

  /** A chunk of a session has been handled, and its answers are about to leave. `alone`: it was one call. */
  turn(session: Session, alone: boolean): void {
    const now = this.#clock();
    const follows = session === this.#last && now - this.#lastAt < CLOSE;
    if (this.#last !== session || !alone) {
      this.polling.rest();
      this.#busyUntil = now + BUSY;
    } else {
      this.polling.arrived();
    }
    this.#last = session;
    this.#lastAt = now;
    if (follows && alone && now >= this.#busyUntil) this.polling.expects();
  }
}
