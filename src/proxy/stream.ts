/**
 * Results of work over many inputs, in their order. Work starts at the call, `inFlight` at a time; reading makes room
 * for more. Leaving the stream starts no more.
 */
export class Stream<T> implements AsyncIterable<T> {
  readonly #inputs: Iterator<unknown> | AsyncIterator<unknown>;
  readonly #inFlight: number;
  readonly #start: (input: unknown) => Promise<T>;
  readonly #started: Promise<T>[] = [];
  #filling: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #exhausted = false;
  #stopped = false;

  constructor(
    inputs: Iterable<unknown> | AsyncIterable<unknown>,
    inFlight: number | undefined,
    start: (input: unknown) => Promise<T>,
  ) {
    if (inFlight !== undefined && !(Number.isInteger(inFlight) && inFlight > 0)) {
      throw new RangeError(`inFlight must be a whole number of at least 1, not ${inFlight}`);
    }
    this.#inFlight = inFlight ?? 1000;
    this.#start = start;
    this.#inputs = Symbol.asyncIterator in inputs ? inputs[Symbol.asyncIterator]() : inputs[Symbol.iterator]();
    this.#fill();
  }

  /** All of it, in order; rejects with the first failure. */
  async toArray(): Promise<T[]> {
    const all: T[] = [];
    for await (const one of this) all.push(one);
    return all;
  }

  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    try {
      for (;;) {
        const next = this.#started.shift();
        if (next !== undefined) {
          this.#fill();
          yield await next;
        } else if (this.#filling !== undefined) {
          // Until one has been started, or there will be none.
          await Promise.race([this.#filling, new Promise<void>((resolve) => (this.#wake = resolve))]);
        } else if (this.#exhausted || this.#stopped) {
          return;
        } else {
          this.#fill();
        }
      }
    } finally {
      this.#stopped = true;
      await this.#inputs.return?.();
    }
  }

  #fill(): void {
    if (this.#filling !== undefined || this.#exhausted || this.#stopped) return;
    const filling = this.#pull().finally(() => {
      if (this.#filling === filling) this.#filling = undefined;
    });
    this.#filling = filling;
  }

  /** Never rejects: what the source throws is told to the reader in its place. */
  async #pull(): Promise<void> {
    try {
      while (this.#started.length < this.#inFlight && !this.#stopped) {
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
    // Unread, a failure is nobody's.
    work.catch(() => {});
    this.#started.push(work);
    this.#wake?.();
  }
}
