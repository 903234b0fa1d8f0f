/** How a stream reads ahead, and in which order it gives. */
export interface StreamOptions {
  /** How many may be under way, or done and not read, at once. Default 1,000. */
  inFlight?: number | undefined;
  /** In the order of the inputs, or as each is done. Default true. */
  ordered?: boolean | undefined;
  /** The stream ends with `signal.reason`. */
  signal?: AbortSignal | undefined;
}

/**
 * Results of work over many inputs. Work starts at the call, `inFlight` at a time; reading makes room for more. Leaving
 * the stream starts no more.
 */
export abstract class Stream<T> implements AsyncIterable<T> {
  /** Somebody reads, or has read. */
  begun = false;
  /** Resolves when nobody reads any more. */
  readonly ended: Promise<void>;
  protected hasEnded!: () => void;

  constructor() {
    this.ended = new Promise((resolve) => (this.hasEnded = resolve));
  }

  /** All of it, in order; rejects with the first failure. */
  abstract toArray(): Promise<T[]>;
  abstract [Symbol.asyncIterator](): AsyncIterator<T>;
}

/** Of an option that says how many may be under way. */
export function checkInFlight(inFlight: number): void {
  if (Number.isInteger(inFlight) && inFlight > 0) return;
  throw new RangeError(`inFlight must be a whole number of at least 1, not ${inFlight}`);
}

/** Work of which each input has a promise. */
export class Workings<T> extends Stream<T> {
  readonly #inputs: Iterator<unknown> | AsyncIterator<unknown>;
  readonly #inFlight: number;
  readonly #ordered: boolean;
  readonly #signal: AbortSignal | undefined;
  readonly #start: (input: unknown) => Promise<T>;
  readonly #left: (() => void) | undefined;
  /** To be read next: started, or, where the order does not matter, done. */
  readonly #next: Promise<T>[] = [];
  /** Started and not read. */
  #held = 0;
  #filling: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #exhausted = false;
  #stopped = false;

  /** `left` is called when nobody reads any more. */
  constructor(
    inputs: Iterable<unknown> | AsyncIterable<unknown>,
    { inFlight = 1000, ordered = true, signal }: StreamOptions,
    start: (input: unknown) => Promise<T>,
    left?: () => void,
  ) {
    super();
    checkInFlight(inFlight);
    this.#inFlight = inFlight;
    this.#ordered = ordered;
    this.#signal = signal;
    this.#start = start;
    this.#left = left;
    this.#inputs = Symbol.asyncIterator in inputs ? inputs[Symbol.asyncIterator]() : inputs[Symbol.iterator]();
    this.#fill();
  }

  async toArray(): Promise<T[]> {
    const all: T[] = [];
    for await (const one of this) all.push(one);
    return all;
  }

  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    this.begun = true;
    const wake = (): void => this.#wake?.();
    this.#signal?.addEventListener('abort', wake);
    try {
      for (;;) {
        this.#signal?.throwIfAborted();
        const next = this.#next.shift();
        if (next !== undefined) {
          this.#held--;
          this.#fill();
          yield await next;
        } else if (this.#filling !== undefined || this.#held > 0) {
          // Until one is there, or there will be none.
          const woken = new Promise<void>((resolve) => (this.#wake = resolve));
          await (this.#filling === undefined ? woken : Promise.race([this.#filling, woken]));
        } else if (this.#exhausted || this.#stopped) {
          return;
        } else {
          this.#fill();
        }
      }
    } finally {
      this.#stopped = true;
      this.#signal?.removeEventListener('abort', wake);
      this.#left?.();
      this.hasEnded();
      await this.#endInputs();
    }
  }

  /** A source that is asked for its next input may never give it: its end is then not waited for. */
  async #endInputs(): Promise<void> {
    const ending = Promise.resolve(this.#inputs.return?.());
    if (this.#filling === undefined) await ending;
    else ending.catch(() => {});
  }

  #fill(): void {
    if (this.#filling !== undefined || this.#exhausted || this.#stopped || this.#held >= this.#inFlight) return;
    const filling = this.#pull().finally(() => {
      if (this.#filling === filling) this.#filling = undefined;
    });
    this.#filling = filling;
  }

  /** Never rejects: what the source throws is told to the reader in its place. */
  async #pull(): Promise<void> {
    try {
      while (this.#held < this.#inFlight && !this.#stopped) {
        const { value, done } = await this.#inputs.next();
        if (done === true) {
          this.#exhausted = true;
          return;
        }
        this.#add(this.#start(value));
      }
    } catch (error) {
      this.#exhausted = true;
      this.#add(Promise.reject(error));
    }
  }

  #add(work: Promise<T>): void {
    this.#held++;
    const there = (): void => {
      this.#next.push(work);
      this.#wake?.();
    };
    if (this.#ordered) {
      // Unread, a failure is nobody's.
      work.catch(() => {});
      there();
    } else {
      work.then(there, there);
    }
  }
}
