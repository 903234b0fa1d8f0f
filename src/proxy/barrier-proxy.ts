import type { Item } from '../protocol/wire.ts';
import type { WaitOptions } from '../waiting.ts';
import { HoldableProxy, type ObjectHandle } from './object-proxy.ts';

/** For how many a barrier is. */
export interface BarrierOptions {
  parties?: number | undefined;
}

/** What a barrier is at one moment. */
export interface BarrierState {
  readonly parties: number | undefined;
  readonly waiting: number;
  readonly broken: boolean;
}

/** A place where so many flows wait for each other, again and again. */
export class BarrierProxy extends HoldableProxy {
  /**
   * Resolves when all parties wait, with the place in the order in which they came (from 0). Leaving before, by a
   * timeout, a signal or the end of the session, breaks the barrier for all.
   * @throws BrokenBarrierError; TimeoutError, or the signal's reason
   */
  async wait(options?: WaitOptions): Promise<number> {
    return (await this.call('wait', [], options)) as number;
  }

  /** Makes it anew, also if it is broken; whoever waits gets `BrokenBarrierError`. */
  async reset(): Promise<void> {
    await this.call('reset', []);
  }

  /** Breaks it: whoever waits, or comes, gets `BrokenBarrierError` until `reset()`. */
  async abort(): Promise<void> {
    await this.call('abort', []);
  }

  /** For how many it is. */
  async parties(): Promise<number> {
    return (await this.call('parties', [])) as number;
  }

  /** How many wait now. */
  async waiting(): Promise<number> {
    return (await this.call('waiting', [])) as number;
  }

  /** Whether it is broken. */
  async broken(): Promise<boolean> {
    return (await this.call('broken', [])) as boolean;
  }

  /** What it is at one moment. */
  override async snapshot(): Promise<BarrierState> {
    const [parties, waiting, broken] = (await this.call('snapshot', [])) as Item[] as [
      number | undefined,
      number,
      boolean,
    ];
    return { parties, waiting, broken };
  }

  protected through(where: ObjectHandle): this {
    return new BarrierProxy(where) as this;
  }
}
