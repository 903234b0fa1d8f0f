/**
 * How much of what a worker says is shown: so many bytes a second, and a burst. What is more is dropped and counted, and
 * told after a while, or at the end.
 */

/** Bytes that a worker may write in a second, and how many of them at once. */
const RATE = 256 * 1024;
const BURST = 1024 * 1024;
/** Bytes of one line that are shown. */
export const LONGEST_LINE = 8 * 1024;
/** What was dropped is told after so long (ms), or at the end. */
const TELL_AFTER = 1_000;

export class LogBudget {
  readonly #told: (text: string, dropped: number) => void;
  #credit = BURST;
  #creditAt = performance.now();
  #dropped = 0;
  #droppedBytes = 0;
  #telling: NodeJS.Timeout | undefined;

  /** `told` is given what to say of lines that were dropped, and how many. */
  constructor(told: (text: string, dropped: number) => void) {
    this.#told = told;
  }

  /** Time has passed. */
  refill(): void {
    const now = performance.now();
    this.#credit = Math.min(BURST, this.#credit + ((now - this.#creditAt) / 1_000) * RATE);
    this.#creditAt = now;
  }

  mayWrite(bytes: number): boolean {
    return this.#credit >= Math.min(bytes, LONGEST_LINE);
  }

  spend(bytes: number): void {
    this.#credit -= Math.min(bytes, LONGEST_LINE);
  }

  drop(bytes: number): void {
    this.#dropped++;
    this.#droppedBytes += bytes;
    this.#telling ??= setTimeout(() => this.tell(), TELL_AFTER).unref();
  }

  tell(): void {
    clearTimeout(this.#telling);
    this.#telling = undefined;
    const dropped = this.#dropped;
    if (dropped === 0) return;
    const text = `(${dropped} lines, ${this.#droppedBytes} bytes, were dropped: a worker may write ${RATE} bytes a second)`;
    this.#dropped = this.#droppedBytes = 0;
    this.#told(text, dropped);
  }
}
