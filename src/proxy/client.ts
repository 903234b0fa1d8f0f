import { EventEmitter } from 'node:events';
import { UnserializableError } from '../errors.ts';
import { isJobRef, jobRef } from '../job-ref.ts';
import { encode } from '../protocol/codec.ts';
import { lazily } from '../protocol/lazily.ts';
import { methods } from '../protocol/messages.ts';
import type { Item, JobRefInfo, ProxyRef } from '../protocol/wire.ts';
import type { ChildOptions, HandlersOf, TakeOptions, TaskQueueOptions } from '../tasks.ts';
import type { WaitOptions } from '../waiting.ts';
import type { BarrierOptions, BarrierProxy } from './barrier-proxy.ts';
import type { Connection } from './connection.ts';
import type { ConditionOptions, ConditionProxy } from './condition-proxy.ts';
import type { CounterProxy } from './counter-proxy.ts';
import type { ObjectProxy } from './custom-proxy.ts';
import type { DictProxy, Key } from './dict-proxy.ts';
import type { EventProxy } from './event-proxy.ts';
import { opened } from './feed.ts';
import { Helper, type HelperThread } from './helper.ts';
import type { Inspector } from './inspector.ts';
import type { ListProxy } from './list-proxy.ts';
import type { LockProxy } from './lock-proxy.ts';
import type { NamespaceProxy } from './namespace-proxy.ts';
import { type Attempt, BaseProxy, isBuiltIn, type ObjectHandle, where } from './object-proxy.ts';
import type { QueueProxy, QueueOptions } from './queue-proxy.ts';
import type { RLockProxy } from './rlock-proxy.ts';
import type { RwLockProxy } from './rw-lock-proxy.ts';
import type { SemaphoreOptions, SemaphoreProxy } from './semaphore-proxy.ts';
import type { SetProxy } from './set-proxy.ts';
import type { RunningAttempt } from './running-attempt.ts';
import { child, type HelperSource } from './queue-keys.ts';
import { offerItem } from './take-options.ts';
import type { TaskQueueProxy } from './task-queue-proxy.ts';
import { TaskCalls } from './task-calls.ts';
import type { Handler, Handlers } from './task-context.ts';
import { Handle } from './task-handle.ts';
import { TaskTaker } from './task-taker.ts';
import type { TopicProxy } from './topic-proxy.ts';
import type { ValueProxy } from './value-proxy.ts';

/** The proxies: a worker that only runs tasks needs none of them. */
const kinds = lazily<typeof import('./kinds.ts')>(new URL('./kinds.js', import.meta.url));
const queues = lazily<typeof import('./task-queue-proxy.ts')>(new URL('./task-queue-proxy.js', import.meta.url));
const queueOptions = lazily<typeof import('./task-queue-options.ts')>(
  new URL('./task-queue-options.js', import.meta.url),
);

/** How other parts of this library reach a client's connection. */
export const connectionOf = Symbol('connection');
export const reach = Symbol('reach');
export const during = Symbol('during');
export const putChild = Symbol('put child');
export const takerOf = Symbol('taker of a queue');
export const started = Symbol('started');

type Shape<M> = { readonly [K in keyof M]: Handler } | { readonly default: { readonly [K: string]: Handler } };

/** What a worker that this client spawns needs to connect. */
export interface Reach {
  readonly address: string;
  readonly authKey: Uint8Array;
}

/** What a client has beside its connection. */
export interface ClientSetup {
  readonly connection: Connection;
  /** For the helper thread; undefined for a client of a manager in this process, which needs none. */
  readonly authKey: Uint8Array | undefined;
  /** How other processes reach the manager. */
  readonly reach: () => Promise<Reach>;
  /** Of a spawned worker: its helper thread, which it may have started already. */
  readonly thread?: (() => HelperThread) | undefined;
}

/** What a client tells of itself, by `on()` and `once()`. */
export interface ClientEvents {
  /** The connection was lost and is there again: named objects live on, everything unnamed has gone. */
  reconnected: [];
  /** Such tasks wait in a queue that this client has a proxy of, and none of the workers that are there could run one. */
  unrunnable: [
    {
      queue: string;
      tags: readonly string[];
      worker: string | undefined;
      resources: Readonly<Record<string, number>>;
    },
  ];
  /** A lock that this client has a proxy of was passed on because its holder's session ended. */
  lockBroken: [{ lock: string | undefined; pid: number; name: string; token: bigint }];
}

/**
 * A connection to a manager, and the way to everything it shares. The factories return proxies at once; what is wrong
 * with an ask is said at the first call.
 */
export class Client extends EventEmitter<ClientEvents> implements AsyncDisposable {
  readonly #setup: ClientSetup;
  readonly #helperSource: HelperSource;
  /** By queue: for handles that came inside values. */
  readonly #calls = new Map<string, TaskCalls>();
  /** Likewise: for children of tasks. */
  readonly #queues = new Map<string, TaskQueueProxy>();
  #helper: Helper | undefined;
  #inspect: Inspector | undefined;

  constructor(setup: ClientSetup) {
    super();
    this.#setup = setup;
    const { connection, authKey } = setup;
    this.#helperSource = {
      client: this,
      start: () => this.#startHelper(),
      needed: authKey !== undefined,
      callsOf: (queue) => this.#callsOf(queue),
    };
    connection.codec = {
      proxyRef: (value) => this.#refOf(value),
      jobRef: jobRefOf,
      proxy: (ref) => opened.get(ref) ?? this.#proxyFrom(ref),
      job: (ref) => new Handle(this.#callsOf(ref.queue), ref.id, false),
    };
    connection.on('reconnected', () => this.emit('reconnected'));
    connection.on('unrunnable', (event: ClientEvents['unrunnable'][0]) => this.emit('unrunnable', event));
    connection.on('lockBroken', (event: ClientEvents['lockBroken'][0]) => this.emit('lockBroken', event));
  }

  /** What the manager shows of itself: tasks, workers. */
  get inspect(): Inspector {
    return (this.#inspect ??= new (kinds().Inspector)(this.#setup.connection));
  }

  /** Where the manager is. */
  get address(): string {
    return this.#setup.connection.address;
  }

  /** Of the manager. */
  get pid(): number {
    return this.#setup.connection.welcome.pid;
  }

  /** The number of this client's session with the manager; a new one after a reconnect. */
  get session(): number {
    return this.#setup.connection.welcome.session;
  }

  /** A shared dictionary. */
  dict<K extends Key = string, V = unknown>(name?: string): DictProxy<K, V> {
    return new (kinds().DictProxy)<K, V>(this.#open('dict', name));
  }

  /** A shared list. */
  list<T = unknown>(name?: string): ListProxy<T> {
    return new (kinds().ListProxy)<T>(this.#open('list', name));
  }

  /** A shared set of scalars. */
  set<T extends Key = string>(name?: string): SetProxy<T> {
    return new (kinds().SetProxy)<T>(this.#open('set', name));
  }

  /** Shared named values, the properties of `T`. */
  namespace<T extends object = Record<string, unknown>>(name?: string): NamespaceProxy<T> {
    return new (kinds().NamespaceProxy)<T>(this.#open('namespace', name));
  }

  /** A shared flag that many can wait for. */
  event(name?: string): EventProxy {
    return new (kinds().EventProxy)(this.#open('event', name));
  }

  /** A place where so many wait for each other. The first ask that says for how many decides. */
  barrier(name?: string, options?: BarrierOptions): BarrierProxy {
    return new (kinds().BarrierProxy)(this.#open('barrier', name, options));
  }

  /** A shared queue of values. The first ask with options sets them; a later one with others is refused at its first call. */
  queue<T = unknown>(name?: string, options?: QueueOptions): QueueProxy<T> {
    return new (kinds().QueueProxy)<T>(this.#open('queue', name, options));
  }

  /** A shared topic: what is published there goes to all who subscribe. */
  topic<T = unknown>(name: string): TopicProxy<T> {
    return new (kinds().TopicProxy)<T>(this.#open('topic', name));
  }

  /** A shared lock. */
  lock(name?: string): LockProxy {
    return new (kinds().LockProxy)(this.#open('lock', name));
  }

  /** A shared lock that its holder may take again. */
  rlock(name?: string): RLockProxy {
    return new (kinds().RLockProxy)(this.#open('rlock', name));
  }

  /** A shared lock for many readers or one writer. */
  rwLock(name?: string): RwLockProxy {
    return new (kinds().RwLockProxy)(this.#open('rwlock', name));
  }

  /** So many permits, shared. The first ask that says how many decides. */
  semaphore(name?: string, options?: SemaphoreOptions): SemaphoreProxy {
    return new (kinds().SemaphoreProxy)(this.#open('semaphore', name, options));
  }

  /** A shared condition, of a lock of its own or of the one given: the first ask decides. */
  condition(name?: string, options?: ConditionOptions): ConditionProxy {
    return new (kinds().ConditionProxy)(this.#open('condition', name, options));
  }

  /** `initial` counts for whoever makes it. */
  counter(name?: string, options?: { initial?: number }): CounterProxy {
    return new (kinds().CounterProxy)(this.#open('counter', name, options));
  }

  /** `initial` counts for whoever makes it. */
  value<T>(name: string | undefined, initial: T): ValueProxy<T>;
  value<T>(name?: string): ValueProxy<T | undefined>;
  value<T>(name?: string, initial?: T): ValueProxy<T | undefined> {
    return new (kinds().ValueProxy)<T | undefined>(this.#open('value', name, { initial }));
  }

  /**
   * A task queue. `M`: the tasks module (`typeof import('./tasks.js')`) or its handlers, for the types of names, inputs
   * and outputs. The first ask with options sets them; a later one with others is refused at its first call.
   */
  tasks<M extends Shape<HandlersOf<M>> | { default: object } = Handlers>(
    name = 'default',
    options?: TaskQueueOptions,
  ): TaskQueueProxy<HandlersOf<M>> {
    return this.#tasks(name, options);
  }

  #tasks(name: string, options: TaskQueueOptions | undefined, attempt?: Attempt): TaskQueueProxy<never> {
    if (typeof options?.policy === 'object') {
      throw new TypeError('a policy of your own runs in the manager: give it to new Manager({ queue: { policy } })');
    }
    const items = queueOptions()
      .taskQueueItems(options ?? {})
      .flat();
    return new (queues().TaskQueueProxy)({ ...this.#open('tasks', name, {}, items), attempt }, this.#helperSource);
  }

  /** An object of a type that was registered with the manager. `args` go to its factory. */
  object<T extends object, P extends keyof T = never>(
    typeId: string,
    args: readonly unknown[] = [],
    name?: string,
  ): ObjectProxy<T, P> {
    if (isBuiltIn(typeId)) {
      throw new TypeError(`'${typeId}' is no type that was registered: ask for such an object by client.${typeId}()`);
    }
    return kinds().customProxy(this.#open(typeId, name, args.length === 0 ? undefined : { args })) as ObjectProxy<T, P>;
  }

  /** Ends the connection: everything that the session held goes, outstanding calls reject. */
  async close(): Promise<void> {
    this.#setup.connection.close();
    await this.#helper?.stop();
    this.#helper = undefined;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** For the parts of this library. */
  get [connectionOf](): Connection {
    return this.#setup.connection;
  }

  get [reach](): () => Promise<Reach> {
    return this.#setup.reach;
  }

  /** The same client for one attempt: grants that are taken through it end with it. */
  [during](attempt: Attempt): Client {
    const tasks = (name = 'default', options?: TaskQueueOptions): TaskQueueProxy<never> =>
      this.#tasks(name, options, attempt);
    return kinds().attemptClient(
      this,
      attempt,
      (typeId, name, options) => ({ ...this.#open(typeId, name, options), attempt }),
      tasks,
    );
  }

  /** For a task's context: puts a child, into the queue that the task is from. */
  [putChild](
    attempt: RunningAttempt,
    name: string,
    input: unknown,
    options: ChildOptions & WaitOptions,
  ): Promise<Handle> {
    const { queue } = attempt;
    let proxy = this.#queues.get(queue);
    if (proxy === undefined) {
      proxy = this.tasks(queue);
      this.#queues.set(queue, proxy);
    }
    return proxy[child](attempt, name, input, options);
  }

  /** For a worker: the taking side of a queue, by itself. */
  [takerOf](queue: string, offer: TakeOptions): TaskTaker {
    const { connection } = this.#setup;
    const item = offerItem(offer);
    const handle = connection.open('tasks', queue, item === undefined ? [] : ['offer', item]);
    const taker = new TaskTaker(connection, handle, this.#helperSource);
    connection.handles.listen(handle, taker);
    return taker;
  }

  /** For a worker: it is ready, and its helper thread may take its share of the processor. */
  [started](): void {
    this.#helper?.join();
  }

  #open(typeId: string, name: string | undefined, options: object = {}, items: Item[] = []): ObjectHandle {
    if (name !== undefined && (typeof name !== 'string' || name === '')) {
      throw new TypeError('a name must be a string that is not empty; leave it out for an unnamed object');
    }
    const { connection } = this.#setup;
    for (const [key, value] of Object.entries(options)) {
      if (value !== undefined) items.push(key, encode(value, connection.codec, key));
    }
    return { connection, handle: connection.open(typeId, name, items), typeId, name };
  }

  #startHelper(): Helper | undefined {
    const { connection, authKey, thread } = this.#setup;
    if (authKey === undefined || connection.closed) return undefined;
    this.#helper ??= new Helper(connection, authKey, thread?.());
    return this.#helper;
  }

  #refOf(value: object): ProxyRef | undefined {
    const handle = value instanceof BaseProxy ? value[where] : undefined;
    if (handle === undefined) return undefined;
    if (handle.connection !== this.#setup.connection) {
      throw new UnserializableError(
        'a proxy of another client cannot be sent through this one; ask this client for the object',
      );
    }
    handle.connection.handles.check(handle.handle);
    return { id: handle.handle, local: true, typeId: handle.typeId, name: handle.name };
  }

  /** A live proxy of an object that a value named. */
  #proxyFrom(ref: ProxyRef): unknown {
    const { connection } = this.#setup;
    const handle = connection.handles.next();
    connection.handles.adopt(handle, { typeId: ref.typeId, name: ref.name, options: [] });
    // The handle is opened by this call; were the object gone, the first call on the proxy says so.
    connection.call(0, methods.manager.indexOf('open'), [handle, ref.id]).catch(() => {});
    return kinds().proxyOf({ connection, handle, typeId: ref.typeId, name: ref.name }, this.#helperSource);
  }

  #callsOf(queue: string): TaskCalls {
    let calls = this.#calls.get(queue);
    if (calls === undefined) {
      const { connection } = this.#setup;
      calls = new TaskCalls(connection, connection.open('tasks', queue, []), queue);
      this.#calls.set(queue, calls);
    }
    return calls;
  }
}

function jobRefOf(value: object): JobRefInfo | undefined {
  if (!isJobRef(value)) return undefined;
  const { queue, id } = value[jobRef];
  return queue === undefined ? undefined : { queue, id };
}
