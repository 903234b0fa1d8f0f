/** Starts a worker group: its options checked, its module found, its processes told whom to connect to. */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Client, reach } from '../proxy/client.ts';
import { offerItem } from '../proxy/take-options.ts';
import { endOnSignals } from './end-on-signals.ts';
import { boundsOf, checkOptions, type StartWorkersOptions } from './group-options.ts';
import { Spares } from './spares.ts';
import type { ChildSettings } from './worker-child.ts';
import { WorkerGroup } from './worker-group.ts';

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
  return startGroup(client, tasksModule, options, undefined);
}

/** Spawns the processes of a group that is to be started soon, with the same arguments: they start meanwhile. */
export function spawnAhead(tasksModule: string | URL, options: StartWorkersOptions): Spares {
  return new Spares(boundsOf(options.count).min, settingsOf(options), urlOf(tasksModule));
}

/** `spares`: its first processes. Those that it does not take end. */
export async function startGroup(
  client: Client,
  tasksModule: string | URL,
  options: StartWorkersOptions,
  spares: Spares | undefined,
): Promise<WorkerGroup> {
  try {
    checkOptions(options);
    const { queue = 'default', concurrency = 1, maxTasksPerWorker: maxTasks, maxMemory, tags, resources } = options;
    const bounds = boundsOf(options.count);
    offerItem({ tags, resources });
    const { address, authKey: key } = await client[reach]();
    const authKey = Buffer.from(key).toString('base64');
    const tasks = urlOf(tasksModule);
    const { idle } = bounds;
    const orders = { address, authKey, tasks, queue, concurrency, tags, resources, maxTasks, maxMemory, idle };
    const group = new WorkerGroup(client, { orders, settings: settingsOf(options), bounds, maxMemory, spares });
    if (options.handleSignals === true) group.whenEnded(endOnSignals(group));
    return await group.start();
  } finally {
    spares?.end();
  }
}

function settingsOf({ heapLimit, env, logs = 'tagged', execArgv = [] }: StartWorkersOptions): ChildSettings {
  const limit = heapLimit === undefined ? [] : [`--max-old-space-size=${heapLimit}`];
  return { env, execArgv: [...execArgv, ...limit], logs };
}

function urlOf(tasksModule: string | URL): string {
  const text = String(tasksModule);
  return /^[a-z]+:/.test(text) ? text : pathToFileURL(resolve(text)).href;
}
