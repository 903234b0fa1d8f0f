/** Which types of shared objects there are: one line each. */
import { UnknownMethodError } from '../errors.ts';
import { type BuiltInType, methods } from '../protocol/messages.ts';
import type { Item } from '../protocol/wire.ts';
import { Barrier } from './objects/barrier.ts';
import { Condition } from './objects/condition.ts';
import { Counter } from './objects/counter.ts';
import { Dict } from './objects/dict.ts';
import { SharedEvent } from './objects/event.ts';
import { List } from './objects/list.ts';
import { Lock } from './objects/lock.ts';
import { Namespace } from './objects/namespace.ts';
import { Queue } from './objects/queue.ts';
import { RwLock } from './objects/rw-lock.ts';
import { Semaphore } from './objects/semaphore.ts';
import { SharedSet } from './objects/set.ts';
import { Topic } from './objects/topic.ts';
import { Value } from './objects/value.ts';
import type { Made, Method, ObjectType, SharedObject } from './shared-object.ts';
import { Tasks } from './tasks/tasks.ts';

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
  readonly #types = new Map<string, Registered>();

  constructor() {
    this.register('dict', Dict, ['watch']);
    this.register('queue', Queue);
    this.register('lock', Lock);
    // To the manager a grant is a grant: who takes it again holds it already, and does not ask.
    this.register('rlock', Lock);
    this.register('counter', Counter);
    this.register('value', Value, ['watch']);
    this.register('list', List);
    this.register('set', SharedSet);
    this.register('namespace', Namespace);
    this.register('event', SharedEvent);
    this.register('barrier', Barrier);
    this.register('rwlock', RwLock);
    this.register('semaphore', Semaphore);
    this.register('condition', Condition);
    this.register('tasks', Tasks, ['outcome', 'progress', 'watchRun', 'join']);
    this.register('topic', Topic, ['subscribe']);
  }

  /** `ungated`: methods that enter while somebody holds the object. */
  register(typeId: BuiltInType, Class: ObjectClass, ungated: readonly string[] = []): void {
    const names: readonly string[] = methods[typeId];
    const own = Class.prototype as Record<string, Method>;
    const type: ObjectType = {
      typeId,
      methodNames: names,
      methods: names.map((name) => own[name] as Method),
      ungated: new Set(ungated.map((name) => names.indexOf(name))),
      awaits: false,
    };
    this.#types.set(typeId, { type, create: (made, options) => new Class(made, options) });
  }

  add(typeId: string, registered: Registered): void {
    if (this.#types.has(typeId)) throw new TypeError(`a type '${typeId}' is registered already`);
    this.#types.set(typeId, registered);
  }

  get(typeId: string): Registered {
    const registered = this.#types.get(typeId);
    if (registered === undefined) {
      const known = [...this.#types.keys()].join(', ');
      throw new UnknownMethodError(`no type '${typeId}' is registered with this manager; it knows ${known}`);
    }
    return registered;
  }
}
