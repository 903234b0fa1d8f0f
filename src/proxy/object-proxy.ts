/** What every proxy has in common: a client's handle on one shared object. */
import { ProxyDisposedError } from '../errors.ts';
import { decode, encode } from '../protocol/codec.ts';
import { methods, ToManager } from '../protocol/messages.ts';
import type { Item } from '../protocol/wire.ts';
import { checkTimeout, type WaitOptions } from '../waiting.ts';
import type { Connection, Grant } from './connection.ts';
import { type Feed, FeedCall, type FeedOptions, failedFeed, type FeedPlace, Reading } from './feed.ts';
import type { LockGuard } from './lock-proxy.ts';
import { type Pending, PendingCall, type Undo } from './pending.ts';

/** How the parts of this library reach what a proxy stands on. */
export const where = Symbol('where');
export const grantSymbol = Symbol('grant');

/** A write that counts only while that very grant is held; `NotLockOwnerError` otherwise. */
export interface GuardOptions {
  guard?: LockGuard | undefined;
}

/** How long to wait for the object, and how long it may be held. */
export interface HoldOptions extends WaitOptions {
  /** The hold ends after so many ms, whether its flow is done or not. Default: none. */
  holdTimeout?: number | undefined;
}

export interface ObjectHandle {
  readonly connection: Connection;
  readonly handle: number;
  readonly typeId: string;
  readonly name: string | undefined;
  /** It stands for the object during a hold. */
  readonly held?: boolean;
}

export abstract class BaseProxy implements AsyncDisposable, Disposable {
  readonly #where: ObjectHandle;
  #disposed = false;
  /** Feeds that are read through this proxy: they end with it. */
  #readings: Set<{ stop(reason: unknown): void }> | undefined;

  constructor(where: ObjectHandle) {
    this.#where = where;
  }

  /** The name by which it is shared; undefined for an unnamed object. */
  get name(): string | undefined {
    return this.#where.name;
  }

  /** What it is a proxy of: 'dict', 'queue', or the id of a registered type. */
  get typeId(): string {
    return this.#where.typeId;
  }

  /** What the object holds, at one moment. */
  async snapshot(): Promise<unknown> {
    return this.unpack(await this.call('snapshot', []));
  }

  /** Gives up this handle; later calls on it reject with `ProxyDisposedError`. An unnamed object without handles is gone. */
  dispose(): Promise<void> {
    if (!this.#disposed && this.#where.held !== true) {
      this.#disposed = true;
      for (const reading of [...(this.#readings ?? [])]) reading.stop(this.gone());
      this.dropHandle();
    }
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  [Symbol.dispose](): void {
    void this.dispose();
  }

  /** Where the object is; for the parts of this library, not for users. */
  get [where](): ObjectHandle {
    return this.where;
  }

  protected get disposed(): boolean {
    return this.#disposed;
  }

  /** The proxy is of no use any more. */
  protected dropHandle(): void {
    this.#where.connection.drop(this.#where.handle);
  }

  /** `undo`: what gives back the answer that comes after the caller has left. */
  protected call(
    method: string,
    args: readonly Item[],
    wait?: WaitOptions,
    guard?: LockGuard,
    undo?: Undo,
  ): Promise<Item> {
    if (this.#disposed) return Promise.reject(this.gone());
    const { connection, handle, typeId } = this.#where;
    const grant = guard === undefined ? undefined : grantOf(guard, connection);
    return connection.call(handle, numberOf(typeId, method), args, wait, grant, undo);
  }

  /** Sends a call that `pending` hears the answers of; returns its number. */
  protected send(method: string, args: readonly Item[], pending: Pending): number {
    const { connection, handle, typeId } = this.where;
    connection.checkHandle(handle);
    const id = connection.begin(pending);
    const start = connection.link.beginCall(ToManager.CALL, id, handle);
    const { writer } = connection.link;
    writer.u8(numberOf(typeId, method));
    for (const arg of args) writer.item(arg);
    connection.finish(start, id);
    return id;
  }

  /** A feed by a call of `method`. What is wrong with the call is told to whoever reads. */
  protected feed<T>(
    method: string,
    args: readonly Item[],
    take: (item: Item, missed: number) => T,
    options?: FeedOptions,
  ): Feed<T> {
    const place = this.#placeOf(take);
    try {
      options?.signal?.throwIfAborted();
      const reading = new Reading(place, options);
      return this.#begun(reading, this.send(method, args, new FeedCall(reading)));
    } catch (error) {
      return failedFeed(place, error);
    }
  }

  /** The answer of a call, for which its caller has waited so far, is a feed. */
  protected turnsOut<T>(take: (item: Item) => T, call: number): Reading<T> {
    this.#where.connection.letGo();
    return this.#begun(new Reading(this.#placeOf(take)), call);
  }

  /** The feed ends when this proxy is disposed of, and keeps it alive until it is over. */
  #begun<T>(reading: Reading<T>, call: number): Reading<T> {
    (this.#readings ??= new Set()).add(reading);
    reading.begun(call);
    if (this.#disposed) reading.stop(this.gone());
    return reading;
  }

  #placeOf<T>(take: (item: Item, missed: number) => T): FeedPlace<T> {
    const { connection } = this.#where;
    return { connection, take, over: (reading) => this.#readings?.delete(reading) };
  }

  protected get where(): ObjectHandle {
    if (this.#disposed) throw this.gone();
    return this.#where;
  }

  protected pack(value: unknown, root: string): Item {
    return encode(value, this.#where.connection.codec, root);
  }

  protected unpack(item: Item): unknown {
    return decode(item, this.#where.connection.codec);
  }

  protected gone(): ProxyDisposedError {
    return new ProxyDisposedError(`this proxy of ${titleOf(this.#where)} has been disposed of`);
  }
}

/** Proxies of everything but locks can be held. */
export abstract class HoldableProxy extends BaseProxy {
  /**
   * The object for `fn` alone, over several calls on `held`. Every other call on the object waits its turn, also from
   * this client; a call on `held` that would have to wait rejects with `DeadlockError`.
   */
  async withLock<R>(fn: (held: this) => R | Promise<R>, options?: HoldOptions): Promise<R> {
    const { connection, handle, typeId, name } = this.where;
    const alias = await takeHold(connection, handle, options, titleOf(this.where));
    try {
      return await fn(this.through({ connection, handle: alias, typeId, name, held: true }));
    } finally {
      if (!connection.closed) connection.drop(alias);
    }
  }

  /** The same kind of proxy on another handle. */
  protected abstract through(where: ObjectHandle): this;
}

export function titleOf({ typeId, name }: ObjectHandle): string {
  return name === undefined ? `an unnamed ${typeId}` : `${typeId} '${name}'`;
}

function takeHold(
  connection: Connection,
  handle: number,
  options: HoldOptions | undefined,
  title: string,
): Promise<number> {
  return new Promise((resolve, reject) => {
    checkTimeout(options?.timeout);
    checkTimeout(options?.holdTimeout, 'holdTimeout');
    options?.signal?.throwIfAborted();
    connection.checkHandle(handle);
    const alias = connection.newHandle();
    const adopted = (): void => {
      connection.adopt(alias, { typeId: '', name: undefined, options: [] });
      resolve(alias);
    };
    const pending = new PendingCall(adopted, reject);
    pending.leaving = { undo: () => Promise.resolve(connection.drop(alias)) };
    const id = connection.begin(pending);
    const start = connection.link.begin(ToManager.HOLD);
    const { writer } = connection.link;
    writer.u32(id);
    writer.u32(handle);
    writer.u32(alias);
    writer.f64(options?.holdTimeout ?? 0);
    connection.finish(start, id);
    if (options !== undefined) connection.watch(id, options, reject, `waiting for ${title}`);
  });
}

const numbers = new Map<string, ReadonlyMap<string, number>>(
  Object.entries(methods).map(([typeId, names]) => [typeId, new Map(names.map((name, at) => [name as string, at]))]),
);
const custom = numbers.get('custom');
// Neither is a type that anybody could ask for; registered types may have these names.
numbers.delete('manager');
numbers.delete('custom');

export function isBuiltIn(typeId: string): boolean {
  return numbers.has(typeId);
}

function numberOf(typeId: string, method: string): number {
  return (numbers.get(typeId) ?? custom)?.get(method) as number;
}

function grantOf(guard: LockGuard, connection: Connection): Grant {
  const grant = guard[grantSymbol];
  if (grant.connection !== connection) {
    throw new TypeError('the guard belongs to another client: take the lock through the same one');
  }
  return grant;
}
