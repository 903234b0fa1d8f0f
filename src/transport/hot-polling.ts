/**
 * Going round the event loop for a moment instead of sleeping in it, while one call follows another: what arrives is read
 * at once, without the time that it takes to wake a process (some 20 µs).
 *
 *     expects() ──▶ setImmediate, again and again ──arrived() in time──▶ it paid
 *                                   └──nothing came──▶ it did not: the next 1, 2, 4, … 1,024 occasions are passed over
 *
 * So it ends by itself where the other side takes its time, and it never runs when idle: it begins with a call. Where two
 * rounds lie far apart, somebody else has had this core in between, or the engine has compiled: the next 16, 80, 336,
 * 1,024 occasions are passed over, so that where there is no core to spare hardly any is taken. Who has other work for the
 * processor calls `rest()`.
 *
 * In time is four times what it usually takes: the kernel sometimes wakes the other side on our own core, where it runs
 * when we stop waiting, and not before.
 */
import { availableParallelism } from 'node:os';

/** How long (ms) one waits at most, and at least: less would be over before a collection at the other side is. */
const LONGEST = 0.2;
const SHORTEST = 0.1;
/** So many times what it usually takes is waited for. */
const PATIENCE = 4;
/** The share of the last wait in what is usual. */
const NEWEST = 1 / 8;
/** Rounds so far (ms) apart have not followed each other: this process was kept waiting for its core. */
const KEPT_WAITING = 0.5;
/** Most occasions that are passed over at once, and fewest after a wait for the core. */
const MOST_PASSED = 1024;
const FEWEST_PASSED = 16;

export class HotPolling {
  /** With one core the other side could not answer while we wait. */
  readonly #enabled: boolean;
  readonly #clock: () => number;
  #since = 0;
  #until = 0;
  /** How long (ms) it took of late where it came; after a wait for nothing the longest that is waited for again. */
  #usual = LONGEST / PATIENCE;
  #spinning = false;
  #passing = 0;
  #penalty = 0;
  /** When the last round was. */
  #roundAt = 0;
  /** Rounds that paid, and those that did not: for tests. */
  paid = 0;
  unpaid = 0;

  /** `clock`: monotonic, ms. */
  constructor(cores: number = availableParallelism(), clock: () => number = () => performance.now()) {
    this.#enabled = cores > 1;
    this.#clock = clock;
  }

  get spinning(): boolean {
    return this.#spinning;
  }

  /** Something may come at any moment. */
  expects(): void {
    if (!this.#enabled) return;
    if (this.#passing > 0) {
      this.#passing--;
      return;
    }
    this.#since = this.#roundAt = this.#clock();
    this.#until = this.#since + Math.min(LONGEST, Math.max(SHORTEST, PATIENCE * this.#usual));
    if (this.#spinning) return;
    this.#spinning = true;
    setImmediate(this.#round);
  }

  /** It has come. */
  arrived(): void {
    if (!this.#spinning || this.#until === 0) return;
    this.#until = 0;
    const now = this.#clock();
    if (this.#keptWaiting(now)) return;
    this.#usual += (now - this.#since - this.#usual) * NEWEST;
    this.#penalty >>= 1;
    this.paid++;
  }

  /** There is work, or there are others who need the processor: nothing is waited for. */
  rest(): void {
    this.#until = 0;
  }

  readonly #round = (): void => {
    const now = this.#clock();
    if (this.#until > now) {
      this.#roundAt = now;
      setImmediate(this.#round);
      return;
    }
    this.#spinning = false;
    if (this.#until === 0) return;
    this.#until = 0;
    if (this.#keptWaiting(now)) return;
    this.unpaid++;
    this.#usual = LONGEST / PATIENCE;
    this.#penalty = Math.min(MOST_PASSED, this.#penalty * 2 + 1);
    this.#passing = this.#penalty;
  };

  #keptWaiting(now: number): boolean {
    if (now - this.#roundAt < KEPT_WAITING) return false;
    this.unpaid++;
    this.#passing = this.#penalty = Math.min(MOST_PASSED, this.#penalty * 4 + FEWEST_PASSED);
    return true;
  }
}
