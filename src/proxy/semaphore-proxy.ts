import type { Item } from '../protocol/wire.ts';
import { type AcquireOptions, GrantorProxy } from './grantor-proxy.ts';
import type { LockGuard } from './lock-guard.ts';

/** What a semaphore is made with. */
export interface SemaphoreOptions {
  /** How many permits there are. Default 1, until an ask says otherwise. */
  permits?: number | undefined;
}

/** How long to wait for permits, and how many. */
export interface SemaphoreBodyOptions extends AcquireOptions {
  /** Default 1. */
  weight?: number | undefined;
}

/** What a semaphore is at one moment. */
export interface SemaphoreState {
  readonly permits: number;
  readonly available: number;
  /** Calls that wait. */
  readonly waiting: number;
}

/**
 * So many permits, shared. First come, first served: nobody passes one who needs more. Permits come back when the session
 * ends that took them.
 */
export class SemaphoreProxy extends GrantorProxy {
  /**
   * Waits for `weight` permits at once.
   * @throws RangeError for more than there are; DeadlockError, TimeoutError, or the signal's reason
   */
  async acquire(weight: number | AcquireOptions = 1, options?: AcquireOptions): Promise<LockGuard> {
    const [permits, wait] = typeof weight === 'object' ? [1, weight] : [weight, options];
    return (await this.ask('acquire', [permits], wait)) as LockGuard;
  }

  /** The permits if they are free now. */
  tryAcquire(weight = 1): Promise<LockGuard | undefined> {
    return this.ask('tryAcquire', [weight]);
  }

  /** Runs `fn` while holding permits. */
  runExclusive<R>(fn: (guard: LockGuard) => R | Promise<R>, options: SemaphoreBodyOptions = {}): Promise<R> {
    const { weight = 1, ...wait } = options;
    return this.inBody(() => this.acquire(weight, wait), fn);
  }

  /** How many permits are free. By the time the answer is here it may be otherwise. */
  async available(): Promise<number> {
    return (await this.call('available', [])) as number;
  }

  /**
   * Gives back `n` permits that somebody else took: this client's own first, then those taken longest ago. The guards
   * that they were taken by have nothing to release any more.
   * @throws RangeError where fewer are taken: there are never more permits than the semaphore was made with
   */
  async release(n = 1): Promise<void> {
    await this.call('give', [n]);
  }

  /** What it is at one moment. */
  override async snapshot(): Promise<SemaphoreState> {
    const [permits, available, waiting] = (await this.call('snapshot', [])) as Item[] as [number, number, number];
    return { permits, available, waiting };
  }
}
