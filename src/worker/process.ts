/**
 * A spawned worker's own process. Its group tells it on descriptor 3 whom to connect to and what to run; on descriptor
 * 4 the helper thread watches whether the group is still there.
 */
import { Socket } from 'node:net';
import { inspect } from 'node:util';
import { ManagerGoneError } from '../errors.ts';
import type { Client } from '../proxy/client.ts';
import { connectTo } from '../proxy/connect.ts';
import { connectionOf } from '../proxy/client.ts';
import { compileSooner, keepOwnArguments } from '../proxy/engine.ts';
import type { Handler, Handlers } from '../proxy/task-context.ts';
import { taker, type TaskQueueProxy } from '../proxy/task-queue-proxy.ts';
import { loadTasks, type TasksModule } from './handlers.ts';
import {
  CONTROL_PIPE,
  type DrainOrder,
  PARENT_PIPE,
  readLines,
  type WorkerOrders,
  type WorkerReport,
} from './orders.ts';
import { work } from './work.ts';

keepOwnArguments();
compileSooner();
const stop = new AbortController();
const pipe = new Socket({ fd: CONTROL_PIPE, readable: true, writable: true });
pipe.setEncoding('utf8');
pipe.on('error', () => {});
pipe.on('close', () => process.exit(1));
pipe.on(
  'data',
  readLines((line) => {
    const order = JSON.parse(line) as WorkerOrders | DrainOrder;
    if ('drain' in order) stop.abort();
    else void run(order);
  }),
);
// The group, not the terminal, decides when its workers end: it drains them.
process.on('SIGINT', () => {});

async function run(orders: WorkerOrders): Promise<void> {
  let tasks: TasksModule;
  let client: Client;
  try {
    const worker = { ticket: orders.ticket, parentPipe: PARENT_PIPE };
    const { address, authKey, name } = orders;
    client = await connectTo(address, Buffer.from(authKey, 'base64'), { name }, worker);
    // From here on the helper watches over the process, also while it loads its module.
    client.tasks(orders.queue)[taker].prepare();
    tasks = await loadTasks(orders.tasks);
    await tasks.setup?.(client);
  } catch (error) {
    report({ failed: described(error) });
    pipe.end(() => process.exit(1));
    return;
  }
  // What was finished before the process ends by itself is still reported.
  process.on('exit', () => client[connectionOf].link.flush());
  const { concurrency, name, queue } = orders;
  const source = client.tasks(queue);
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => crash(error, name, source));
  }
  report({ ready: true });
  try {
    await work(source, counted(tasks.handlers, orders.maxTasks), { concurrency, name, signal: stop.signal });
    await tasks.teardown?.();
  } catch (error) {
    // Without its manager a worker has nothing to do; its group hears of the same by its own connection.
    const expected = stop.signal.aborted || error instanceof ManagerGoneError;
    if (!expected) process.stderr.write(`worker ${orders.name}: ${String(error)}\n`);
    process.exit(1);
  }
  process.exit(0);
}

/** The handlers; with the last task that it may run, the process takes no more. */
function counted(handlers: Handlers, most: number | undefined): Handlers {
  if (most === undefined) return handlers;
  let left = most;
  const entries = Object.entries(handlers).map(([name, handler]): [string, Handler] => [
    name,
    (input, context) => {
      if (--left === 0) {
        report({ retired: true });
        stop.abort();
      }
      return handler(input, context);
    },
  ]);
  return Object.fromEntries(entries);
}

/**
 * An error that no promise of a handler knows of: the process cannot be trusted any more. Where a single task runs the
 * error is that task's, which fails with it as if its handler had thrown it. Where several run it cannot be told whose
 * it is: they are lost with the process, which says why.
 */
function crash(error: unknown, name: string, source: TaskQueueProxy): never {
  const { running } = source[taker];
  if (running.length === 1) running[0]?.fail(error).catch(() => {});
  process.stderr.write(`worker ${name}: ${inspect(error)}\n`);
  report({ crashed: error instanceof Error ? `${error.name}: ${error.message}` : String(error) });
  process.exit(1);
}

function report(line: WorkerReport): void {
  pipe.write(`${JSON.stringify(line)}\n`);
}

function described(error: unknown): { name: string; message: string; stack?: string } {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error) };
  const { name, message, stack } = error;
  return stack === undefined ? { name, message } : { name, message, stack };
}
