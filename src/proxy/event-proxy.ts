import type { WaitOptions } from '../waiting.ts';
import { type GuardOptions, HoldableProxy, type ObjectHandle } from './object-proxy.ts';

/** A shared flag that many wait for. */
export class EventProxy extends HoldableProxy {
  /** Sets the flag: whoever waits goes on, also if it is cleared right after. */
  async set(options?: GuardOptions): Promise<void> {
    await this.call('set', [], undefined, options?.guard);
  }

  /** Clears the flag: who waits from now on waits for the next `set`. */
  async clear(options?: GuardOptions): Promise<void> {
    await this.call('clear', [], undefined, options?.guard);
  }

  /** Whether the flag is set. */
  async isSet(): Promise<boolean> {
    return (await this.call('isSet', [])) as boolean;
  }

  /** Resolves when the flag is set; at once where it is. @throws TimeoutError, or the signal's reason */
  async wait(options?: WaitOptions): Promise<void> {
    await this.call('wait', [], options);
  }

  protected through(where: ObjectHandle): this {
    return new EventProxy(where) as this;
  }
}
