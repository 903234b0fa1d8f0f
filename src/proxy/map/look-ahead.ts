/**
 * How many inputs of a map may be under way, or done and not read, where nobody has said. It begins at `BEGIN`, and
 * quadruples as long as that many are done in less than `SPAN`, so that workers have as much in front of them as they run in
 * that time, and as long as what is under way stays small.
 */
const BEGIN = 1000;
/** From this size on, room is left until it is this part of it, so that inputs are put many at a time. */
const WIDE = 256;
const PART = 8;
const MOST = 1 << 16;
const GROWTH = 4;
/** ms */
const SPAN = 250;
/** Bytes of inputs and outputs together, by what they are on average. */
const MOST_BYTES = 1 << 24;

export class LookAhead {
  /** How many. */
  size: number;
  readonly #grows: boolean;
  #since = performance.now();
  #done = 0;
  /** Over all: inputs, with their bytes; outputs, with theirs. */
  #inputs = 1;
  #bytesIn = 0;
  #outputs = 1;
  #bytesOut = 0;

  /** `given`: always so many. `least`: at least so many otherwise. */
  constructor(given: number | undefined, least: number) {
    this.#grows = given === undefined;
    this.size = given ?? Math.max(BEGIN, least);
  }

  /** Room for fewer is left. Where hardly more are under way than there are workers, none of them waits for another. */
  get least(): number {
    return this.size < WIDE ? 1 : Math.floor(this.size / PART);
  }

  /** So many inputs of so many bytes have been put. */
  put(count: number, bytes: number): void {
    this.#inputs += count;
    this.#bytesIn += bytes;
  }

  /** So many are done, with outputs of so many bytes. */
  done(count: number, bytes: number): void {
    if (!this.#grows) return;
    this.#outputs += count;
    this.#bytesOut += bytes;
    this.#done += count;
    if (this.#done < this.size) return;
    const now = performance.now();
    const bytesEach = this.#bytesIn / this.#inputs + this.#bytesOut / this.#outputs;
    const more = Math.min(MOST, GROWTH * this.size);
    if (now - this.#since < SPAN && more > this.size && more * bytesEach < MOST_BYTES) this.size = more;
    this.#since = now;
    this.#done = 0;
  }
}
