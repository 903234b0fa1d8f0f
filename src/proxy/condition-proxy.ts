import { TimeoutError } from '../errors.ts';
import { checkTimeout, type WaitOptions, watchWait } from '../waiting.ts';
import { type AcquireOptions, GrantorProxy } from './grantor-proxy.ts';
import { grantSymbol, type LockGuard } from './lock-guard.ts';
import type { LockProxy } from './lock-proxy.ts';
import type { GuardOptions } from './object-proxy.ts';
import { numberOf, titleOf } from './object-proxy.ts';

/** What a condition is made with. */
export interface ConditionOptions {
  /** The lock it belongs to, also a re-entrant one. Default: one of its own. */
  lock?: LockProxy | undefined;
}

/** How long (ms) a manager may take to hear that a wait is given up. */
const PATIENCE = 1000;

/** Flows that hold a lock wait for others to say that something has changed. */
export class ConditionProxy extends GrantorProxy {
  /** Runs `fn` while holding the condition's lock. @throws NotLockOwnerError when the lock was lost while it ran */
  runExclusive<R>(fn: (guard: LockGuard) => R | Promise<R>, options?: AcquireOptions): Promise<R> {
    const acquire = (): Promise<LockGuard> => this.ask('acquire', [], options) as Promise<LockGuard>;
    return this.inBody(acquire, fn);
  }

  /**
   * Gives the lock up, waits to be notified, and takes the lock again: however it ends, the guard holds the lock again,
   * unless its session has ended. `timeout` and `signal` end the waiting, not the taking again.
   * @throws NotLockOwnerError where `guard` does not hold the lock; TimeoutError, or the signal's reason
   */
  async wait(guard: LockGuard, options?: WaitOptions): Promise<void> {
    checkTimeout(options?.timeout);
    options?.signal?.throwIfAborted();
    const { connection, handle, typeId, attempt } = this.where;
    const before = guard[grantSymbol].number;
    let abandoned = false;
    const answer = this.underWay(this.call('wait', [before, attempt?.lease]), (come) => {
      const [grant, notified] = come as unknown as [number, boolean];
      // Its caller has left without it.
      if (abandoned) this.giveBack(grant).catch(() => {});
      return [grant, notified] as const;
    });
    let givenUp: { readonly reason: unknown } | undefined;
    const held = new Promise<readonly [number, boolean]>((resolve, reject) => {
      const endWatch = watchWait(options, `waiting for ${titleOf(this.where)}`, (reason) => {
        givenUp = { reason };
        connection.call(handle, numberOf(typeId, 'giveUp'), [before], { timeout: PATIENCE }).catch(() => {
          // A manager that says nothing: the guard is lost, and what comes of the wait later is given back.
          abandoned = true;
          reject(reason);
        });
      });
      answer.then(resolve, reject).finally(endWatch);
    });
    await guard.suspended(held.then(([grant]) => grant));
    const [, notified] = await held;
    if (givenUp !== undefined && !notified) throw givenUp.reason;
  }

  /**
   * Waits until `predicate` is true; it is asked before, and each time the condition is notified, while the lock is held.
   * @throws TimeoutError, or the signal's reason, once the time of all waits together is up
   */
  async waitFor(
    guard: LockGuard,
    predicate: () => boolean | Promise<boolean>,
    options: WaitOptions = {},
  ): Promise<void> {
    const { timeout } = options;
    checkTimeout(timeout);
    const until = timeout === undefined ? undefined : performance.now() + timeout;
    while (!(await predicate())) {
      const left = until === undefined ? undefined : Math.max(0, until - performance.now());
      if (left === 0) throw new TimeoutError(`waiting for ${titleOf(this.where)} took longer than ${timeout} ms`);
      await this.wait(guard, { ...options, timeout: left });
    }
  }

  /** Lets the `n` go on that have waited longest, when the lock is theirs. @returns how many @throws NotLockOwnerError where this client does not hold the lock */
  async notify(n = 1, options?: GuardOptions): Promise<number> {
    return (await this.call('notify', [n], undefined, options?.guard)) as number;
  }

  /** Lets all go on who wait. @returns how many @throws NotLockOwnerError where this client does not hold the lock */
  async notifyAll(options?: GuardOptions): Promise<number> {
    return (await this.call('notify', [undefined], undefined, options?.guard)) as number;
  }

  /** What it is at one moment. */
  override async snapshot(): Promise<{ readonly locked: boolean; readonly waiting: number }> {
    const [locked, waiting] = (await this.call('snapshot', [])) as unknown as [boolean, number];
    return { locked, waiting };
  }
}
