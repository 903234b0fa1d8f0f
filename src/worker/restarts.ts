/**
 * When workers of a group may be started again: a pure state machine with the time (ms) as an argument.
 *
 *     closed ──a start fails──▶ backing off ──START_FAILURES rounds──▶ open
 *       ▲                            │ one start at a time, 1 s, 2 s, …, 30 s apart; open goes on so
 *       └──────── a worker is ready ─┴───────────────────────────────────┘
 *
 * Workers that were ready and were lost later are replaced at once, out of a credit, so that no fault becomes a fork
 * storm. Starts that fail together are one round: what kills eight starts at once may be over in a second.
 */

/** Replacements that may start at once; beyond them, so many a second. */
const BURST = 10;
const PER_SECOND = 5;
/** Rounds of failing starts, one after the other, before the circuit opens. */
const START_FAILURES = 3;
/** The wait (ms) after the first round that failed; doubles each time, up to the longest. */
const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 30_000;
/** The wait is longer by up to this share, so that many groups do not start in step. Never shorter. */
const JITTER = 0.25;

/** What may be done now. */
export interface Allowance {
  /** So many may start. */
  readonly starts: number;
  /** Ask again after so many ms; undefined: when a start has succeeded or failed. */
  readonly again: number | undefined;
}

export class Restarts {
  readonly #random: () => number;
  #credit = BURST;
  #creditAt: number;
  #round = 0;
  #notBefore = 0;

  constructor(now: number, random: () => number = Math.random) {
    this.#creditAt = now;
    this.#random = random;
  }

  /** Rounds of failing starts so far; what is started now belongs to the next one. */
  get round(): number {
    return this.#round;
  }

  /** Too many rounds have failed. */
  get open(): boolean {
    return this.#round >= START_FAILURES;
  }

  /** Starts that are wanted, not the replacement of something lost, cost no credit. */
  grant(starts: number): void {
    this.#credit += starts;
  }

  /** Somebody asks for a start now, whatever has failed. */
  retry(now: number): void {
    this.#notBefore = now;
  }

  /** `missing` workers are wanted while `starting` others are not ready yet. What is allowed is taken to be started. */
  allow(missing: number, starting: number, now: number): Allowance {
    if (missing <= 0) return { starts: 0, again: undefined };
    if (this.#round > 0) {
      if (starting > 0) return { starts: 0, again: undefined };
      if (now < this.#notBefore) return { starts: 0, again: this.#notBefore - now };
      return { starts: 1, again: undefined };
    }
    this.#credit = Math.max(
      this.#credit,
      Math.min(BURST, this.#credit + ((now - this.#creditAt) / 1_000) * PER_SECOND),
    );
    this.#creditAt = now;
    const starts = Math.min(missing, Math.floor(this.#credit));
    this.#credit -= starts;
    const again = starts === missing ? undefined : Math.ceil(((1 - this.#credit) / PER_SECOND) * 1_000);
    return { starts, again };
  }

  /** A worker has become ready: what it loads can be loaded. */
  succeeded(): void {
    this.#round = 0;
  }

  /** A worker that was started in `round` did not become ready. True where that opens the circuit. */
  failed(round: number, now: number): boolean {
    if (round !== this.#round) return false;
    const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#round);
    this.#round++;
    this.#notBefore = now + wait * (1 + JITTER * this.#random());
    return this.#round === START_FAILURES;
  }
}
