import { DeadlockError } from '../errors.ts';
import { type AcquireOptions, GrantorProxy } from './grantor-proxy.ts';
import { type LockGuard, tokenOf } from './lock-guard.ts';
import { titleOf } from './object-proxy.ts';

/** Who holds a lock. */
export interface LockOwner {
  readonly session: number;
  readonly pid: number;
  readonly name: string;
  readonly token: bigint;
}

/**
 * A shared lock. Its owner is the guard, one flow of one process: two flows of one process exclude each other like two
 * processes. First come, first served. When a holder's process ends, the next waiter has the lock.
 */
export class LockProxy extends GrantorProxy {
  /**
   * Waits for the lock. Rejects with `DeadlockError` where that would never end: inside the body of its own
   * `runExclusive`, or in a circle of flows that are known to wait for each other, whatever their timeouts.
   * @throws TimeoutError, or the signal's reason; the waiter is gone from the queue by then
   */
  async acquire(options?: AcquireOptions): Promise<LockGuard> {
    this.#refuseReentry();
    return this.wait(options);
  }

  /** The lock if it is free now. */
  tryAcquire(): Promise<LockGuard | undefined> {
    return this.ask('tryAcquire');
  }

  /** Runs `fn` while holding the lock. @throws NotLockOwnerError when the lock was lost while it ran */
  runExclusive<R>(fn: (guard: LockGuard) => R | Promise<R>, options?: AcquireOptions): Promise<R> {
    return this.inBody(() => this.acquire(options), fn, callerOf(new Error('here')));
  }

  /** Whether anybody holds it. */
  async locked(): Promise<boolean> {
    return (await this.call('locked', [])) as boolean;
  }

  /** Who holds it now; undefined while nobody does. */
  async owner(): Promise<LockOwner | undefined> {
    const owner = await this.call('owner', []);
    if (!Array.isArray(owner)) return undefined;
    const [session, pid, name, grant] = owner as [number, number, string, number];
    return { session, pid, name, token: tokenOf(this.where.connection, grant) };
  }

  /** Asks the manager, whatever surrounds the call. */
  protected async wait(options: AcquireOptions | undefined): Promise<LockGuard> {
    return (await this.ask('acquire', [], options)) as LockGuard;
  }

  #refuseReentry(): void {
    const { body } = this;
    if (body === undefined) return;
    const title = titleOf(this.where);
    throw new DeadlockError(
      `${title} is held by the runExclusive() body that asks for it again, entered ${body.place} (pid ${process.pid}); a plain lock is not re-entrant`,
      [title, title],
    );
  }
}

/** 'at file:line' of the code that called into this library. Call it in the method that was called. */
function callerOf({ stack }: Error): string {
  return stack?.split('\n')[2]?.trim() ?? 'at an unknown place';
}
