/**
 * How long tasks have taken here lately, for two questions: how much may wait behind the one that runs, and whether what
 * has been said so far must leave before the next one starts.
 */

/** The upper quartile is that of so many tasks. */
const REMEMBERED = 32;
/** Durations are told apart by half octaves from a microsecond up, to about a second. */
const FIRST = 0.001;
const CLASSES = 40;
/** The longest duration (ms) of each class. */
const EDGES = Float64Array.from({ length: CLASSES }, (_, i) => FIRST * 2 ** ((i + 1) / 2));
/** Weight of the newest duration in the mean. */
const NEWEST = 0.03;

export class Durations {
  /** Classes of the last ones, as a ring, and how many of each class there are. */
  readonly #ring = new Uint8Array(REMEMBERED);
  readonly #counts = new Uint8Array(CLASSES);
  #at = 0;
  #mean = 0;
  /** How many there have been. */
  count = 0;
  /** So many of them have been seen when the last ones are to be believed. */
  #believed = 0;

  /** One task more has taken `ms`. */
  add(ms: number): void {
    const place = ms <= FIRST ? 0 : Math.min(CLASSES - 1, Math.floor(2 * Math.log2(ms / FIRST)));
    if (this.count >= REMEMBERED) this.#counts[this.#ring[this.#at] as number]! -= 1;
    this.#counts[place]! += 1;
    this.#ring[this.#at] = place;
    this.#at = (this.#at + 1) % REMEMBERED;
    this.#mean += this.count === 0 ? ms : NEWEST * (ms - this.#mean);
    this.count++;
  }

  /**
   * The longest (ms, rounded up by less than half) of all but the longest quarter: a few long tasks among many short ones
   * change nothing, durations of all kinds are taken for long.
   */
  get upperQuartile(): number {
    const quarter = Math.min(this.count, REMEMBERED) / 4;
    let longer = 0;
    for (let i = CLASSES - 1; i > 0; i--) {
      longer += this.#counts[i] as number;
      if (longer > quarter) return EDGES[i] as number;
    }
    return EDGES[0] as number;
  }

  /** Something took longer than they let expect: they say little until they are others. */
  doubt(): void {
    this.#believed = this.count + REMEMBERED;
  }

  get doubtful(): boolean {
    return this.count < this.#believed;
  }

  /** The running mean (ms), in which a long one counts in full. */
  get mean(): number {
    return this.#mean;
  }
}
