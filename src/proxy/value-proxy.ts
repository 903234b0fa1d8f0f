import { sameValue } from '../protocol/codec.ts';
import { compareAndSet } from './compare-and-set.ts';
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

  protected through(where: ObjectHandle): this {
    return new ValueProxy<T>(where) as this;
  }
}
