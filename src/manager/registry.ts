/** Which types of shared objects there are: one line each. */
import { UnknownMethodError } from '../errors.ts';
import { lazily } from '../protocol/lazily.ts';
import { type BuiltInType, methods } from '../protocol/messages.ts';
import type { Item } from '../protocol/wire.ts';
import type { Made, Method, ObjectType, SharedObject } from './shared-object.ts';

const objects = lazily<typeof import('./objects/built-in.ts')>(new URL('./objects/built-in.js', import.meta.url));
const tasks = lazily<typeof import('./tasks/tasks.ts')>(new URL('./tasks/tasks.js', import.meta.url));

/** Makes an object of its type; throws where the options are none of its. */
export type Factory = (made: Made, options: ReadonlyMap<string, Item>) => SharedObject;

export interface Registered {
  readonly type: ObjectType;
  readonly create: Factory;
}

type ObjectClass = {
  new (made: Made, options: ReadonlyMap<string, Item>): SharedObject;
  readonly prototype: object;
};

export class Registry {
  readonly #types = new Map<string, () => Registered>();

  constructor() {
    this.register('dict', () => objects().Dict, ['watch']);
    this.register('queue', () => objects().Queue);
    this.register('lock', () => objects().Lock);
    // To the manager a grant is a grant: who takes it again holds it already, and does not ask.
    this.register('rlock', () => objects().Lock);
    this.register('counter', () => objects().Counter);
    this.register('value', () => objects().Value, ['watch']);
    this.register('list', () => objects().List);
    this.register('set', () => objects().SharedSet);
    this.register('namespace', () => objects().Namespace);
    this.register('event', () => objects().SharedEvent);
    this.register('barrier', () => objects().Barrier);
    this.register('rwlock', () => objects().RwLock);
    this.register('semaphore', () => objects().Semaphore);
    this.register('condition', () => objects().Condition);
    this.register('tasks', () => tasks().Tasks, ['outcome', 'progress', 'watchRun', 'join']);
    this.register('topic', () => objects().Topic, ['subscribe']);
  }

  /** `load` gives the class at the first object of it. `ungated`: methods that enter while somebody holds the object. */
  register(typeId: BuiltInType, load: () => ObjectClass, ungated: readonly string[] = []): void {
    let registered: Registered | undefined;
    this.#types.set(typeId, () => (registered ??= builtIn(typeId, load(), ungated)));
  }

  add(typeId: string, registered: Registered): void {
    if (this.#types.has(typeId)) throw new TypeError(`a type '${typeId}' is registered already`);
    this.#types.set(typeId, () => registered);
  }

  get(typeId: string): Registered {
    const find = this.#types.get(typeId);
    if (find === undefined) {
      const known = [...this.#types.keys()].join(', ');
      throw new UnknownMethodError(`no type '${typeId}' is registered with this manager; it knows ${known}`);
    }
    return find();
  }
}

function builtIn(typeId: BuiltInType, Class: ObjectClass, ungated: readonly string[]): Registered {
  const names: readonly string[] = methods[typeId];
  const own = Class.prototype as Record<string, Method>;
  const type: ObjectType = {
    typeId,
    methodNames: names,
    methods: names.map((name) => own[name] as Method),
    ungated: new Set(ungated.map((name) => names.indexOf(name))),
    awaits: false,
  };
  return { type, create: (made, options) => new Class(made, options) };
}
