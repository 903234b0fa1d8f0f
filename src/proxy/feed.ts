/**
 * A feed as its reader has it: values that come from the manager while they are read. What has come waits here, by the
 * window at most; what has been read is said in batches, and makes room for more. A `next()` that waits keeps the process
 * alive; a feed that nobody reads does not.
 */
import { FEED_BYTES, FEED_WINDOW, ToManager } from '../protocol/messages.ts';
import { type Item, Packed, type ProxyRef } from '../protocol/wire.ts';
import type { Connection } from './connection.ts';
import { Pending } from './pending.ts';

/** What ends the reading of a feed, beside leaving the loop. */
export interface FeedOptions {
  /** The reading ends with `signal.reason`. */
  signal?: AbortSignal | undefined;
}

/** Values that flow from the manager while they are read. It begins with the call that gave it, not with the first read. */
export interface Feed<T> extends AsyncIterable<T>, AsyncDisposable {
  /** How many values have been dropped so far because they were not read in time. */
  readonly missed: number;
  /** All values until the feed ends, in order; rejects where it fails. */
  toArray(): Promise<T[]>;
  /** Leaves: no more values come. Leaving a `for await` loop does the same. */
  close(): Promise<void>;
}

interface Come {
  readonly item: Item;
  readonly missed: number;
  readonly size: number;
}

interface Waiter<T> {
  readonly resolve: (result: IteratorResult<T, undefined>) => void;
  readonly reject: (error: unknown) => void;
}

/** Where a feed is read from. */
export interface FeedPlace<T> {
  readonly connection: Connection;
  /** The value that an item stands for, after so many that were dropped. */
  readonly take: (item: Item, missed: number) => T;
  /** Called when the feed is over. */
  readonly over: (reading: Reading<T>) => void;
}

/** The reader's side of one feed, which any number of loops share. */
export class Reading<T> implements Feed<T>, AsyncIterator<T, undefined> {
  readonly #place: FeedPlace<T>;
  readonly #signal: AbortSignal | undefined;
  readonly #aborted = (): void => this.stop(this.#signal?.reason);
  #call = 0;
  #missed = 0;
  #come: Come[] = [];
  #waiters: Waiter<T>[] = [];
  /** Read, and the manager has not been told. */
  #read = 0;
  #readBytes = 0;
  #over = false;
  #failure: { readonly error: unknown } | undefined;

  constructor(place: FeedPlace<T>, options?: FeedOptions) {
    this.#place = place;
    this.#signal = options?.signal;
  }

  /** Its call has been sent under that number. */
  begun(call: number): void {
    this.#call = call;
    this.#signal?.addEventListener('abort', this.#aborted, { once: true });
    if (this.#signal?.aborted === true) this.#aborted();
  }

  get missed(): number {
    return this.#missed;
  }

  async toArray(): Promise<T[]> {
    const all: T[] = [];
    for await (const value of this) all.push(value);
    return all;
  }

  async close(): Promise<void> {
    await this.return();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<T, undefined>> {
    const come = this.#come.shift();
    if (come !== undefined) {
      return new Promise((resolve) => resolve({ done: false, value: this.#give(come) }));
    }
    if (this.#over) {
      const failure = this.#failure;
      this.#failure = undefined;
      return failure === undefined ? Promise.resolve(END) : Promise.reject(failure.error);
    }
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      this.#place.connection.hold();
    });
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.#failure = undefined;
    this.stop();
    return Promise.resolve(END);
  }

  /** The next value has come. */
  come(come: Come): void {
    if (this.#over) return;
    const waiter = this.#waiters.shift();
    if (waiter === undefined) {
      this.#come.push(come);
      const { codec } = this.#place.connection;
      // The manager lends what a value names for this turn alone.
      for (const ref of refsIn(come.item)) opened.set(ref, codec.proxy?.(ref));
      return;
    }
    this.#place.connection.letGo();
    try {
      waiter.resolve({ done: false, value: this.#give(come) });
    } catch (error) {
      waiter.reject(error);
    }
  }

  /** The manager says that it has ended, with an error or without one; what has come can still be read. */
  ended(failure?: { readonly error: unknown }): void {
    if (!this.#over) this.#end(failure);
  }

  /** Nobody reads any more, for that reason if there is one: the manager is told, what has come is dropped. */
  stop(reason?: unknown): void {
    if (!this.#over) {
      this.#send(ToManager.CANCEL);
      this.#end(reason === undefined ? undefined : { error: reason });
    }
    for (const { item } of this.#come.splice(0)) this.#discard(item);
  }

  #end(failure: { readonly error: unknown } | undefined): void {
    this.#over = true;
    this.#signal?.removeEventListener('abort', this.#aborted);
    this.#place.over(this);
    const waiters = this.#waiters.splice(0);
    for (const { resolve, reject } of waiters) {
      this.#place.connection.letGo();
      if (failure === undefined) resolve(END);
      else reject(failure.error);
    }
    // One of those who waited has heard it; otherwise whoever reads next does.
    if (waiters.length === 0) this.#failure = failure;
  }

  #give({ item, missed, size }: Come): T {
    this.#missed += missed;
    this.#read++;
    this.#readBytes += size;
    if (!this.#over && (this.#read >= FEED_WINDOW / 2 || this.#readBytes >= FEED_BYTES / 2)) {
      this.#send(ToManager.READ);
      this.#read = this.#readBytes = 0;
    }
    try {
      return this.#place.take(item, missed);
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  #send(kind: typeof ToManager.READ | typeof ToManager.CANCEL): void {
    const { link } = this.#place.connection;
    if (link.closed) return;
    const start = link.begin(kind);
    link.writer.u32(this.#call);
    if (kind === ToManager.READ) link.writer.u32(this.#read);
    link.end(start);
  }

  /** The proxies in what nobody reads are given up. */
  #discard(item: Item): void {
    for (const ref of refsIn(item)) void (opened.get(ref) as AsyncDisposable | undefined)?.[Symbol.asyncDispose]();
  }
}

/** Proxies in values that have come and have not been read, by what names them. */
export const opened = new WeakMap<ProxyRef, unknown>();

function refsIn(item: Item): readonly ProxyRef[] {
  if (item instanceof Packed) return item.proxies;
  return Array.isArray(item) ? (item as readonly Item[]).flatMap(refsIn) : [];
}

const END = { done: true, value: undefined } as const;

/** The call that a feed answers. It stays until the manager says that it is over, also when its reader has left. */
export class FeedCall<T> extends Pending {
  readonly #reading: Reading<T>;

  constructor(reading: Reading<T>) {
    super();
    this.#reading = reading;
  }

  /** Whoever reads does. */
  override get waits(): boolean {
    return false;
  }

  override item(item: Item, missed: number, size: number): void {
    this.#reading.come({ item, missed, size });
  }

  override done(): boolean {
    this.#reading.ended();
    return true;
  }

  override failed(error: Error): void {
    this.#reading.ended({ error });
  }
}

/** A feed that was over before it began. */
export function failedFeed<T>(place: FeedPlace<T>, error: unknown): Feed<T> {
  const reading = new Reading(place);
  reading.ended({ error });
  return reading;
}
