/** What the proxies of locks, semaphores, read-write locks and conditions have in common: guards. */
import { NotLockOwnerError } from '../errors.ts';
import type { Item } from '../protocol/wire.ts';
import type { WaitOptions } from '../waiting.ts';
import { bodyOf, GuardBody, runInside } from './bodies.ts';
import { grantSymbol, LockGuard, tokenOf } from './lock-guard.ts';
import { BaseProxy, numberOf, type ObjectHandle } from './object-proxy.ts';

/** How long to wait for a lock, and what the caller holds meanwhile. */
export interface AcquireOptions extends WaitOptions {
  /**
   * Guards that the caller keeps while it waits, so that a wait that would never end can be told: it rejects with
   * `DeadlockError`. Those of `runExclusive` and `withLock` bodies around the call are known without.
   */
  holding?: readonly LockGuard[] | undefined;
}

export abstract class GrantorProxy extends BaseProxy {
  readonly #at: ObjectHandle;
  /** By grant: one guard each, more of a lock that is re-entrant. */
  readonly #guards = new Map<number, Set<LockGuard>>();
  /** Calls under way that may end in a guard. */
  #asking = 0;

  constructor(at: ObjectHandle) {
    super(at);
    this.#at = at;
    at.connection.handles.listen(at.handle, {
      sessionEnded: (error) => this.#sessionEnded(error),
      event: (event, item) => {
        if (event !== 'lockBroken' || !Array.isArray(item)) return;
        const [pid, name, grant] = item as [number, string, number];
        at.connection.emit('lockBroken', { lock: at.name, pid, name, token: tokenOf(at.connection, grant) });
      },
    });
  }

  /** Guards outlive the proxy: the handle goes with the last of them. */
  protected override dropHandle(): void {
    if (this.#guards.size + this.#asking === 0) super.dropHandle();
  }

  /** Which lock of its connection: proxies of the same named one are one. */
  protected get identity(): string {
    const { name, handle } = this.#at;
    return name === undefined ? `#${handle}` : name;
  }

  /** Asks the manager for a grant; undefined where it is not to be had now. `args` come before the attempt's lease. */
  protected async ask(
    method: string,
    args: readonly Item[] = [],
    options: AcquireOptions = {},
  ): Promise<LockGuard | undefined> {
    const { holding, ...wait } = options;
    const answer = this.call(
      method,
      [...args, this.#at.attempt?.lease],
      wait,
      undefined,
      (grant) => this.giveBack(grant as number),
      holding,
    );
    return this.underWay(answer, (grant) => (grant === undefined ? undefined : this.granted(grant as number)));
  }

  /** The handle stays until the call has been answered and `come` has made of it what it is for. */
  protected async underWay<T, R>(answer: Promise<T>, come: (value: T) => R): Promise<R> {
    this.#asking++;
    try {
      return come(await answer);
    } finally {
      this.#asking--;
      if (this.disposed) this.dropHandle();
    }
  }

  /** Runs `fn` with a guard that is released after it. */
  protected async inBody<R>(
    acquire: () => Promise<LockGuard>,
    fn: (guard: LockGuard) => R | Promise<R>,
    place = '',
  ): Promise<R> {
    const guard = await acquire();
    let result: R;
    try {
      result = await runInside(new GuardBody(this.identity, guard, place), () => fn(guard));
    } catch (error) {
      // The body's own failure says more than that its lock was lost.
      await guard.release().catch(() => {});
      throw error;
    }
    await guard.release();
    return result;
  }

  /** The innermost body of this lock that surrounds the call. */
  protected get body(): GuardBody | undefined {
    return bodyOf(this.identity, this.where.connection);
  }

  /** A guard of the grant. */
  protected granted(number: number): LockGuard {
    const { connection, handle, attempt } = this.#at;
    const guards = this.#guards.get(number) ?? new Set<LockGuard>();
    let unbind: (() => void) | undefined;
    const guard: LockGuard = new LockGuard(
      { connection, handle, number },
      {
        lock: this.identity,
        another: (grant) => this.granted(grant),
        guardsOf: (grant) => [...(this.#guards.get(grant) ?? [])],
        regranted: (before, after) => this.#regranted(before, after),
        gone: (grant) => {
          this.#guards.delete(grant);
          if (this.disposed) this.dropHandle();
        },
        giveBack: async (given) => {
          unbind?.();
          await this.#left(given);
        },
      },
    );
    unbind = attempt?.bind((reason) => {
      guard.lost(
        new NotLockOwnerError(`the attempt that took the lock has ended: ${reason.message}`, { cause: reason }),
      );
      if (this.#forget(guard) !== undefined && this.disposed) this.dropHandle();
    });
    this.#guards.set(number, guards.add(guard));
    return guard;
  }

  protected giveBack(grant: number): Promise<unknown> {
    const { connection, handle, typeId } = this.#at;
    return connection.call(handle, numberOf(typeId, 'release'), [grant]);
  }

  /** The guard is of no use any more: the grant goes with the last of them. */
  async #left(guard: LockGuard): Promise<void> {
    const last = this.#forget(guard);
    if (last === undefined) return;
    const released = this.giveBack(last);
    if (this.disposed) this.dropHandle();
    await released;
  }

  /** The number of its grant where it was the last of it. */
  #forget(guard: LockGuard): number | undefined {
    const { number } = guard[grantSymbol];
    const guards = this.#guards.get(number);
    if (guards?.delete(guard) !== true || guards.size > 0) return undefined;
    this.#guards.delete(number);
    return number;
  }

  #regranted(before: number, after: number): void {
    const guards = this.#guards.get(before);
    if (guards === undefined) {
      // All of them were released meanwhile. Where that fails, the session has ended, and the grant with it.
      this.giveBack(after).catch(() => {});
      return;
    }
    this.#guards.delete(before);
    this.#guards.set(after, guards);
    for (const guard of guards) guard.renumber(after);
  }

  #sessionEnded(error: Error): void {
    const guards = [...this.#guards.values()].flatMap((each) => [...each]);
    this.#guards.clear();
    for (const guard of guards) guard.lost(error);
    if (this.disposed && guards.length > 0) this.dropHandle();
  }
}
