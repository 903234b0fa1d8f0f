import { asKey, type Key } from './dict-proxy.ts';
import { type GuardOptions, HoldableProxy, type ObjectHandle } from './object-proxy.ts';

/** A shared set of scalars, which compare as in a Set. Every method is one round trip, and takes effect whole. */
export class SetProxy<T extends Key = string> extends HoldableProxy implements AsyncIterable<T> {
  /** Whether it was not there before. */
  async add(member: T, options?: GuardOptions): Promise<boolean> {
    return (await this.call('add', [asKey(member, 'a member')], undefined, options?.guard)) as boolean;
  }

  /** Whether it is there. */
  async has(member: T): Promise<boolean> {
    return (await this.call('has', [asKey(member, 'a member')])) as boolean;
  }

  /** Whether there was something to delete. */
  async delete(member: T, options?: GuardOptions): Promise<boolean> {
    return (await this.call('delete', [asKey(member, 'a member')], undefined, options?.guard)) as boolean;
  }

  /** How many members there are. */
  async size(): Promise<number> {
    return (await this.call('size', [])) as number;
  }

  /** Takes everything out. */
  async clear(options?: GuardOptions): Promise<void> {
    await this.call('clear', [], undefined, options?.guard);
  }

  /** The members, in the order in which they were added. */
  async values(): Promise<T[]> {
    return this.unpack(await this.call('values', [])) as T[];
  }

  /** A plain Set of all members at one moment. */
  override async snapshot(): Promise<Set<T>> {
    return new Set(await this.values());
  }

  /** The members as they are now. */
  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    yield* await this.values();
  }

  protected through(where: ObjectHandle): this {
    return new SetProxy<T>(where) as this;
  }
}
