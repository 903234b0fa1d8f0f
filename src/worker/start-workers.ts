/** Starts a worker group: its options checked, its module found, its processes told whom to connect to. */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Client, reach } from '../proxy/client.ts';
import { offerItem } from '../proxy/take-options.ts';
import { endOnSignals } from './end-on-signals.ts';
import { boundsOf, checkOptions, type StartWorkersOptions } from './group-options.ts';
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
  checkOptions(options);
  const { queue = 'default', concurrency = 1, maxTasksPerWorker: maxTasks, maxMemory } = options;
  const { heapLimit, env, logs = 'tagged', handleSignals = false } = options;
  const bounds = boundsOf(options.count);
  const execArgv = [...(options.execArgv ?? [])];
  if (heapLimit !== undefined) execArgv.push(`--max-old-space-size=${heapLimit}`);
  const text = String(tasksModule);
  const tasks = /^[a-z]+:/.test(text) ? text : pathToFileURL(resolve(text)).href;
  const { address, authKey: key } = await client[reach]();
  const authKey = Buffer.from(key).toString('base64');
  const { idle } = bounds;
  const { tags, resources } = options;
  offerItem({ tags, resources });
  const orders = { address, authKey, tasks, queue, concurrency, tags, resources, maxTasks, maxMemory, idle };
  const group = new WorkerGroup(client, { orders, settings: { env, execArgv, logs }, bounds, maxMemory });
  if (handleSignals) group.whenEnded(endOnSignals(group));
  return group.start();
}
