/** Starts a pool: its options checked, a manager for it where it is given none, its workers. */
import { randomUUID } from 'node:crypto';
import { lazily } from '../protocol/lazily.ts';
import type { Client } from '../proxy/client.ts';
import type { TaskQueueProxy } from '../proxy/task-queue-proxy.ts';
import { taskQueueItems } from '../proxy/task-queue-options.ts';
import type { HandlersOf, TaskQueueOptions } from '../tasks.ts';
import { boundsOf, checkOptions, type StartWorkersOptions, type WorkerCount } from '../worker/group-options.ts';
import { Pool } from '../worker/pool.ts';
import type { Spares } from '../worker/spares.ts';
import { spawnAhead, startGroup } from '../worker/start-workers.ts';
import { startManagerFor } from './start-manager.ts';

const managers = lazily<typeof import('../manager/manager.ts')>(new URL('../manager/manager.js', import.meta.url));

/** What a pool is started with: options of its workers and of its queue beside its own. */
export interface StartPoolOptions
  extends Omit<StartWorkersOptions, 'count' | 'queue'>, Omit<TaskQueueOptions, 'concurrency'> {
  /** The tasks module: its path or URL. */
  tasks: string | URL;
  /** How many processes, or between which bounds. Default: as many as there are cores. */
  workers?: number | WorkerCount | undefined;
  /**
   * 'process' (default): a manager in a process of its own. 'embedded': in this one, which saves a hop and a process, and
   * shares this thread. Both end with the pool. A client: its manager, which does not.
   */
  manager?: 'process' | 'embedded' | Client | undefined;
  /** Name of the task queue in the manager of a `Client`. Default: one of the pool's own, which nobody else puts to. */
  queue?: string | undefined;
}

/** Where a pool's tasks are. */
interface Home {
  readonly client: Client;
  readonly queue: string;
  readonly end: (() => Promise<void>) | undefined;
}

/**
 * Starts worker processes that run the handlers of a tasks module, with the queue they take from. Resolves when all of
 * them take tasks. Nothing of it holds this process while no task is awaited, and everything ends with it.
 *
 * `M`: the tasks module (`typeof import('./tasks.js')`) or its handlers, for the types of names, inputs and outputs.
 *
 * @throws BrokenPoolError when the module cannot be loaded or its `setup` fails
 */
export async function startPool<M extends object = Record<never, never>>(
  options: StartPoolOptions,
): Promise<Pool<HandlersOf<M>>> {
  const { tasks, workers, manager = 'process', queue: name, ...rest } = options;
  const { concurrency, tags, resources, maxTasksPerWorker, maxMemory, heapLimit, ...others } = rest;
  const { env, execArgv, logs, handleSignals, ...queueOptions } = others;
  if (typeof tasks !== 'string' && !(tasks instanceof URL)) {
    throw new TypeError(`tasks must be the path or URL of a tasks module, not ${String(tasks)}`);
  }
  const group: StartWorkersOptions = { concurrency, tags, resources, maxTasksPerWorker, maxMemory, heapLimit };
  Object.assign(group, { env, execArgv, logs, handleSignals, count: workers } satisfies StartWorkersOptions);
  // Before a process is started for what cannot be.
  checkOptions(group);
  boundsOf(workers);
  taskQueueItems(queueOptions);
  if (manager !== 'process' && manager !== 'embedded' && typeof manager !== 'object') {
    throw new TypeError(`manager must be 'process', 'embedded' or a client, not ${String(manager)}`);
  }
  // The manager and the workers start side by side; the manager first, which the others wait for.
  const starting = homeOf(manager, name);
  let spares: Spares | undefined;
  let queue: TaskQueueProxy | undefined;
  try {
    spares = spawnAhead(tasks, group);
    const home = await starting;
    queue = home.client.tasks(home.queue, queueOptions);
    const started = await startGroup(home.client, tasks, { ...group, queue: home.queue }, spares);
    return new Pool({ ...home, queue: queue as never, group: started });
  } catch (error) {
    spares?.end();
    await starting.then(
      ({ end }) => end?.() ?? queue?.dispose(),
      () => {},
    );
    throw error;
  }
}

async function homeOf(manager: 'process' | 'embedded' | Client, queue: string | undefined): Promise<Home> {
  if (manager === 'process') {
    const client = await startManagerFor('tasks');
    return { client, queue: queue ?? 'default', end: () => client.shutdown() };
  }
  if (manager === 'embedded') {
    const embedded = new (managers().Manager)();
    return { client: embedded.client(), queue: queue ?? 'default', end: () => embedded.close() };
  }
  return { client: manager, queue: queue ?? `pool-${randomUUID()}`, end: undefined };
}
