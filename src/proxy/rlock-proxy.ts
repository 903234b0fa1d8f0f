import { NotLockOwnerError } from '../errors.ts';
import type { AcquireOptions } from './grantor-proxy.ts';
import type { LockGuard } from './lock-guard.ts';
import { LockProxy } from './lock-proxy.ts';
import { titleOf } from './object-proxy.ts';

/** How long to wait for a re-entrant lock, or by what it is held already. */
export interface RLockOptions extends AcquireOptions {
  /** A guard of this lock: there is nothing to wait for. Default: that of the `runExclusive` body around the call. */
  guard?: LockGuard | undefined;
}

/**
 * A shared lock that its holder may take again: inside the body of its own `runExclusive`, or by a guard of it. Every
 * guard of one grant has its token; the lock is passed on when all of them have been released.
 */
export class RLockProxy extends LockProxy {
  /**
   * Waits for the lock; at once where the caller holds it.
   * @throws NotLockOwnerError where `guard` does not hold it; TimeoutError, or the signal's reason
   */
  override async acquire(options: RLockOptions = {}): Promise<LockGuard> {
    const { guard, ...wait } = options;
    const holding = guard ?? this.body?.guard;
    if (holding === undefined) return this.wait(wait);
    const again = this.#again(holding);
    if (again !== undefined) return again;
    throw new NotLockOwnerError(`the guard given does not hold ${titleOf(this.where)}`);
  }

  /** The lock if it is free now, or held by the caller. */
  override async tryAcquire(): Promise<LockGuard | undefined> {
    const { body } = this;
    return body === undefined ? super.tryAcquire() : this.#again(body.guard);
  }

  /** Another guard of a grant of this lock: it is passed on when all of them are released. */
  #again(guard: LockGuard): LockGuard | undefined {
    return guard.again(this.identity, this.where.connection);
  }
}
