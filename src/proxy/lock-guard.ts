import { NotLockOwnerError } from '../errors.ts';
import type { Connection, Grant } from './connection.ts';

/** How the parts of this library reach a guard's grant. */
export const grantSymbol = Symbol('grant');

/** A grant and the client that it was given to. */
export type ClientGrant = Grant & { readonly connection: Connection };

/** What a guard has of the proxy that made it. */
export interface GuardSource {
  /** Which lock of its connection. */
  readonly lock: string;
  giveBack(guard: LockGuard): Promise<void>;
  /** Another guard of the same grant. */
  another(grant: number): LockGuard;
  /** All guards of the grant. */
  guardsOf(grant: number): readonly LockGuard[];
  /** The grant was given up, and another one given for it. */
  regranted(before: number, after: number): void;
  /** The grant was given up, and none given for it. */
  gone(grant: number): void;
}

/**
 * One grant of a lock: its owner. It ends by `release()`, or with the client's session, whatever else holds on to it;
 * one that was taken through a task's `context.client` ends with that attempt, too.
 */
export class LockGuard implements AsyncDisposable {
  [grantSymbol]: ClientGrant;
  readonly #lost = new AbortController();
  readonly #source: GuardSource;
  #released: Promise<void> | undefined;
  #suspended = false;
  #token: bigint;

  constructor(grant: ClientGrant, source: GuardSource) {
    this[grantSymbol] = grant;
    this.#token = tokenOf(grant.connection, grant.number);
    this.#source = source;
  }

  /**
   * Grows with every grant of every lock: what writes carry so that a late one is refused. Waiting for a condition gives
   * the lock up and takes it again: the guard has a new token after it.
   */
  get token(): bigint {
    return this.#token;
  }

  /** Aborts when the lock is lost before it is released: from then on somebody else may hold it. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /** Neither released nor lost, nor given up to wait for a condition. */
  get held(): boolean {
    return this.#released === undefined && !this.#lost.signal.aborted && !this.#suspended;
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
    return same ? this.#source.another(this[grantSymbol].number) : undefined;
  }

  /** For the parts of this library: the grant has ended without being released. */
  lost(reason: Error): void {
    if (this.#released === undefined) this.#lost.abort(reason);
  }

  /**
   * For the parts of this library: while `waiting` is under way, the lock is given up, for all guards of the grant; it
   * resolves to the new one. Where it rejects, but for a refusal, they have lost it.
   */
  async suspended(waiting: Promise<number>): Promise<void> {
    const before = this[grantSymbol].number;
    const guards = this.#source.guardsOf(before);
    for (const guard of guards) guard.#suspended = true;
    try {
      this.#source.regranted(before, await waiting);
    } catch (error) {
      if (!(error instanceof NotLockOwnerError)) {
        for (const guard of guards) guard.lost(error as Error);
        this.#source.gone(before);
      }
      throw error;
    } finally {
      for (const guard of guards) guard.#suspended = false;
    }
  }

  /** For the parts of this library: the grant has another number from here on. */
  renumber(number: number): void {
    this[grantSymbol] = { ...this[grantSymbol], number };
    this.#token = tokenOf(this[grantSymbol].connection, number);
  }
}

/** (epoch, sequence) as one number that grows across restarts of the manager. */
export function tokenOf(connection: Connection, sequence: number): bigint {
  return (BigInt(connection.welcome.epoch) << 48n) | BigInt(sequence);
}
