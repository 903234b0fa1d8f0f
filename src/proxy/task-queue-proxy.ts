import { encode, encodeTo } from '../protocol/codec.ts';
import { lazily } from '../protocol/lazily.ts';
import { PutFlags, PutKey, ToManager } from '../protocol/messages.ts';
import type { Item } from '../protocol/wire.ts';
import { childId } from '../queue/task.ts';
import type {
  Call,
  ChildOptions,
  InputOf,
  LeasedTask,
  OutputOf,
  PutOptions,
  TakeOptions,
  TaskFilter,
  TaskHandle,
  TaskName,
  Wired,
} from '../tasks.ts';
import { checkTimeout, type WaitOptions } from '../waiting.ts';
import { broadcast } from './broadcast.ts';
import type { Client } from './client.ts';
import type { GraphRun } from './graph-run.ts';
import type { JobGraph } from './job-graph.ts';
import { type MapOptions, MapStream } from './map/map.ts';
import { HoldableProxy, type ObjectHandle } from './object-proxy.ts';
import { childItems, putItems, type PutManyOptions } from './put-options.ts';
import { child, type HelperSource, home, taker, takerFor } from './queue-keys.ts';
import type { RunningAttempt } from './running-attempt.ts';
import { type Stream, Workings } from './stream.ts';
import type { RunGraphOptions } from './submit-graph.ts';
import { offerItem } from './take-options.ts';
import { TaskCalls } from './task-calls.ts';
import type { Handlers } from './task-context.ts';
import { TaskDictProxy } from './task-dict-proxy.ts';
import { Handle, PendingPut, PendingRun } from './task-handle.ts';
import { TaskTaker } from './task-taker.ts';

/** Whose child is put: the id that it will have, and what crosses. */
interface Parent {
  readonly id: string | undefined;
  readonly item: Item;
}

/** Moving graphs is a large part of the files, and few processes submit any. */
const graphs = lazily<typeof import('./submit-graph.ts')>(new URL('./submit-graph.js', import.meta.url));

/** A task queue and the dict of its tasks. `H` names the tasks, with their inputs and outputs. */
export class TaskQueueProxy<H = Handlers> extends HoldableProxy {
  /** The task dict. */
  readonly dict: TaskDictProxy;
  readonly #calls: TaskCalls;
  /** For handles and runs, which may outlive the proxy or the hold that they came from. */
  readonly #lasting: TaskCalls;
  readonly #taker: TaskTaker;
  readonly #helper: HelperSource;
  /** By what they offer. */
  readonly #offering = new Map<string, TaskTaker>();
  readonly #holds: boolean;

  /** `source`: whose taking side a held proxy shares. */
  constructor(where: ObjectHandle, helper: HelperSource, source?: TaskTaker) {
    super(where);
    const { connection, handle, name, attempt } = where;
    this.#helper = helper;
    this.#calls = new TaskCalls(connection, handle, name ?? '');
    this.#lasting = new TaskCalls(connection, handle, name ?? '', () => helper.callsOf(name ?? ''), attempt);
    this.#holds = source !== undefined;
    this.#taker = source ?? new TaskTaker(connection, handle, helper);
    this.dict = new TaskDictProxy(this.#calls);
    if (source === undefined) connection.handles.listen(handle, this.#taker);
  }

  /**
   * Puts a task; resolves when the manager has accepted it. Waits while the queue is full.
   * @throws UnserializableError, DuplicateTaskError, UnknownTaskError (of `after`), TimeoutError
   */
  put<N extends TaskName<H>>(
    name: N,
    ...[input, options]: Call<Wired<InputOf<H, N>>, InputOf<H, N>, PutOptions & WaitOptions>
  ): Promise<TaskHandle<OutputOf<H, N>>> {
    return this.#put(name, input, options, 0) as Promise<TaskHandle<OutputOf<H, N>>>;
  }

  /** @throws QueueFullError instead of waiting */
  putNowait<N extends TaskName<H>>(
    name: N,
    ...[input, options]: Call<Wired<InputOf<H, N>>, InputOf<H, N>, PutOptions>
  ): Promise<TaskHandle<OutputOf<H, N>>> {
    return this.#put(name, input, options, PutFlags.nowait) as Promise<TaskHandle<OutputOf<H, N>>>;
  }

  /**
   * One task for each input, in their order; their handles as a stream, as they are accepted. Reads ahead of the queue
   * by `inFlight` inputs at most; leaving the stream puts no more.
   */
  putMany<N extends TaskName<H>>(
    name: N,
    inputs: Iterable<Wired<InputOf<H, N>>> | AsyncIterable<Wired<InputOf<H, N>>>,
    options: PutManyOptions = {},
  ): Stream<TaskHandle<OutputOf<H, N>>> {
    const { inFlight, signal, timeout, ...put } = options;
    const wait = { signal, timeout };
    return new Workings(inputs, { inFlight }, (input) => this.#put(name, input, { ...put, ...wait }, 0)) as Stream<
      TaskHandle<OutputOf<H, N>>
    >;
  }

  /**
   * Runs a task over inputs, of iterables of both kinds, however long: `inFlight` of them are under way, or done and not
   * read, at once. Workers take as many together as make about two milliseconds of work; outcome and attempts are each
   * input's own. Leaving the stream cancels what has not ended. Its outputs come here and nowhere else.
   * @throws TaskFailedError, whose cause is what the handler threw; ConnectionLostError, after which it is cancelled
   */
  map<N extends TaskName<H>>(
    name: N,
    inputs: Iterable<InputOf<H, N>> | AsyncIterable<InputOf<H, N>>,
    options: MapOptions & { onError: 'yield' },
  ): Stream<PromiseSettledResult<OutputOf<H, N>>>;
  map<N extends TaskName<H>>(
    name: N,
    inputs: Iterable<InputOf<H, N>> | AsyncIterable<InputOf<H, N>>,
    options?: MapOptions & { onError?: 'throw' },
  ): Stream<OutputOf<H, N>>;
  map(name: string, inputs: Iterable<unknown> | AsyncIterable<unknown>, options: MapOptions = {}): Stream<unknown> {
    const {
      ordered: _ordered,
      inFlight: _inFlight,
      chunkSize: _chunk,
      onError: _onError,
      signal: _signal,
      ...put
    } = options;
    const items = putItems(put, this.#calls.queue);
    const one = (input: unknown, wait: WaitOptions): Promise<Handle> => this.#put(name, input, { ...put, ...wait }, 0);
    return new MapStream({ calls: this.#calls, lasting: this.#lasting, name, items, put: one }, inputs, options);
  }

  /** Puts a task and resolves with its output. Aborting, or the timeout, also cancels the task. */
  run<N extends TaskName<H>>(
    name: N,
    ...[input, options]: Call<Wired<InputOf<H, N>>, InputOf<H, N>, PutOptions & WaitOptions>
  ): Promise<OutputOf<H, N>> {
    if (options?.signal !== undefined || options?.timeout !== undefined || this.#lasting.inTask) {
      return this.#runUntil(name, input, options ?? {}) as Promise<OutputOf<H, N>>;
    }
    const promise = new Promise<OutputOf<H, N>>(keepResolve);
    const resolve = resolveKept;
    try {
      this.#send(name, input, options, PutFlags.run, new PendingRun(this.#lasting, resolve));
    } catch (error) {
      resolve(Promise.reject(error));
    }
    return promise;
  }

  /**
   * Runs a task once on every worker that loops on the queue at this moment (`work()`, `startWorkers()`), and resolves
   * with all outcomes, in the order in which the workers came. None is run again: one whose worker ends, or takes no more,
   * is rejected with `WorkerLostError`. Workers that come later run none; where workers share a name, any of that name
   * may run it for the other.
   */
  broadcast<N extends TaskName<H>>(
    name: N,
    ...[input]: Call<InputOf<H, N>, InputOf<H, N>, never>
  ): Promise<PromiseSettledResult<OutputOf<H, N>>[]> {
    return this.#lasting.lending(() => broadcast(this.#calls, name, input)) as Promise<
      PromiseSettledResult<OutputOf<H, N>>[]
    >;
  }

  /**
   * Runs a job graph: checked whole, sent in one piece, moved by the manager alone. Of its jobs that are ready and have
   * the same priority, the one with the longest way to the end of the run goes first, by how long jobs took in earlier
   * runs; under the policy 'lifo' or one of your own, by that.
   */
  runGraph(graph: JobGraph<H>, options: RunGraphOptions = {}): GraphRun {
    return graphs().submitGraph(this.#lasting, graph, options);
  }

  /** The next task, or undefined where none is ready: what a worker loops on. */
  getNowait(options?: TakeOptions): Promise<LeasedTask | undefined> {
    if (this.disposed) return Promise.reject(this.gone());
    if (options === undefined) return this.#taker.getNowait(this.where.handle);
    return this.#taking(options, (taking, handle) => taking.getNowait(handle));
  }

  /** The next task; waits for one. */
  get(options?: TakeOptions & WaitOptions): Promise<LeasedTask> {
    if (this.disposed) return Promise.reject(this.gone());
    if (options === undefined) return this.#taker.get(this.where.handle);
    return this.#taking(options, (taking, handle) => taking.get(handle, options));
  }

  /** By the taking side of what `options` offer. */
  #taking<T>(options: TakeOptions, take: (taking: TaskTaker, handle: number) => Promise<T>): Promise<T> {
    return new Promise((resolve) => {
      const taking = this[takerFor](options);
      resolve(take(taking, taking === this.#taker ? this.where.handle : taking.handle));
    });
  }

  /** A handle on any task of the queue, by its id. */
  handle<Out = unknown>(id: string): TaskHandle<Out> {
    return new Handle<Out>(this.#lasting, id, false);
  }

  /**
   * Cancels a task, or all that a filter names, and says how many: what had ended is not counted.
   * @throws UnknownTaskError of an id
   */
  cancel(which: string | TaskFilter, reason?: string): Promise<number> {
    return this.#calls.each('cancel', which, reason);
  }

  /**
   * Runs a task that did not succeed anew, or all that a filter names, and says how many. The old outcome goes to its
   * history, its `retries` begin again; a handle that has seen the old outcome keeps it, a new `handle(id)` asks for the
   * new one. Not counted is what has not ended, what comes after a task that did not succeed, and what has succeeded
   * without an id of your choice, whose input is not kept.
   * @throws UnknownTaskError of an id, QueueShutdownError
   */
  retry(which: string | TaskFilter): Promise<number> {
    return this.#calls.each('retry', which);
  }

  /** From now on; of a task that runs, once it comes back. False where it has ended. @throws UnknownTaskError */
  async setPriority(id: string, priority: number): Promise<boolean> {
    return (await this.#calls.call('setPriority', [id, priority])) as boolean;
  }

  /** No task is given out until `resume()`; what runs goes on, and puts are taken. */
  async pause(): Promise<void> {
    await this.#calls.call('pause', []);
  }

  /** Tasks are given out again. */
  async resume(): Promise<void> {
    await this.#calls.call('resume', []);
  }

  /**
   * Resolves once nothing waits or runs. Of another queue a task may wait for that: it lends its slot.
   *
   * @throws DeadlockError to a task of this queue, which would wait for itself.
   */
  async join(options?: WaitOptions): Promise<void> {
    await this.#lasting.lending(() => this.#calls.call('join', [this.#lasting.lease], options));
  }

  /**
   * No more is put: whoever waits to is refused, with `QueueShutdownError`. What is there is still run, or, with
   * `immediate`, cancelled where it has not started. Once nothing is left, whoever waits for a task is refused, too: the
   * loops of workers end.
   */
  async shutdown(options: { immediate?: boolean } = {}): Promise<void> {
    await this.#calls.call('shutdown', [options.immediate === true]);
  }

  /**
   * `shutdown()`, and then `join()`: resolves once all that was put has ended.
   *
   * @throws DeadlockError to a task of this queue, before anything is shut down.
   */
  async drain(options?: WaitOptions): Promise<void> {
    await this.#calls.call('shutdown', [false, this.#lasting.lease]);
    await this.join(options);
  }

  /** For the worker loop: starts the helper thread, and gives un-started tasks back at the end. */
  get [taker](): TaskTaker {
    return this.#taker;
  }

  /** The taking side of an offer: the manager keeps each apart, by a handle of its own. */
  [takerFor](options: TakeOptions): TaskTaker {
    const item = offerItem(options);
    if (item === undefined) return this.#taker;
    const offer = JSON.stringify(item);
    let found = this.#offering.get(offer);
    if (found === undefined) {
      if (this.#holds) throw new TypeError('what is taken through withLock() is taken without options');
      const { connection, name } = this.where;
      const handle = connection.open('tasks', name, ['offer', item]);
      found = new TaskTaker(connection, handle, this.#helper);
      connection.handles.listen(handle, found);
      this.#offering.set(offer, found);
    }
    return found;
  }

  /** Whose queue it is. */
  get [home](): Client {
    return this.#helper.client;
  }

  /** Tasks that were taken through this proxy outlive it: the handle goes when the last of them has ended. */
  protected override dropHandle(): void {
    this.#calls.end(this.gone());
    this.#taker.whenDone(() => super.dropHandle());
    for (const taking of this.#offering.values()) taking.whenDone(() => taking.connection.drop(taking.handle));
    this.#offering.clear();
  }

  protected through(where: ObjectHandle): this {
    return new TaskQueueProxy<H>(where, this.#helper, this.#taker) as this;
  }

  /** For a task's context: puts a child of the attempt's task. @throws LeaseLostError */
  [child](attempt: RunningAttempt, name: string, input: unknown, options: ChildOptions & WaitOptions): Promise<Handle> {
    const place = options.id === undefined ? attempt.nextPlace() : undefined;
    const id = place === undefined ? options.id : childId(attempt.number, place);
    const calls = this.#lasting.of(attempt);
    const parent = { id, item: place === undefined ? [attempt.lease] : [attempt.lease, place] };
    return calls.lendingForRoom(() => this.#putBy(calls, name, input, options, 0, parent));
  }

  #put(name: string, input: unknown, options: (PutOptions & WaitOptions) | undefined, flags: number): Promise<Handle> {
    const put = (): Promise<Handle> => this.#putBy(this.#lasting, name, input, options, flags);
    return this.#lasting.inTask ? this.#lasting.lendingForRoom(put) : put();
  }

  #putBy(
    calls: TaskCalls,
    name: string,
    input: unknown,
    options: (PutOptions & WaitOptions) | undefined,
    flags: number,
    parent?: Parent,
  ): Promise<Handle> {
    return new Promise((resolve, reject) => {
      checkTimeout(options?.timeout);
      options?.signal?.throwIfAborted();
      const id = this.#send(name, input, options, flags, new PendingPut(calls, resolve, reject), parent);
      if (options?.signal !== undefined || options?.timeout !== undefined) {
        this.#calls.connection.watch(id, options, reject, `putting task '${name}'`);
      }
    });
  }

  #send(
    name: string,
    input: unknown,
    options: PutOptions | undefined,
    flags: number,
    pending: PendingPut | PendingRun,
    parent?: Parent,
  ): number {
    const { connection, handle } = this.where;
    const itemsOf = parent === undefined ? putItems : childItems;
    let extra = options === undefined ? undefined : itemsOf(options, this.#calls.queue);
    if (parent !== undefined) (extra ??= []).push(PutKey.parent, parent.item);
    const chosen = parent === undefined ? options?.id : parent.id;
    connection.handles.check(handle);
    const index = connection.nameIndex(name);
    const id = connection.begin(pending);
    connection.link.beginEntry(ToManager.PUT, handle);
    const { writer } = connection.link;
    try {
      const flagsAt = writer.length + 4;
      const given = flags | (extra === undefined ? 0 : PutFlags.options);
      const at = writer.claim(7);
      writer.data.setUint32(at, id, true);
      writer.data.setUint8(at + 4, given);
      writer.data.setUint16(at + 5, index, true);
      if (extra !== undefined) writer.item(extra);
      if (chosen !== undefined) pending.chose(chosen, encode(input, connection.codec, 'input'));
      if (encodeTo(writer, input, connection.codec, 'input')) writer.patchU8(given | PutFlags.refs, flagsAt);
    } catch (error) {
      connection.dropEntry(id);
      throw error;
    }
    connection.finishEntry(id);
    return id;
  }

  async #runUntil(name: string, input: unknown, options: PutOptions & WaitOptions): Promise<unknown> {
    const until = performance.now() + (options.timeout ?? Infinity);
    const handle = await this.#put(name, input, options, 0);
    const { signal } = options;
    const timeout = options.timeout === undefined ? undefined : Math.max(0, until - performance.now());
    try {
      return await handle.result({ signal, timeout });
    } catch (error) {
      const given = signal?.aborted === true && error === signal.reason;
      if (given || isTimeout(error)) handle.cancel('its caller no longer waits').catch(() => {});
      throw error;
    }
  }
}

/** How the promise that was made last is resolved: one function for all of them, not a new one for each task. */
let resolveKept: (output: unknown) => void;

function keepResolve(resolve: (output: never) => void): void {
  resolveKept = resolve as (output: unknown) => void;
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.name === 'TimeoutError';
}
