/**
 * Objects of types that users register. Only here does the manager decode what it is sent, and only here does user code
 * run in it. Callable is what the allow-list says: the methods that the object's class and its user-defined ancestors
 * declare, or exactly those that `register` named; decided once, kept in a Map, so that no name from the wire is ever
 * looked up on an object.
 */
import { isGeneratorObject } from 'node:util/types';
import { UnknownMethodError } from '../../errors.ts';
import { type CodecContext, decode, encode } from '../../protocol/codec.ts';
import { WireError } from '../../protocol/errors.ts';
import { methods as protocolMethods } from '../../protocol/messages.ts';
import { encodeShortened, encodeThrown } from '../../protocol/thrown.ts';
import { type Item, Packed } from '../../protocol/wire.ts';
import { isPromise } from '../../waiting.ts';
import { listOf } from '../arguments.ts';
import { type Answer, type Call, PARKED } from '../call.ts';
import type { ManagerCore } from '../core.ts';
import { ObjectRef } from '../references.ts';
import type { Registered } from '../registry.ts';
import type { Session } from '../session.ts';
import { type Made, type Method, type ObjectType, SharedObject } from '../shared-object.ts';
import { abandon, type Steps, stepsOf, Yielding } from '../yielding.ts';

/** What of a registered type can be called, and what its methods return. */
export interface RegisterOptions {
  /** Exactly these methods can be called. Default: all that the class and its ancestors declare. */
  methods?: readonly string[] | undefined;
  /** These methods return a proxy of the object that they return; generators, of each object that they yield. */
  returnsProxy?: readonly string[] | undefined;
}

/** Makes an object of the type; called with the arguments of the first ask for it. A class will do. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- any arguments: each factory checks its own
export type CustomFactory = ((...args: any[]) => object) | (new (...args: any[]) => object);

/** Names that a proxy has of its own. */
const reserved = new Set(['name', 'typeId', 'snapshot', 'dispose', 'withLock']);
const never = new Set([
  'constructor',
  'then',
  '__proto__',
  'prototype',
  ...Object.getOwnPropertyNames(Object.prototype),
]);

export function customType(typeId: string, factory: CustomFactory, options: RegisterOptions = {}): Registered {
  if (typeof typeId !== 'string' || typeId === '')
    throw new TypeError('the id of a type must be a string that is not empty');
  if (typeof factory !== 'function')
    throw new TypeError(`the factory of type '${typeId}' must be a function or a class`);
  for (const name of options.methods ?? []) checkName(typeId, name);
  if (isClass(factory))
    for (const name of declared(factory.prototype as object).keys()) checkName(typeId, name, options);
  const returnsProxy = new Set(options.returnsProxy ?? []);
  return {
    type: typeOf(typeId),
    create: (made, given) => {
      const args = given.get('args');
      const shared = new Map<SharedReference, SharedObject>();
      const object = construct(factory, args === undefined ? [] : (decode(args, referring(shared)) as unknown[]));
      if (typeof object !== 'object' || object === null) {
        throw new TypeError(`the factory of type '${typeId}' must return an object, not ${String(object)}`);
      }
      return new Custom(made, object, allowed(typeId, object, options), returnsProxy, shared);
    },
  };
}

/** What the manager calls on an object of any custom type. */
function typeOf(typeId: string): ObjectType {
  const own = Custom.prototype as unknown as Record<string, Method>;
  const methodNames: readonly string[] = protocolMethods.custom;
  return {
    typeId,
    methodNames,
    methods: methodNames.map((name) => own[name] as Method),
    ungated: new Set(),
    awaits: true,
  };
}

type Methods = ReadonlyMap<string, (...args: unknown[]) => unknown>;

class Custom extends SharedObject {
  readonly #object: object;
  readonly #methods: Methods;
  readonly #returnsProxy: ReadonlySet<string>;
  readonly #manager: ManagerCore;
  readonly #yielding = new Set<Yielding>();

  constructor(
    made: Made,
    object: object,
    methods: Methods,
    returnsProxy: ReadonlySet<string>,
    given: ReadonlyMap<SharedReference, SharedObject>,
  ) {
    super(made);
    this.#object = object;
    this.#methods = methods;
    this.#returnsProxy = returnsProxy;
    this.#manager = made.manager;
    this.#manager.wrapped.set(object, this);
    this.#take(given);
  }

  /** Arguments count for the maker only. */
  attach(): void {}

  invoke(call: Call, [name, args]: readonly Item[]): Answer | Promise<Answer> {
    const wanted = typeof name === 'string' ? name : `(${typeof name})`;
    const method = this.#methods.get(wanted);
    if (method === undefined) {
      const exposed = [...this.#methods.keys()].join(', ');
      throw new UnknownMethodError(`${this.title} exposes no method '${wanted}'; it exposes ${exposed || 'none'}`);
    }
    const given = new Map<SharedReference, SharedObject>();
    const values = listOf(args, 'args').map((arg) => decode(arg, referring(given)));
    this.#take(given);
    let result: unknown;
    try {
      result = method.apply(this.#object, values);
    } catch (error) {
      throw thrown(error);
    }
    if (!isPromise(result)) return this.#answer(wanted, result, call);
    return Promise.resolve(result).then(
      (value) => this.#answer(wanted, value, call),
      (error: unknown) => {
        throw thrown(error);
      },
    );
  }

  #answer(wanted: string, result: unknown, call: Call): Answer | Promise<Answer> {
    const asProxy = this.#returnsProxy.has(wanted);
    // An object that is to be shared may well be iterable; a generator is nothing else.
    const steps = asProxy && !isGeneratorObject(result) ? undefined : stepsIn(result);
    if (steps === undefined) return this.#item(result, `result of ${wanted}()`, asProxy, call.session);
    if (call.over) return abandon(steps)?.then(() => PARKED) ?? PARKED;
    const how = {
      item: (value: unknown) => this.#item(value, `what ${wanted}() yields`, asProxy, call.session),
      failure: thrown,
      gate: () => (call.hold === undefined || call.hold.over ? this.gate : call.hold.gate),
    };
    const yielding = new Yielding(call, steps, how, (ended) => this.#yielding.delete(ended));
    this.#yielding.add(yielding);
    return yielding.start();
  }

  #item(value: unknown, what: string, asProxy: boolean, session: Session): Item {
    if (!asProxy) return encode(value, references, what);
    return value === undefined || value === null ? value : this.#proxyOf(value, session);
  }

  /** The public data of the object. */
  snapshot(): Answer {
    return encode(
      Object.fromEntries(Object.entries(this.#object).filter(([, value]) => typeof value !== 'function')),
      references,
      'snapshot',
    );
  }

  override dropped(reason: Error): void {
    this.#manager.wrapped.delete(this.#object);
    for (const yielding of [...this.#yielding]) yielding.end(reason);
  }

  /** What the object was given of other objects, it keeps until it has let go of the reference: the engine tells. */
  #take(given: ReadonlyMap<SharedReference, SharedObject>): void {
    for (const [reference, object] of given) {
      this.keepObject(object);
      unused.register(reference, () => this.letGoOfObject(object));
    }
  }

  #proxyOf(value: unknown, session: Session): Packed {
    if (typeof value !== 'object' || value === null) {
      throw new TypeError(
        `a method of ${this.title} that returns proxies returned ${String(value)}, which is no object`,
      );
    }
    const typeId = `${this.type.typeId}.${value.constructor?.name ?? 'object'}`;
    const object = this.#manager.wrap(
      value,
      (id) => {
        const made = { id, type: typeOf(typeId), name: undefined, manager: this.#manager };
        return new Custom(made, value, allowed(typeId, value, {}), new Set(), new Map());
      },
      session,
    );
    return encode(new SharedReference(object), references) as Packed;
  }
}

function thrown(error: unknown): WireError {
  return new WireError(encodeThrown(error, references), (tooLarge) => encodeShortened(error, tooLarge));
}

/**
 * Stands for a shared object where user code runs in the manager: in the place of a proxy among a method's arguments.
 * It can be kept and returned, and is a proxy again where it arrives.
 */
class SharedReference {
  readonly typeId: string;
  readonly name: string | undefined;
  readonly #ref: ObjectRef;

  constructor(object: SharedObject) {
    this.typeId = object.type.typeId;
    this.name = object.name;
    this.#ref = new ObjectRef(object);
  }

  static refOf(value: object): ObjectRef | undefined {
    return value instanceof SharedReference ? value.#ref : undefined;
  }
}

const references: CodecContext = { proxyRef: SharedReference.refOf };

/** Collects what is made, and of which objects. */
function referring(given: Map<SharedReference, SharedObject>): CodecContext {
  return {
    proxy: (ref) => {
      if (!(ref instanceof ObjectRef)) return ref;
      const reference = new SharedReference(ref.object);
      given.set(reference, ref.object);
      return reference;
    },
  };
}

/** References that the engine has found unused. */
const unused = new FinalizationRegistry<() => void>((forget) => forget());

function stepsIn(result: unknown): Steps | undefined {
  try {
    return stepsOf(result);
  } catch (error) {
    throw thrown(error);
  }
}

function construct(factory: CustomFactory, args: readonly unknown[]): unknown {
  return isClass(factory)
    ? new (factory as new (...args: unknown[]) => object)(...args)
    : (factory as (...args: unknown[]) => object)(...args);
}

function isClass(factory: CustomFactory): boolean {
  return /^class[\s{]/.test(Function.prototype.toString.call(factory));
}

function allowed(typeId: string, object: object, { methods }: RegisterOptions): Methods {
  const all = declared(object);
  if (methods === undefined) return new Map([...all].filter(([name]) => !reserved.has(name)));
  return new Map(
    methods.map((name) => {
      const method = all.get(name);
      if (method === undefined)
        throw new TypeError(`type '${typeId}' names a method '${name}' that its objects do not have`);
      return [name, method];
    }),
  );
}

/** The methods that the object itself and its classes declare, up to but not including Object. */
function declared(object: object): Map<string, (...args: unknown[]) => unknown> {
  const found = new Map<string, (...args: unknown[]) => unknown>();
  for (
    let at: object | null = object;
    at !== null && at !== Object.prototype;
    at = Object.getPrototypeOf(at) as object | null
  ) {
    for (const [name, property] of Object.entries(Object.getOwnPropertyDescriptors(at))) {
      if (typeof property.value !== 'function' || name.startsWith('_') || never.has(name) || found.has(name)) continue;
      found.set(name, property.value as (...args: unknown[]) => unknown);
    }
  }
  return found;
}

function checkName(typeId: string, name: string, options?: RegisterOptions): void {
  if (options?.methods !== undefined && !options.methods.includes(name)) return;
  if (reserved.has(name)) {
    throw new TypeError(
      `type '${typeId}' has a method '${name}', which every proxy has for itself; give it another name, or leave it out of 'methods'`,
    );
  }
  if (never.has(name) || name.startsWith('_')) throw new TypeError(`type '${typeId}' cannot expose a method '${name}'`);
}
