import { type GuardOptions, HoldableProxy, type ObjectHandle } from './object-proxy.ts';

/** A shared number that many add to. */
export class CounterProxy extends HoldableProxy {
  /** The number. */
  async get(): Promise<number> {
    return (await this.call('get', [])) as number;
  }

  /** Adds `by` (default 1) and returns the sum. */
  async add(by = 1, options?: GuardOptions): Promise<number> {
    return (await this.call('add', [asNumber(by, 'what is added')], undefined, options?.guard)) as number;
  }

  /** Replaces the number. */
  async set(value: number, options?: GuardOptions): Promise<void> {
    await this.call('set', [asNumber(value, 'the value')], undefined, options?.guard);
  }

  protected through(where: ObjectHandle): this {
    return new CounterProxy(where) as this;
  }
}

function asNumber(value: number, what: string): number {
  if (typeof value === 'number') return value;
  throw new TypeError(`${what} must be a number, not ${value === null ? 'null' : `a ${typeof value}`}`);
}
