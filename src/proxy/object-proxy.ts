/** What every proxy has in common: a client's handle on one shared object. */
import { debuglog } from 'node:util';
import { ProxyDisposedError } from '../errors.ts';
import { decode, encode } from '../protocol/codec.ts';
import { HOLDING, methods, ToManager } from '../protocol/messages.ts';
import type { Item } from '../protocol/wire.ts';
import { checkTimeout, type WaitOptions } from '../waiting.ts';
import { type Body, heldBy, runInside, writeHeld } from './bodies.ts';
import type { Connection, Grant } from './connection.ts';
import { type Feed, FeedCall, type FeedOptions, failedFeed, type FeedPlace, Reading } from './feed.ts';
import { grantSymbol, type LockGuard } from './lock-guard.ts';
import { type Pending, PendingCall, type Undo } from './pending.ts';
import { trackOf } from './tracks.ts';

/** How the parts of this library reach what a proxy stands on. */
export const where = Symbol('where');

/** A write that counts only while that very grant is held; `NotLockOwnerError` otherwise. */
export interface GuardOptions {
  guard?: LockGuard | undefined;
}

const debug = debuglog('quartermaster');

/**
 * Handles that the engine has found nobody to have any more. A courtesy: what counts is `dispose()` and the end of the
 * session. Not of locks and their kin, whose guards outlive their proxies.
 */
const lost = new FinalizationRegistry<{ readonly connection: Connection; readonly handle: number }>(
  ({ connection, handle }) => connection.abandon(handle),
);
const plain = new Set(['dict', 'list', 'set', 'value', 'counter', 'namespace', 'queue']);

function mayBeLost(typeId: string): boolean {
  return plain.has(typeId) || !isBuiltIn(typeId);
}

/** ', at function (file:line)' of whoever called into this library. */
function siteOf(stack = ''): string {
  const outside = stack
    .split('\n')
    .slice(1)
    .find((line) => !line.includes(import.meta.url));
  return outside === undefined ? '' : `, ${outside.trim()}`;
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
  /** The attempt of a task with which grants end that are taken through it. */
  readonly attempt?: Attempt | undefined;
}

/** One execution of a task, as what is bound to it sees it. */
export interface Attempt {
  readonly lease: number;
  /** `lost` is called when the attempt is over, unless the function returned is called before. */
  bind(lost: (reason: Error) => void): () => void;
  /** Its slot is lent while it waits for a task: until the function returned is called. */
  lend(): () => void;
}

export abstract class BaseProxy implements AsyncDisposable, Disposable {
  readonly #where: ObjectHandle;
  #disposed = false;
  /** Where that was; only with NODE_DEBUG=quartermaster. */
  #site = '';
  /** Feeds that are read through this proxy: they end with it. */
  #readings: Set<{ stop(reason: unknown): void }> | undefined;

  constructor(where: ObjectHandle) {
    this.#where = where;
    const { connection, handle, typeId, held } = where;
    if (held === true || !mayBeLost(typeId)) return;
    lost.register(where, { connection, handle }, where);
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

  /**
   * Gives up this handle; later calls on it reject with `ProxyDisposedError`, which says where that was if the
   * environment has `NODE_DEBUG=quartermaster`. An unnamed object that no handle and no stored value names is gone.
   */
  dispose(): Promise<void> {
    if (!this.#disposed && this.#where.held !== true) {
      this.#disposed = true;
      if (debug.enabled) this.#site = siteOf(new Error().stack);
      lost.unregister(this.#where);
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
    holding?: readonly LockGuard[],
  ): Promise<Item> {
    if (this.#disposed) return Promise.reject(this.gone());
    const { connection, handle, typeId } = this.#where;
    const grant = guard === undefined ? undefined : grantOf(guard, connection);
    return connection.call(handle, numberOf(typeId, method), args, wait, grant, undo, heldBy(connection, holding));
  }

  /** Sends a call that `pending` hears the answers of; returns its number. */
  protected send(method: string, args: readonly Item[], pending: Pending): number {
    const { connection, handle, typeId } = this.where;
    connection.handles.check(handle);
    const held = heldBy(connection);
    const id = connection.begin(pending);
    const start = connection.link.beginCall(ToManager.CALL, id, handle);
    const { writer } = connection.link;
    writer.u8(numberOf(typeId, method) | (held.length === 0 ? 0 : HOLDING));
    if (held.length > 0) writeHeld(writer, held);
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
    return new ProxyDisposedError(`this proxy of ${titleOf(this.#where)} has been disposed of${this.#site}`);
  }
}

/** The body of a `withLock`. */
class HoldBody implements Body {
  readonly connection: Connection;
  readonly handle: number;
  readonly number = 0;
  over = false;

  constructor(connection: Connection, handle: number) {
    this.connection = connection;
    this.handle = handle;
  }
}

/** Proxies of everything but locks can be held. */
export abstract class HoldableProxy extends BaseProxy {
  /**
   * The object for `fn` alone, over several calls on `held`. Every other call on the object waits its turn, also from
   * this client; a call on `held` that would have to wait rejects with `DeadlockError`.
   */
  async withLock<R>(fn: (held: this) => R | Promise<R>, options?: HoldOptions): Promise<R> {
    const { connection, typeId, name } = this.where;
    const alias = await takeHold(this.where, options);
    const body = new HoldBody(connection, alias);
    try {
      return await runInside(body, () => fn(this.through({ connection, handle: alias, typeId, name, held: true })));
    } finally {
      body.over = true;
      if (!connection.closed) connection.drop(alias);
    }
  }

  /** The same kind of proxy on another handle. */
  protected abstract through(where: ObjectHandle): this;
}

export function titleOf({ typeId, name }: ObjectHandle): string {
  return name === undefined ? `an unnamed ${typeId}` : `${typeId} '${name}'`;
}

function takeHold(where: ObjectHandle, options: HoldOptions | undefined): Promise<number> {
  const { connection, handle } = where;
  return new Promise((resolve, reject) => {
    checkTimeout(options?.timeout);
    checkTimeout(options?.holdTimeout, 'holdTimeout');
    options?.signal?.throwIfAborted();
    connection.handles.check(handle);
    const alias = connection.handles.next();
    const adopted = (): void => {
      connection.handles.adopt(alias, { typeId: '', name: undefined, options: [], track: trackOf(where) });
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
    writeHeld(writer, heldBy(connection));
    connection.finish(start, id);
    if (options !== undefined) connection.watch(id, options, reject, `waiting for ${titleOf(where)}`);
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

/** The number of a method in the protocol. */
export function numberOf(typeId: string, method: string): number {
  return (numbers.get(typeId) ?? custom)?.get(method) as number;
}

function grantOf(guard: LockGuard, connection: Connection): Grant {
  const grant = guard[grantSymbol];
  if (grant.connection !== connection) {
    throw new TypeError('the guard belongs to another client: take the lock through the same one');
  }
  return grant;
}
