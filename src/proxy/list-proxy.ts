import { sameValue } from '../protocol/codec.ts';
import { Packed } from '../protocol/wire.ts';
import { type GuardOptions, HoldableProxy, type ObjectHandle } from './object-proxy.ts';

/** A shared list. Every method is one round trip, and takes effect whole. Positions are those of an Array. */
export class ListProxy<T = unknown> extends HoldableProxy implements AsyncIterable<T> {
  /** The value at `index`, from the end where it is negative; undefined where there is none. */
  async at(index: number): Promise<T | undefined> {
    return this.unpack(await this.call('at', [asPosition(index)])) as T | undefined;
  }

  /** Adds a value at the end. Returns the new length. */
  async push(value: T, options?: GuardOptions): Promise<number> {
    return (await this.call('push', [this.pack(value, 'value')], undefined, options?.guard)) as number;
  }

  /** Takes the last value out. */
  async pop(options?: GuardOptions): Promise<T | undefined> {
    return this.unpack(await this.call('pop', [], undefined, options?.guard)) as T | undefined;
  }

  /** Takes the first value out. */
  async shift(options?: GuardOptions): Promise<T | undefined> {
    return this.unpack(await this.call('shift', [], undefined, options?.guard)) as T | undefined;
  }

  /** Adds a value at the beginning. Returns the new length. */
  async unshift(value: T, options?: GuardOptions): Promise<number> {
    return (await this.call('unshift', [this.pack(value, 'value')], undefined, options?.guard)) as number;
  }

  /** A copy of the values from `start` up to, but not including, `end`. */
  async slice(start = 0, end?: number): Promise<T[]> {
    const args = [asPosition(start), end === undefined ? undefined : asPosition(end)];
    return this.unpack(await this.call('slice', args)) as T[];
  }

  /** Takes `count` values out from `start` on (default: all), puts `values` in their place, and returns those taken out. */
  async splice(start: number, count?: number, values: Iterable<T> = [], options?: GuardOptions): Promise<T[]> {
    const items = Array.from(values, (value, i) => this.pack(value, `values[${i}]`));
    const args = [asPosition(start), count === undefined ? undefined : asPosition(count), items];
    return this.unpack(await this.call('splice', args, undefined, options?.guard)) as T[];
  }

  /** How many values there are. */
  async length(): Promise<number> {
    return (await this.call('length', [])) as number;
  }

  /** Takes everything out. */
  async clear(options?: GuardOptions): Promise<void> {
    await this.call('clear', [], undefined, options?.guard);
  }

  /** The first position of `value` from `from` on, or -1. Scalars compare by SameValueZero, all else by content. */
  async indexOf(value: T, from = 0): Promise<number> {
    const wanted = this.pack(value, 'value');
    if (!(wanted instanceof Packed)) return (await this.call('indexOf', [wanted, asPosition(from)])) as number;
    // The manager compares bytes alone, and the same content may have others: the values are looked at here.
    const items = await this.call('snapshot', []);
    if (!Array.isArray(items)) return -1;
    const start = from < 0 ? Math.max(0, items.length + from) : asPosition(from);
    for (let i = start; i < items.length; i++) if (sameValue(items[i], wanted)) return i;
    return -1;
  }

  /** Whether `value` is there, compared as by `indexOf`. */
  async includes(value: T, from = 0): Promise<boolean> {
    return (await this.indexOf(value, from)) !== -1;
  }

  /** A plain Array of all values at one moment. */
  override async snapshot(): Promise<T[]> {
    return this.slice();
  }

  /** The values as they are now. */
  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    yield* await this.slice();
  }

  protected through(where: ObjectHandle): this {
    return new ListProxy<T>(where) as this;
  }
}

function asPosition(position: unknown): number {
  if (typeof position === 'number' && (Number.isInteger(position) || Math.abs(position) === Infinity)) return position;
  throw new RangeError(`a position must be a whole number, not ${String(position)}`);
}
