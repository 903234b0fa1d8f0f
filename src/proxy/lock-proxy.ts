import { AsyncLocalStorage } from 'node:async_hooks';
import { DeadlockError, NotLockOwnerError } from '../errors.ts';
import type { WaitOptions } from '../waiting.ts';
import type { Connection, Grant } from './connection.ts';
import { methods } from '../protocol/messages.ts';
import type { Item } from '../protocol/wire.ts';
import { BaseProxy, grantSymbol, type ObjectHandle, titleOf } from './object-proxy.ts';

/** Who holds a lock. */
export interface LockOwner {
  readonly session: number;
  readonly pid: number;
  readonly name: string;
  readonly token: bigint;
}

/** The locks whose `runExclusive` bodies surround the running code, or surrounded the code that started it. */
const bodies = new AsyncLocalStorage<readonly Body[]>();
interface Body {
  readonly lock: string;
  readonly connection: Connection;
  readonly place: string;
  /** No body of that lock any more once its grant has ended. */
  readonly guard: LockGuard;
}

/** What a guard has of the proxy that made it. */
interface GuardSource {
  /** Which lock of its connection. */
  readonly lock: string;
  giveBack(guard: LockGuard): Promise<void>;
  /** Another guard of the same grant. */
  another(): LockGuard;
}

/**
 * One grant of a lock: its owner. It ends by `release()`, or with the client's session, whatever else holds on to it.
 */
export class LockGuard implements AsyncDisposable {
  readonly [grantSymbol]: Grant & { readonly connection: Connection };
  /** Grows with every grant of every lock: what writes carry so that a late one is refused. */
  readonly token: bigint;
  readonly #lost = new AbortController();
  readonly #source: GuardSource;
  #released: Promise<void> | undefined;

  constructor(grant: Grant & { connection: Connection }, token: bigint, source: GuardSource) {
    this[grantSymbol] = grant;
    this.token = token;
    this.#source = source;
  }

  /** Aborts when the lock is lost before it is released: from then on somebody else may hold it. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /** Neither released nor lost. */
  get held(): boolean {
    return this.#released === undefined && !this.#lost.signal.aborted;
  }

  /** Passes the lock on. A second call changes nothing. @throws NotLockOwnerError when the lock was lost before */
  release(): Promise<void> {
    this.#released ??= this.signal.aborted
      ? Promise.reject(new NotLockOwnerError('the lock was lost before it was released', { cause: this.signal.reason }))
      : this.#source.giveBack(this);
    return this.#released;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  /** For the parts of this library: another guard of the same grant, of the lock `lock`; undefined where it is none. */
  again(lock: string, connection: Connection): LockGuard | undefined {
    const same = this.held && this.#source.lock === lock && this[grantSymbol].connection === connection;
    return same ? this.#source.another() : undefined;
  }

  /** For the parts of this library: the session that held it has ended. */
  lost(reason: Error): void {
    if (this.#released === undefined) this.#lost.abort(reason);
  }
}

/**
 * A shared lock. Its owner is the guard, one flow of one process: two flows of one process exclude each other like two
 * processes. First come, first served. When a holder's process ends, the next waiter has the lock.
 */
export class LockProxy extends BaseProxy {
  readonly #at: ObjectHandle;
  /** By grant: one guard each, more of a lock that is re-entrant. */
  readonly #guards = new Map<number, Set<LockGuard>>();
  /** Calls under way that may end in a guard. */
  #asking = 0;

  constructor(at: ObjectHandle) {
    super(at);
    this.#at = at;
    at.connection.listen(at.handle, {
      sessionEnded: (error) => this.#sessionEnded(error),
      event: (event, item) => {
        if (event === 'lockBroken' && Array.isArray(item)) {
          at.connection.emit('lockBroken', {
            lock: at.name,
            pid: item[0],
            name: item[1],
            token: this.#token(Number(item[2])),
          });
        }
      },
    });
  }

  /**
   * Waits for the lock. Inside the body of its own `runExclusive` it rejects with `DeadlockError` at once.
   * @throws TimeoutError, or the signal's reason; the waiter is gone from the queue by then
   */
  async acquire(options?: WaitOptions): Promise<LockGuard> {
    this.#refuseReentry();
    return this.wait(options);
  }

  /** The lock if it is free now. */
  tryAcquire(): Promise<LockGuard | undefined> {
    return this.#ask('tryAcquire');
  }

  /** Runs `fn` while holding the lock. @throws NotLockOwnerError when the lock was lost while it ran */
  async runExclusive<R>(fn: (guard: LockGuard) => R | Promise<R>, options?: WaitOptions): Promise<R> {
    const place = callerOf(new Error('here').stack);
    const guard = await this.acquire(options);
    const { connection } = guard[grantSymbol];
    const body: Body = { lock: this.#identity, connection, place, guard };
    const surrounding = bodies.getStore()?.filter((outer) => outer.guard.held) ?? [];
    let result: R;
    try {
      result = await bodies.run([...surrounding, body], () => fn(guard));
    } catch (error) {
      // The body's own failure says more than that its lock was lost.
      await guard.release().catch(() => {});
      throw error;
    }
    await guard.release();
    return result;
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
    return { session, pid, name, token: this.#token(grant) };
  }

  /** Guards outlive the proxy: the handle goes with the last of them. */
  protected override dropHandle(): void {
    if (this.#guards.size + this.#asking === 0) super.dropHandle();
  }

  /** Asks the manager, whatever surrounds the call. */
  protected async wait(options: WaitOptions | undefined): Promise<LockGuard> {
    return (await this.#ask('acquire', options)) as LockGuard;
  }

  /** The guard of the innermost `runExclusive` body of this lock that surrounds the call. */
  protected get surrounding(): LockGuard | undefined {
    return this.#body?.guard;
  }

  /** Another guard of a grant of this lock: it is passed on when all of them are released. */
  protected again(guard: LockGuard): LockGuard | undefined {
    return guard.again(this.#identity, this.where.connection);
  }

  async #ask(method: 'acquire' | 'tryAcquire', wait?: WaitOptions): Promise<LockGuard | undefined> {
    const answer = this.call(method, [], wait, undefined, (grant) => this.#giveBack(grant));
    this.#asking++;
    try {
      const grant = await answer;
      return grant === undefined ? undefined : this.#granted(grant as number);
    } finally {
      this.#asking--;
      if (this.disposed) this.dropHandle();
    }
  }

  get #identity(): string {
    const { name, handle } = this.#at;
    return name === undefined ? `#${handle}` : name;
  }

  #token(grant: number): bigint {
    return tokenOf(this.#at.connection, grant);
  }

  #granted(number: number): LockGuard {
    const { connection, handle } = this.#at;
    const guards = this.#guards.get(number) ?? new Set<LockGuard>();
    const guard = new LockGuard({ connection, handle, number }, this.#token(number), {
      lock: this.#identity,
      another: () => this.#granted(number),
      giveBack: async (given) => {
        guards.delete(given);
        if (guards.size > 0) return;
        this.#guards.delete(number);
        const released = this.#giveBack(number);
        if (this.disposed) this.dropHandle();
        await released;
      },
    });
    this.#guards.set(number, guards.add(guard));
    return guard;
  }

  #giveBack(grant: Item): Promise<unknown> {
    const { connection, handle } = this.#at;
    return connection.call(handle, methods.lock.indexOf('release'), [grant]);
  }

  #sessionEnded(error: Error): void {
    const guards = [...this.#guards.values()].flatMap((each) => [...each]);
    this.#guards.clear();
    for (const guard of guards) guard.lost(error);
    if (this.disposed && guards.length > 0) this.dropHandle();
  }

  get #body(): Body | undefined {
    const { connection } = this.where;
    return bodies
      .getStore()
      ?.findLast((outer) => outer.lock === this.#identity && outer.connection === connection && outer.guard.held);
  }

  #refuseReentry(): void {
    const body = this.#body;
    if (body === undefined) return;
    const title = titleOf(this.where);
    throw new DeadlockError(
      `${title} is held by the runExclusive() body that asks for it again, entered ${body.place} (pid ${process.pid}); a plain lock is not re-entrant`,
      [title, title],
    );
  }
}

/** (epoch, sequence) as one number that grows across restarts of the manager. */
export function tokenOf(connection: Connection, sequence: number): bigint {
  return (BigInt(connection.welcome.epoch) << 48n) | BigInt(sequence);
}

/** 'at file:line' of the code that called into this library. */
function callerOf(stack: string | undefined): string {
  const line = stack?.split('\n')[2]?.trim();
  return line ?? 'at an unknown place';
}
