/**
 * Worker processes that are kept alive: spawned together, replaced when they end, stopped with the group. The group's
 * client vouches for them, so that the manager gives a task of a lost worker to another one only after the group has
 * seen the process end, or has ended it.
 */
import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { BrokenPoolError, ManagerGoneError } from '../errors.ts';
import { methods } from '../protocol/messages.ts';
import { type Client, connectionOf, reach } from '../proxy/client.ts';
import type { Connection } from '../proxy/connection.ts';
import type { WorkerOrders } from './orders.ts';
import { type ChildSettings, WorkerChild } from './worker-child.ts';

/** How many processes, on which queue, and how Node.js is started. */
export interface StartWorkersOptions {
  /** How many processes. Default: as many as there are cores. */
  count?: number | undefined;
  /** Name of the task queue. Default 'default'. */
  queue?: string | undefined;
  /** Tasks that each process runs at once. Default 1. */
  concurrency?: number | undefined;
  /** A process that has started so many tasks ends after them, and another one takes its place. Default: no limit. */
  maxTasksPerWorker?: number | undefined;
  /** Added to this process's environment. */
  env?: Record<string, string> | undefined;
  /** For Node, before the script. */
  execArgv?: readonly string[] | undefined;
}

/** One process of a group. */
export interface WorkerProcess {
  readonly name: string;
  readonly pid: number;
}

/** What a group tells, by `on()` and `once()`. */
export interface WorkerGroupEvents {
  workerStarted: [WorkerProcess];
  /** It ended without having been told to. */
  workerLost: [
    WorkerProcess & {
      readonly exitCode: number | undefined;
      readonly signal: string | undefined;
      /** The error that ended it, where there was one and it could say so. */
      readonly reason: string | undefined;
    },
  ];
  /** A replacement could not start, and no more are tried: the error says why. */
  broken: [BrokenPoolError];
}

/** Replacements within a second that start at once; more of them wait, so that no fault becomes a fork storm. */
const BURST = 10;
/** Replacements that fail to start one after the other before the group gives up. */
const START_FAILURES = 3;
/** The first wait before a replacement (ms) once one has failed to start; doubles each time. */
const RESTART_DELAY = 1_000;

/** Worker processes of one tasks module. Made by `startWorkers()`. A process that ends is replaced. */
export class WorkerGroup extends EventEmitter<WorkerGroupEvents> implements AsyncDisposable {
  readonly #connection: Connection;
  readonly #settings: ChildSettings;
  readonly #orders: Omit<WorkerOrders, 'name' | 'ticket'>;
  readonly #children = new Map<string, WorkerChild>();
  readonly #restarts = new Set<NodeJS.Timeout>();
  #count: number;
  #names = 0;
  #failures = 0;
  /** When the latest replacements started. */
  #replacements: number[] = [];
  #closing: Promise<void> | undefined;
  readonly #cleanUp = (): void => this.#killAll();
  /** Its workers have nobody left to work for; one that is busy would not even notice. */
  readonly #endAll = (reason: unknown): void => {
    if (reason instanceof ManagerGoneError) this.#killAll();
  };
  /** The manager has lost the worker, or has not heard it for too long. */
  readonly #endSilent = (ticket: unknown): void => this.#children.get(String(ticket))?.kill();
  /** The new session of the group knows nothing of its workers yet. */
  readonly #vouchAgain = (): void => {
    for (const ticket of this.#children.keys()) this.#call('vouch', [ticket]);
  };

  constructor(
    connection: Connection,
    orders: Omit<WorkerOrders, 'name' | 'ticket'>,
    settings: ChildSettings,
    count: number,
  ) {
    super();
    this.#connection = connection;
    this.#orders = orders;
    this.#settings = settings;
    this.#count = count;
    connection.on('manager:workerSilent', this.#endSilent);
    connection.on('reconnected', this.#vouchAgain);
    connection.on('closed', this.#endAll);
    process.once('exit', this.#cleanUp);
  }

  /** For the parts of this library: spawns all and waits until each loops on the queue. */
  async start(): Promise<this> {
    const children = Array.from({ length: this.#count }, () => this.#spawn());
    try {
      await Promise.all(children.map((child) => child.ready));
    } catch (error) {
      await this.close();
      throw error;
    }
    return this;
  }

  /** The processes that are there now, also those that are still starting. */
  workers(): WorkerProcess[] {
    return Array.from(this.#children.values(), ({ name, pid }) => ({ name, pid }));
  }

  /** Lets every worker finish what it runs, and ends them. */
  async drain(): Promise<void> {
    await this.#end((child) => child.drain());
  }

  /** Ends every worker now; what they were running is run again elsewhere. */
  close(): Promise<void> {
    return this.#end((child) => child.kill());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #end(how: (child: WorkerChild) => void): Promise<void> {
    for (const child of this.#children.values()) how(child);
    return (this.#closing ??= this.#allEnded());
  }

  async #allEnded(): Promise<void> {
    for (const restart of this.#restarts) clearTimeout(restart);
    this.#restarts.clear();
    await Promise.all(
      Array.from(this.#children.values(), (child) => {
        child.ref();
        return child.ended;
      }),
    );
    this.#connection.off('manager:workerSilent', this.#endSilent);
    this.#connection.off('reconnected', this.#vouchAgain);
    this.#connection.off('closed', this.#endAll);
    process.off('exit', this.#cleanUp);
  }

  #spawn(): WorkerChild {
    const orders = { ...this.#orders, name: `worker-${++this.#names}`, ticket: randomUUID() };
    // Before the process can connect: both go the same way, so the manager knows the ticket first.
    this.#call('vouch', [orders.ticket]);
    const child = new WorkerChild(orders, this.#settings);
    this.#children.set(child.ticket, child);
    void this.#watch(child);
    return child;
  }

  async #watch(child: WorkerChild): Promise<void> {
    const { name, pid } = child;
    let failure: BrokenPoolError | undefined;
    void child.ready.then(
      () => {
        child.unref();
        this.#failures = 0;
        this.emit('workerStarted', { name, pid });
      },
      (error: BrokenPoolError) => (failure = error),
    );
    const { exitCode, signal, reason } = await child.ended;
    await child.ready.catch(() => {});
    this.#call('workerGone', [child.ticket, exitCode, signal, reason]);
    // Now, and not after its replacement has been forked: its tasks wait for it.
    this.#connection.link.flush();
    this.#children.delete(child.ticket);
    if (this.#closing !== undefined) return;
    const retired = child.retired && exitCode === 0;
    if (!retired) this.emit('workerLost', { name, pid, exitCode, signal, reason });
    if (this.#connection.closed) return;
    if (retired) this.#spawn();
    else if (failure === undefined) this.#replace();
    else this.#retry(failure);
  }

  #replace(): void {
    const now = performance.now();
    this.#replacements = this.#replacements.filter((at) => now - at < 1_000);
    if (this.#replacements.length >= BURST) return this.#spawnIn(RESTART_DELAY);
    this.#replacements.push(now);
    this.#spawn();
  }

  /** A replacement that does not start is tried again, slower and slower, and not for ever. */
  #retry(failure: BrokenPoolError): void {
    this.#failures++;
    if (this.#failures >= START_FAILURES) {
      this.emit('broken', failure);
      return;
    }
    this.#spawnIn(RESTART_DELAY * 2 ** (this.#failures - 1));
  }

  #spawnIn(ms: number): void {
    const restart = setTimeout(() => {
      this.#restarts.delete(restart);
      if (!this.#connection.closed) this.#spawn();
    }, ms).unref();
    this.#restarts.add(restart);
  }

  #call(method: 'vouch' | 'workerGone', args: readonly (string | number | undefined)[]): void {
    if (this.#connection.closed) return;
    this.#connection.call(0, methods.manager.indexOf(method), args).catch(() => {});
  }

  #killAll(): void {
    for (const child of this.#children.values()) child.kill();
  }
}

/**
 * Starts worker processes that run the handlers of a tasks module, and resolves when all of them loop on the queue.
 * They end with the group, with `close()`, or with this process, however it ends.
 * @throws BrokenPoolError when the module cannot be loaded or its `setup` fails
 */
export async function startWorkers(
  client: Client,
  tasksModule: string | URL,
  options: StartWorkersOptions = {},
): Promise<WorkerGroup> {
  const { count = availableParallelism(), queue = 'default', concurrency = 1, env, execArgv = [] } = options;
  const { maxTasksPerWorker: maxTasks } = options;
  for (const [name, value] of Object.entries({ count, concurrency, maxTasksPerWorker: maxTasks ?? 1 })) {
    if (!(Number.isInteger(value) && value >= 1)) {
      throw new RangeError(`${name} must be a whole number of at least 1, not ${String(value)}`);
    }
  }
  const connection = client[connectionOf];
  const text = String(tasksModule);
  const tasks = /^[a-z]+:/.test(text) ? text : pathToFileURL(resolve(text)).href;
  const { address, authKey } = await client[reach]();
  const orders = { address, authKey: Buffer.from(authKey).toString('base64'), tasks, queue, concurrency, maxTasks };
  return new WorkerGroup(connection, orders, { env, execArgv }, count).start();
}
