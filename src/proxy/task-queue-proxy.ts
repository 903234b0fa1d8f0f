import { TimeoutError } from '../errors.ts';
import { encode } from '../protocol/codec.ts';
import { PutFlags, PutKey, ToManager } from '../protocol/messages.ts';
import { Packed, type Item } from '../protocol/wire.ts';
import type {
  Call,
  Handlers,
  InputOf,
  LeasedTask,
  OutputOf,
  PutOptions,
  TaskHandle,
  TaskName,
  Wired,
} from '../tasks.ts';
import { checkTimeout, type WaitOptions } from '../waiting.ts';
import { GraphRun, type RunGraphOptions, submitGraph } from './graph-run.ts';
import type { JobGraph } from './job-graph.ts';
import { HoldableProxy, type ObjectHandle } from './object-proxy.ts';
import { checkPutOptions, type PutManyOptions } from './put-options.ts';
import { Stream } from './stream.ts';
import { TaskCalls } from './task-calls.ts';
import { TaskDictProxy } from './task-dict-proxy.ts';
import { Handle, PendingPut, PendingRun } from './task-handle.ts';
import type { Pending } from './pending.ts';
import type { TaskTaker } from './task-taker.ts';

/** How the worker loop reaches the taking side. */
export const taker = Symbol('taker');

/** The taking side of a queue in its client. */
export type TakerSource = (queue: string) => TaskTaker;

/** A task queue and the dict of its tasks. `H` names the tasks, with their inputs and outputs. */
export class TaskQueueProxy<H = Handlers> extends HoldableProxy {
  /** The task dict. */
  readonly dict: TaskDictProxy;
  readonly #calls: TaskCalls;
  readonly #takerOf: TakerSource;

  constructor(where: ObjectHandle, takerOf: TakerSource) {
    super(where);
    const { connection, handle, name } = where;
    this.#takerOf = takerOf;
    this.#calls = new TaskCalls(connection, handle, name ?? '');
    this.dict = new TaskDictProxy(this.#calls);
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
    return new Stream(inputs, inFlight, (input) =>
      this.#put(name, input, { ...put, ...wait }, 0),
    ) as Stream<TaskHandle<OutputOf<H, N>>>;
  }

  /** Puts a task and resolves with its output. Aborting, or the timeout, also cancels the task. */
  run<N extends TaskName<H>>(
    name: N,
    ...[input, options]: Call<Wired<InputOf<H, N>>, InputOf<H, N>, PutOptions & WaitOptions>
  ): Promise<OutputOf<H, N>> {
    if (options?.signal !== undefined || options?.timeout !== undefined) {
      return this.#runUntil(name, input, options) as Promise<OutputOf<H, N>>;
    }
    return new Promise((resolve, reject) => {
      this.#send(name, input, options, PutFlags.run, (item) =>
        new PendingRun(this.#calls, options?.id, item, resolve as (output: unknown) => void, reject),
      );
    });
  }

  /** Runs a job graph: checked whole, sent in one piece, moved by the manager alone. */
  runGraph(graph: JobGraph<H>, options: RunGraphOptions = {}): GraphRun {
    return submitGraph(this.#calls, graph, options);
  }

  /** The next task, or undefined where none is ready: what a worker loops on. */
  async getNowait(): Promise<LeasedTask | undefined> {
    return this[taker].getNowait(this.#hold);
  }

  /** The next task; waits for one. */
  async get(options?: WaitOptions): Promise<LeasedTask> {
    return this[taker].get(options, this.#hold);
  }

  /** A handle on any task of the queue, by its id. */
  handle<Out = unknown>(id: string): TaskHandle<Out> {
    return new Handle<Out>(this.#calls, id, false);
  }

  /** False where the task had ended already. @throws UnknownTaskError */
  cancel(id: string, reason?: string): Promise<boolean> {
    return this.#calls.cancel(id, reason);
  }

  /** For the worker loop: starts the helper thread, and gives un-started tasks back at the end. */
  get [taker](): TaskTaker {
    return this.#takerOf(this.where.name ?? '');
  }

  /** The handle of the hold through which its calls enter, if it stands for one. */
  get #hold(): number | undefined {
    return this.where.held === true ? this.where.handle : undefined;
  }

  protected at(where: ObjectHandle): this {
    return new TaskQueueProxy<H>(where, this.#takerOf) as this;
  }

  #put(name: string, input: unknown, options: (PutOptions & WaitOptions) | undefined, flags: number): Promise<Handle> {
    return new Promise((resolve, reject) => {
      checkTimeout(options?.timeout);
      options?.signal?.throwIfAborted();
      const make = (item: Item): Pending => new PendingPut(this.#calls, options?.id, item, resolve, reject);
      const id = this.#send(name, input, options, flags, make);
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
    pendingFor: (input: Item) => Pending,
  ): number {
    const { connection, handle } = this.where;
    const item = encode(input, connection.codec, 'input');
    const extra = options === undefined ? undefined : putItems(options, this.#calls.queue);
    connection.checkHandle(handle);
    const index = connection.nameIndex(checkName(name));
    const id = connection.begin(pendingFor(item));
    const { link } = connection;
    const start = link.begin(ToManager.PUT);
    const { writer } = link;
    writer.u32(id);
    writer.u32(handle);
    const refs = item instanceof Packed && item.proxies.length + item.jobs.length > 0;
    writer.u8(flags | (extra === undefined ? 0 : PutFlags.options) | (refs ? PutFlags.refs : 0));
    writer.u16(index);
    if (extra !== undefined) writer.item(extra);
    writer.item(item);
    connection.finish(start, id);
    return id;
  }

  async #runUntil(name: string, input: unknown, options: PutOptions & WaitOptions): Promise<unknown> {
    const until = performance.now() + (options.timeout ?? Infinity);
    let handle: Handle;
    try {
      handle = await this.#put(name, input, options, 0);
    } catch (error) {
      // It may have been accepted meanwhile.
      if (options.id !== undefined && endedBy(error, options)) this.#calls.cancel(options.id, UNWANTED).catch(() => {});
      throw error;
    }
    const { signal } = options;
    const timeout = options.timeout === undefined ? undefined : Math.max(0, until - performance.now());
    try {
      return await handle.result({ signal, timeout });
    } catch (error) {
      if (endedBy(error, options)) handle.cancel(UNWANTED).catch(() => {});
      throw error;
    }
  }
}

/** Why a task is cancelled whose `run` or `put` was given up. */
const UNWANTED = 'its caller no longer waits';

/** Whether it was the caller who ended the waiting. */
function endedBy(error: unknown, { signal }: WaitOptions): boolean {
  return (signal?.aborted === true && error === signal.reason) || error instanceof TimeoutError;
}

function checkName(name: string): string {
  if (typeof name === 'string' && name !== '' && name.length <= 1000) return name;
  throw new TypeError('the name of a task must be a string of 1 to 1,000 characters');
}

function putItems(options: PutOptions & WaitOptions, queue: string): Item | undefined {
  const { id, priority, after, retries, atMostOnce } = checkPutOptions(options, queue);
  const items: Item[] = [];
  if (id !== undefined) items.push(PutKey.id, id);
  if (priority !== undefined) items.push(PutKey.priority, priority);
  if (after !== undefined && after.length > 0) items.push(PutKey.after, after);
  if (retries !== undefined) items.push(PutKey.retries, retries);
  if (atMostOnce === true) items.push(PutKey.atMostOnce, true);
  return items.length === 0 ? undefined : items;
}
