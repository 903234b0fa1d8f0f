/**
 * Things that happen, as an async iterable. It starts with the first `next()`, keeps what has not been read (the oldest
 * go first when more than KEPT wait), and stops when its reader leaves.
 */

/** Most events that wait for their reader. */
const KEPT = 100_000;

/** Where a stream comes from: ends or breaks with `done`, and is told when nobody reads any more. */
export interface Source {
  readonly done: Promise<unknown>;
  stop(): void;
}

export class EventStream<T> implements AsyncIterable<T> {
  readonly #start: (push: (event: T) => void) => Source;

  constructor(start: (push: (event: T) => void) => Source) {
    this.#start = start;
  }

  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    const events: T[] = [];
    let wake = (): void => {};
    let over = false;
    let failure: { error: unknown } | undefined;
    const source = this.#start((event) => {
      if (events.push(event) > KEPT) events.shift();
      wake();
    });
    const end = (): void => {
      over = true;
      wake();
    };
    source.done.then(end, (error: unknown) => {
      failure = { error };
      end();
    });
    try {
      for (;;) {
        while (events.length > 0) yield events.shift() as T;
        if (over) break;
        await new Promise<void>((resolve) => (wake = resolve));
      }
      if (failure !== undefined) throw failure.error;
    } finally {
      source.stop();
    }
  }
}
