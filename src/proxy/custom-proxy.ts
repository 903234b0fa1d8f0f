/** Proxies of types that users register: each method of the object as an async one. */
import { UnknownMethodError } from '../errors.ts';
import type { Item } from '../protocol/wire.ts';
import { Invocation } from './invocation.ts';
import { HoldableProxy, type HoldOptions, type ObjectHandle, titleOf, where } from './object-proxy.ts';
import type { Pending } from './pending.ts';

/** What every proxy has, whatever it stands for. */
export interface ProxyBase extends AsyncDisposable, Disposable {
  /** The name by which the object is shared; undefined for an unnamed one. */
  readonly name: string | undefined;
  /** The id of its type. */
  readonly typeId: string;
  /** The object's own public data properties, at one moment. */
  snapshot(): Promise<unknown>;
  /** Gives up this handle; later calls on it reject with `ProxyDisposedError`. An unnamed object that no handle and no stored value names is gone. */
  dispose(): Promise<void>;
  /** The object for `fn` alone, over several calls on `held`. Every other call on it waits its turn, also from this client. */
  withLock<R>(fn: (held: this) => R | Promise<R>, options?: HoldOptions): Promise<R>;
}

/** What a generator yields, as it is read. Leaving the loop ends the generator; it runs ahead by no more than 64 values. */
export interface Yields<Y> extends AsyncIterable<Y> {
  /** All of it, in order; rejects where the generator throws. */
  toArray(): Promise<Y[]>;
}

type Hidden = keyof ProxyBase | 'then' | 'constructor' | `_${string}`;
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- any method: each keeps its own parameters
type AnyArgs = any;
type Remote<F, AsProxy extends boolean> = F extends (...args: AnyArgs) => PromiseLike<unknown>
  ? AsProxy extends true
    ? RemoteProxy<F>
    : F
  : F extends (...args: infer A) => Generator<infer Y> | AsyncGenerator<infer Y>
    ? (...args: A) => Yields<AsProxy extends true ? (Y extends object ? ObjectProxy<Y> : Y) : Y>
    : AsProxy extends true
      ? RemoteProxy<F>
      : F extends (...args: infer A) => AsyncIterable<infer Y> | IterableIterator<infer Y>
        ? (...args: A) => Yields<Y>
        : F extends (...args: infer A) => infer R
          ? (...args: A) => Promise<R>
          : never;
type RemoteProxy<F> = F extends (...args: infer A) => infer R
  ? (...args: A) => Promise<Awaited<R> extends object ? ObjectProxy<Awaited<R>> : never>
  : never;

/**
 * Every public method of `T` as an async one; those named in `P` return proxies. Generators, and methods that return an
 * iterator or async iterable, give what they yield: `for await (const row of bank.rows(1))`.
 */
export type ObjectProxy<T extends object, P extends keyof T = never> = ProxyBase & {
  readonly [K in Exclude<keyof T, Hidden> as T[K] extends (...args: AnyArgs) => unknown ? K : never]: Remote<
    T[K],
    K extends P ? true : false
  >;
};

class CustomProxy extends HoldableProxy {
  invoke(method: string, args: readonly unknown[]): Promise<unknown> {
    const take = (item: Item): unknown => this.unpack(item);
    const place = {
      send: (pending: Pending) => {
        const items = args.map((arg, at) => this.pack(arg, `args[${at}]`));
        return this.send('invoke', [method, items], pending);
      },
      unpack: take,
      feed: (call: number) => this.turnsOut(take, call),
    };
    return new Invocation(place, method);
  }

  /** For messages and templates: a method of that name would be a call. */
  [Symbol.toPrimitive](): string {
    return `[${titleOf(this[where])}]`;
  }

  protected through(handle: ObjectHandle): this {
    return customProxy(handle) as unknown as this;
  }
}

const own = new Set<string | symbol>([
  'name',
  'typeId',
  'snapshot',
  'dispose',
  'withLock',
  Symbol.asyncDispose,
  Symbol.dispose,
  Symbol.toPrimitive,
  where,
]);

/** Names that are never methods of a shared object; asking for them makes no call. */
const never = new Set<string | symbol>(['then', 'constructor', '__proto__', 'prototype', 'toJSON']);

/** Any other name is a method: whether the object has it, the manager says. */
export function customProxy(handle: ObjectHandle): ProxyBase {
  const target = new CustomProxy(handle);
  const methods = new Map<string, (...args: unknown[]) => Promise<unknown>>();
  return new Proxy(target, {
    get(_target, key) {
      if (own.has(key)) {
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      }
      if (typeof key === 'symbol' || never.has(key)) return undefined;
      let method = methods.get(key);
      if (method === undefined) {
        method = (...args) => target.invoke(key, args);
        methods.set(key, method);
      }
      return method;
    },
    set(_target, key) {
      throw new UnknownMethodError(`a proxy has no property '${String(key)}' to set; call a method of the object`);
    },
    has: (_target, key) => own.has(key),
  });
}
