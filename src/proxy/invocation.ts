/**
 * A call of a custom type's method. Only the manager knows whether the method is a generator: so the call is both, a
 * promise of its result and, should that be a generator, an async iterable of what it yields. The first frame that
 * answers decides.
 */
import type { Item } from '../protocol/wire.ts';
import { Reading } from './feed.ts';
import { Pending } from './pending.ts';

/** What the call needs of the proxy that it is made through. */
export interface InvocationPlace {
  /** Sends the call; returns its number. */
  send(pending: Pending): number;
  unpack(item: Item): unknown;
  /** What answers the call is a feed: whoever reads it keeps the process alive from now on. */
  feed(call: number): Reading<unknown>;
}

export class Invocation extends Promise<unknown> implements AsyncIterable<unknown> {
  readonly #method: string;

  /** What `then()` and its like give are promises, no calls. */
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  constructor(place: InvocationPlace, method: string) {
    super((resolve, reject) => {
      const pending = new InvocationCall(place, resolve, reject);
      pending.number = place.send(pending);
    });
    this.#method = method;
    // It may be iterated over later, or never: its failure is then nobody's.
    this.catch(() => {});
  }

  [Symbol.asyncIterator](): AsyncIterator<unknown, undefined> {
    const reading = this.#reading();
    reading.catch(() => {});
    return { next: async () => (await reading).next(), return: async () => (await reading).return() };
  }

  /** All that the generator yields. */
  async toArray(): Promise<unknown[]> {
    return (await this.#reading()).toArray();
  }

  async #reading(): Promise<Reading<unknown>> {
    const answer = await this;
    if (answer instanceof Reading) return answer as Reading<unknown>;
    throw new TypeError(`${this.#method}() returned no generator: await its result instead of iterating over it`);
  }
}

class InvocationCall extends Pending {
  number = 0;
  readonly #place: InvocationPlace;
  readonly #resolve: (value: unknown) => void;
  readonly #reject: (error: unknown) => void;
  #reading: Reading<unknown> | undefined;

  constructor(place: InvocationPlace, resolve: (value: unknown) => void, reject: (error: unknown) => void) {
    super();
    this.#place = place;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** Once it is a feed, whoever reads does. */
  override get waits(): boolean {
    return this.#reading === undefined;
  }

  override result(item: Item): boolean {
    try {
      this.#resolve(this.#place.unpack(item));
    } catch (error) {
      this.#reject(error);
    }
    return true;
  }

  override done(): boolean {
    if (this.#reading === undefined) this.#resolve(undefined);
    else this.#reading.ended();
    return true;
  }

  override feed(): void {
    if (this.#reading !== undefined) return;
    this.#reading = this.#place.feed(this.number);
    this.#resolve(this.#reading);
  }

  override item(item: Item, missed: number, size: number): void {
    this.#reading?.come({ item, missed, size });
  }

  override failed(error: Error): void {
    if (this.#reading === undefined) this.#reject(error);
    else this.#reading.ended({ error });
  }
}
