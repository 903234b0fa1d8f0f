import { sameValue } from '../protocol/codec.ts';
import type { Item } from '../protocol/wire.ts';
import { type Change, changeOf } from './change.ts';
import { compareAndSet } from './compare-and-set.ts';
import type { Feed, FeedOptions } from './feed.ts';
import { type GuardOptions, HoldableProxy, type ObjectHandle } from './object-proxy.ts';

/** One shared value. */
export class ValueProxy<T = unknown> extends HoldableProxy {
  /** The value. */
  async get(): Promise<T> {
    return this.unpack(await this.call('get', [])) as T;
  }

  /** Replaces the value. */
  async set(value: T, options?: GuardOptions): Promise<void> {
    await this.call('set', [this.pack(value, 'value')], undefined, options?.guard);
  }

  /** Sets `next` if the value is `expected`, and says whether it was. */
  async compareAndSet(expected: T, next: T, options?: GuardOptions): Promise<boolean> {
    return compareAndSet(
      (was, becomes) => this.call('compareAndSet', [was, becomes], undefined, options?.guard),
      this.pack(expected, 'expected'),
      this.pack(next, 'next'),
      sameValue,
    );
  }

  /**
   * The changes from this call on, until the loop is left, `signal` aborts, or the proxy is disposed of. Bounded as those
   * of a dict are: the next change says how many it `missed`.
   */
  watch(options?: FeedOptions): Feed<Change<T>> {
    const take = (item: Item, missed: number): Change<T> => {
      const { key: _none, ...change } = changeOf<T>(item, missed, (packed) => this.unpack(packed));
      return change;
    };
    return this.feed('watch', [], take, options);
  }

  protected through(where: ObjectHandle): this {
    return new ValueProxy<T>(where) as this;
  }
}
