/**
 * A pool: a task queue and the workers that run it, as one thing that is closed or terminated as a whole.
 *
 *     open ──close()──▶ closing: takes no more, runs what was put ──all ended──▶ ended
 *       └──terminate(), a manager that has gone, workers that cannot start──▶ ended: what is unfinished rejects
 */
import { EventEmitter } from 'node:events';
import { type BrokenPoolError, PoolTerminatedError, QueueShutdownError } from '../errors.ts';
import { methods } from '../protocol/messages.ts';
import { type Client, connectionOf } from '../proxy/client.ts';
import type { MapOptions } from '../proxy/map/map.ts';
import type { Stream } from '../proxy/stream.ts';
import type { TaskQueueProxy } from '../proxy/task-queue-proxy.ts';
import type { WorkerGroup, WorkerGroupEvents, WorkerProcess } from './worker-group.ts';

/** What a pool stands on. */
export interface PoolParts<H> {
  readonly client: Client;
  readonly queue: TaskQueueProxy<H>;
  readonly group: WorkerGroup;
  /** Ends the manager that was started for the pool; undefined where the client is somebody else's. */
  readonly end: (() => Promise<void>) | undefined;
}

const EVENTS = ['workerStarted', 'workerLost', 'lateError', 'broken'] as const;

/** Worker processes and the queue of their tasks. Made by `startPool()`. `H` names the tasks. */
export class Pool<H> extends EventEmitter<WorkerGroupEvents> implements AsyncDisposable {
  /** The whole queue: its dict, graphs, `putMany`, `cancel`, `retry`, `pause`. It may be put to also by others. */
  readonly queue: TaskQueueProxy<H>;
  /** The client of the pool's manager: locks, dicts and all else that the tasks share. */
  readonly client: Client;
  readonly #group: WorkerGroup;
  readonly #endManager: (() => Promise<void>) | undefined;
  /** Why nothing more is taken. */
  #refusal: Error | undefined;
  /** Aborts the streams that are being read. */
  readonly #stop = new AbortController();
  readonly #streams = new Set<Stream<unknown>>();
  #closing: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  readonly #ended: Promise<void>;
  #hasEnded!: () => void;

  /** For the parts of this library. */
  constructor({ client, queue, group, end }: PoolParts<H>) {
    super();
    this.client = client;
    this.queue = queue;
    this.#group = group;
    this.#endManager = end;
    this.#ended = new Promise((resolve) => (this.#hasEnded = resolve));
    for (const event of EVENTS) group.on(event, (...args: unknown[]) => this.emit(event, ...(args as [never])));
    group.on('broken', (error: BrokenPoolError) => {
      if (group.ready === 0) void this.#end(error);
    });
    const connection = client[connectionOf];
    const gone = (reason: Error): void => void this.#end(reason);
    connection.once('closed', gone);
    void this.#ended.then(() => connection.off('closed', gone));
  }

  /**
   * Puts a task; resolves when the manager has accepted it. Waits while the queue is full.
   * @throws UnserializableError, QueueShutdownError after `close()`, PoolTerminatedError after `terminate()`
   */
  readonly put: TaskQueueProxy<H>['put'] = (name, ...call) => this.#refused() ?? this.queue.put(name, ...call);

  /**
   * Puts a task and resolves with its output. Aborting, or the timeout, also cancels the task.
   * @throws TaskFailedError, whose cause is what the handler threw, and what `put` throws
   */
  readonly run: TaskQueueProxy<H>['run'] = (name, ...call) => this.#refused() ?? this.queue.run(name, ...call);

  /**
   * Runs a task over inputs, of iterables of both kinds, however long: `inFlight` of them are under way, or done and not
   * read, at once. Leaving the stream cancels what has not ended. See `TaskQueueProxy.map`.
   * @throws QueueShutdownError after `close()`, PoolTerminatedError after `terminate()`, at once
   */
  readonly map = ((name: never, inputs: Iterable<never>, options?: MapOptions): Stream<unknown> => {
    if (this.#refusal !== undefined) throw this.#refusal;
    const signal = options?.signal;
    const stopped = signal === undefined ? this.#stop.signal : AbortSignal.any([signal, this.#stop.signal]);
    const stream = this.queue.map(name, inputs, { ...options, signal: stopped } as MapOptions & { onError: 'yield' });
    this.#streams.add(stream);
    void stream.ended.then(() => this.#streams.delete(stream));
    return stream;
  }) as TaskQueueProxy<H>['map'];

  /** Runs a task once on every worker that is there; resolves with all outcomes. See `TaskQueueProxy.broadcast`. */
  readonly broadcast: TaskQueueProxy<H>['broadcast'] = (name, ...call) =>
    this.#refused() ?? this.queue.broadcast(name, ...call);

  /** The worker processes that are there now, also those that are still starting, or are ending. */
  workers(): WorkerProcess[] {
    return this.#group.workers();
  }

  /**
   * Makes it `size` processes. Resolves when new ones take tasks, or those that are too many have finished what they run.
   * @throws BrokenPoolError where they cannot be started, or the pool ends
   */
  resize(size: number): Promise<void> {
    return this.#group.resize(size);
  }

  /**
   * Replaces every process by a new one, which loads the tasks module anew: one after the other, each when it has finished
   * what it runs.
   * @throws BrokenPoolError where one cannot be started (the old ones go on), or the pool ends
   */
  recycle(): Promise<void> {
    return this.#group.recycle();
  }

  /**
   * Takes no more, and finishes what was put: what waits, runs, is delayed, what such tasks put in their turn, and the
   * inputs of a `map` that is being read. Resolves when all of it has ended, its outcomes are here, and so have the
   * processes. @throws ManagerGoneError where the manager ends first
   */
  close(): Promise<void> {
    this.#refusal ??= new QueueShutdownError('the pool has been closed: it takes no more tasks');
    return (this.#closing ??= this.#finish());
  }

  /** Resolves when the pool has ended, by whoever calls `close()` or `terminate()`. Holds the process until then. */
  async join(): Promise<void> {
    const connection = this.client[connectionOf];
    connection.hold();
    await this.#ended;
    connection.letGo();
  }

  /**
   * Stops now: what runs is killed, what waits is cancelled, and whoever awaits any of it is rejected with
   * `PoolTerminatedError`. Resolves when the processes have ended.
   */
  terminate(): Promise<void> {
    return this.#end(new PoolTerminatedError('the pool was terminated'));
  }

  /** `close()`: what was put is finished, as in Python's executors. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #refused(): Promise<never> | undefined {
    return this.#refusal === undefined ? undefined : Promise.reject(this.#refusal);
  }

  async #finish(): Promise<void> {
    const { signal } = this.#stop;
    const stopped = new Promise<never>((_, reject) =>
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
    );
    try {
      signal.throwIfAborted();
      await Promise.race([this.#allEnded(), stopped]);
      await this.#group.drain();
    } catch (error) {
      // What ended the pool meanwhile ended the waiting, too.
      await this.#end(error as Error);
      if (!(this.#refusal instanceof PoolTerminatedError)) throw error;
      return;
    }
    await this.#end(undefined);
  }

  async #allEnded(): Promise<void> {
    await Promise.all([...this.#streams].filter(({ begun }) => begun).map(({ ended }) => ended));
    await this.queue.join();
    await this.#outcomesAreHere();
    await this.queue.shutdown();
  }

  #cancelAll(): Promise<unknown>[] {
    return [this.queue.shutdown({ immediate: true }), this.queue.cancel({}, 'the pool was terminated')];
  }

  /** Outcomes may wait for a reader that is slower than its workers. */
  async #outcomesAreHere(): Promise<void> {
    const connection = this.client[connectionOf];
    const ping = methods.manager.indexOf('ping');
    while (connection.awaits(this.#queueName)) await connection.call(0, ping, []);
  }

  get #queueName(): string {
    return this.queue.name ?? '';
  }

  /** Ends all of it, once; `reason`: what is unfinished is rejected with it. Never rejects. */
  #end(reason: Error | undefined): Promise<void> {
    return (this.#stopping ??= this.#endNow(reason));
  }

  async #endNow(reason: Error | undefined): Promise<void> {
    const connection = this.client[connectionOf];
    if (reason !== undefined) {
      this.#refusal = reason;
      this.#stop.abort(reason);
      if (this.#endManager === undefined) connection.endQueue(this.#queueName, reason);
      else connection.close(reason);
    }
    // Nothing is left to whoever shares the manager, whether it waits, runs, or has just lost its worker.
    const left = reason === undefined || connection.closed ? [] : this.#cancelAll();
    await this.#group.close();
    await Promise.allSettled(left);
    if (this.#endManager === undefined) await this.queue.dispose().catch(() => {});
    else await this.#endManager().catch(() => {});
    this.#hasEnded();
  }
}
