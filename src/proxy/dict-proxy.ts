import { sameValue } from '../protocol/codec.ts';
import type { Item } from '../protocol/wire.ts';
import { changeOf, type DictChange } from './change.ts';
import { compareAndSet } from './compare-and-set.ts';
import type { Feed, FeedOptions } from './feed.ts';
import { type GuardOptions, HoldableProxy, type ObjectHandle } from './object-proxy.ts';

/** What a key or a set's member can be. */
export type Key = string | number | bigint | boolean;

/** A shared dictionary. Every method is one round trip, and takes effect whole. */
export class DictProxy<K extends Key = string, V = unknown> extends HoldableProxy implements AsyncIterable<[K, V]> {
  /** The value at `key`; undefined where there is none. */
  async get(key: K): Promise<V | undefined> {
    return this.unpack(await this.call('get', [asKey(key)])) as V | undefined;
  }

  /** Replaces what is at `key`. */
  async set(key: K, value: V, options?: GuardOptions): Promise<void> {
    await this.call('set', [asKey(key), this.pack(value, 'value')], undefined, options?.guard);
  }

  /** Whether there is anything at `key`. */
  async has(key: K): Promise<boolean> {
    return (await this.call('has', [asKey(key)])) as boolean;
  }

  /** Whether there was something to delete. */
  async delete(key: K, options?: GuardOptions): Promise<boolean> {
    return (await this.call('delete', [asKey(key)], undefined, options?.guard)) as boolean;
  }

  /** Takes everything out. */
  async clear(options?: GuardOptions): Promise<void> {
    await this.call('clear', [], undefined, options?.guard);
  }

  /** How many entries there are. */
  async size(): Promise<number> {
    return (await this.call('size', [])) as number;
  }

  /** The keys, in the order in which they were first set. */
  async keys(): Promise<K[]> {
    return this.unpack(await this.call('keys', [])) as K[];
  }

  /** The values, in the order of the keys. */
  async values(): Promise<V[]> {
    return this.unpack(await this.call('values', [])) as V[];
  }

  /** All entries, at one moment. */
  async entries(): Promise<[K, V][]> {
    return this.unpack(await this.call('entries', [])) as [K, V][];
  }

  /** A plain Map of all entries at one moment. */
  override async snapshot(): Promise<Map<K, V>> {
    return new Map(await this.entries());
  }

  /** The values in the order of the keys; undefined where there is none. */
  async getMany(keys: Iterable<K>): Promise<(V | undefined)[]> {
    return this.unpack(await this.call('getMany', [Array.from(keys, (key) => asKey(key))])) as (V | undefined)[];
  }

  /** Sets all of them at one moment. */
  async setMany(entries: Iterable<readonly [K, V]>, options?: GuardOptions): Promise<void> {
    const items = Array.from(entries, ([key, value]): Item => [
      asKey(key),
      this.pack(value, `value of ${String(key)}`),
    ]);
    await this.call('setMany', [items], undefined, options?.guard);
  }

  /** The value that is there, or `value`, which is there from now on. */
  async getOrInsert(key: K, value: V, options?: GuardOptions): Promise<V> {
    const args = [asKey(key), this.pack(value, 'value')];
    return this.unpack(await this.call('getOrInsert', args, undefined, options?.guard)) as V;
  }

  /** Adds to the number or bigint at `key` (nothing there counts as zero) and returns the sum. */
  async increment(key: K, by?: number, options?: GuardOptions): Promise<number>;
  async increment(key: K, by: bigint, options?: GuardOptions): Promise<bigint>;
  async increment(key: K, by: number | bigint = 1, options?: GuardOptions): Promise<number | bigint> {
    if (typeof by !== 'number' && typeof by !== 'bigint') throw new TypeError('increment adds a number or a bigint');
    return (await this.call('increment', [asKey(key), by], undefined, options?.guard)) as number | bigint;
  }

  /**
   * Sets `next` if the value is `expected` (undefined: if there is none), and says whether it was. Scalars compare by
   * SameValueZero, everything else by content.
   */
  async compareAndSet(key: K, expected: V | undefined, next: V, options?: GuardOptions): Promise<boolean> {
    const at = asKey(key);
    return compareAndSet(
      (was, becomes) => this.call('compareAndSet', [at, was, becomes], undefined, options?.guard),
      this.pack(expected, 'expected'),
      this.pack(next, 'next'),
      sameValue,
    );
  }

  /** Takes the value out. */
  async pop(key: K, options?: GuardOptions): Promise<V | undefined> {
    return this.unpack(await this.call('pop', [asKey(key)], undefined, options?.guard)) as V | undefined;
  }

  /**
   * The changes from this call on, of one key or of all, in the order in which they were made, until the loop is left,
   * `signal` aborts, or the proxy is disposed of. For a reader that falls behind, 10,000 changes or 4 MiB are kept (8 MiB
   * for all feeds of a client); then the oldest are dropped, and the next change says how many it `missed`.
   *
   *     for await (const { key, value, version } of dict.watch()) …
   *
   * `clear()` is a change for each key. @throws what ends it: ConnectionLostError, ProxyDisposedError, the signal's reason
   */
  watch(key?: K, options?: FeedOptions): Feed<DictChange<K, V>> {
    const args = key === undefined ? [] : [asKey(key)];
    const take = (item: Item, missed: number): DictChange<K, V> =>
      changeOf<V>(item, missed, (packed) => this.unpack(packed)) as DictChange<K, V>;
    return this.feed('watch', args, take, options);
  }

  /** The entries as they are now. */
  async *[Symbol.asyncIterator](): AsyncIterator<[K, V]> {
    yield* await this.entries();
  }

  protected through(where: ObjectHandle): this {
    return new DictProxy<K, V>(where) as this;
  }
}

/** Refuses at the caller what the manager could not compare. */
export function asKey(key: unknown, what = 'a key'): Key {
  const kind = typeof key;
  if (kind === 'string' || kind === 'number' || kind === 'bigint' || kind === 'boolean') return key as Key;
  throw new TypeError(
    `${what} must be a string, number, bigint or boolean, not ${key === null ? 'null' : `a ${kind}`}`,
  );
}
