/**
 * A spawned worker's own process. Its group tells it on descriptor 3 whom to connect to and what to run; on descriptor
 * 4 the helper thread watches whether the group is still there.
 *
 * It ends by itself after what it runs, with code 0, when it is told to drain, at SIGTERM or SIGINT, after `maxTasks`
 * tasks and above `maxMemory`. A second signal, or GRACE after the first, ends it at once with 128 + the signal's
 * number; what it ran then runs again elsewhere.
 */
import { once } from 'node:events';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import { ManagerGoneError } from '../errors.ts';
import type { Client } from '../proxy/client.ts';
import { connectTo } from '../proxy/connect.ts';
import { connectionOf, started, takerOf } from '../proxy/client.ts';
import { HelperThread } from '../proxy/helper.ts';
import { prepareNodeIpc } from '../transport/node-ipc.ts';
import { compileSooner, keepOwnArguments } from '../proxy/engine.ts';
import type { Handler, Handlers } from '../proxy/task-context.ts';
import type { TaskTaker } from '../proxy/task-taker.ts';
import { attribute } from './attribution.ts';
import { loadTasks, type TasksModule } from './handlers.ts';
import { watchErrors } from './last-words.ts';
import {
  CONTROL_PIPE,
  type DrainOrder,
  type LoadOrder,
  PARENT_PIPE,
  readLines,
  type WorkerOrders,
  type WorkerReport,
} from './orders.ts';
import type { LogSink } from './task-log.ts';
import { ownStderr, workWith } from './work.ts';

/** How long (ms) what runs may go on after a signal. */
const GRACE = 10_000;
/** How long (ms) the group may take to read the last of what its handlers have said. */
const LAST_WORDS = 5_000;
/** Bytes of what its handlers have said that may wait for the group to read them. */
const MOST_UNREAD = 1024 * 1024;
/** How often (ms) the process looks at its memory. */
const LOOK = 250;

keepOwnArguments();
let thread: HelperThread | undefined;
let loading: Promise<TasksModule> | undefined;
const stop = new AbortController();
/** The process ends with this code once it has nothing to do. */
let exitCode = 0;
const pipe = new Socket({ fd: CONTROL_PIPE, readable: true, writable: true });
pipe.setEncoding('utf8');
pipe.on('error', () => {});
pipe.on('close', () => process.exit(1));
pipe.on(
  'data',
  readLines((line) => {
    const order = JSON.parse(line) as LoadOrder | WorkerOrders | DrainOrder;
    if ('load' in order) {
      prepareNodeIpc();
      void load(order.load);
    } else if ('drain' in order) stop.abort();
    else void run(order);
  }),
);
// While it starts, a Ctrl-C is its group's to decide about.
const ignore = (): void => {};
process.on('SIGINT', ignore);

/** Begins to import the tasks module. What is wrong with the module is said where it is wanted. */
function load(tasks: string): Promise<TasksModule> {
  if (loading === undefined) {
    // It watches over the process also while its module is loaded.
    thread ??= new HelperThread(PARENT_PIPE);
    loading = loadTasks(tasks);
    loading.catch(() => {});
  }
  return loading;
}

async function run(orders: WorkerOrders): Promise<void> {
  let tasks: TasksModule;
  let client: Client;
  let source: TaskTaker;
  try {
    const worker = { ticket: orders.ticket, thread: () => (thread ??= new HelperThread(PARENT_PIPE)) };
    const { address, authKey, name } = orders;
    client = await connectTo(address, Buffer.from(authKey, 'base64'), { name }, worker);
    source = client[takerOf](orders.queue, { tags: orders.tags, resources: orders.resources });
    source.prepare();
    tasks = await load(orders.tasks);
    await tasks.setup?.(client);
  } catch (error) {
    report({ failed: described(error) });
    pipe.end(() => process.exit(1));
    return;
  }
  // What was finished before the process ends by itself is still reported.
  process.on('exit', () => client[connectionOf].link.flush());
  const { concurrency, name } = orders;
  // What waits here, un-started, need not wait for what runs.
  stop.signal.addEventListener('abort', () => {
    if (!source.connection.closed) source.giveBack();
  });
  const endBroken = (): void => {
    exitCode = 1;
    stop.abort();
  };
  // Whoever has been told that it is ready may broadcast to it.
  source.loops(1);
  await source.settled();
  attribute();
  watchErrors({ worker: name, taker: source, report, retire: () => retire('error'), endBroken });
  endOnSignals();
  if (orders.maxMemory !== undefined) watchMemory(orders.maxMemory);
  if (orders.idle !== undefined) watchIdleness(orders.idle, source);
  // Not for what loads the modules, here and in the helper thread, which has run often and will not run again.
  source.onMany = compileSooner;
  report({ ready: true });
  client[started]();
  try {
    const handlers = counted(tasks.handlers, orders.maxTasks);
    await workWith(source, client, handlers, { concurrency, name, signal: stop.signal }, sinkOf(orders));
    source.loops(-1);
    // Its queue has been shut down: there is nothing left to do but to wait for the end of the group.
    if (!stop.signal.aborted) await once(stop.signal, 'abort');
    await tasks.teardown?.();
  } catch (error) {
    // Without its manager a worker has nothing to do; its group hears of the same by its own connection.
    const expected = stop.signal.aborted || error instanceof ManagerGoneError;
    if (!expected) process.stderr.write(`worker ${orders.name}: ${String(error)}\n`);
    process.exit(1);
  }
  await reported();
  process.exit(exitCode);
}

/** Resolves when the group has read what was said, or is too busy to. */
function reported(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, LAST_WORDS);
    pipe.write('', () => resolve());
  });
}

/** Takes no more, and ends after what it runs; another process takes its place. */
function retire(why: 'tasks' | 'memory' | 'signal' | 'error'): void {
  report({ retired: why });
  stop.abort();
}

/** The handlers; with the last task that it may run, the process takes no more. */
function counted(handlers: Handlers, most: number | undefined): Handlers {
  if (most === undefined) return handlers;
  let left = most;
  const entries = Object.entries(handlers).map(([name, handler]): [string, Handler] => [
    name,
    (input, context) => {
      if (--left === 0) retire('tasks');
      return handler(input, context);
    },
  ]);
  return Object.fromEntries(entries);
}

function endOnSignals(): void {
  let signalled = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const force = (): never => process.exit(128 + constants.signals[signal]);
    process.on(signal, () => {
      if (signalled) force();
      signalled = true;
      setTimeout(force, GRACE).unref();
      if (!stop.signal.aborted) retire('signal');
    });
  }
  process.off('SIGINT', ignore);
}

function watchMemory(most: number): void {
  const looks = setInterval(() => {
    if (stop.signal.aborted || process.memoryUsage.rss() <= most) return;
    clearInterval(looks);
    retire('memory');
  }, LOOK).unref();
}

/** Looks four times in the time that it may be idle, so it says so a quarter late at most. */
function watchIdleness(idle: number, tasks: TaskTaker): void {
  setInterval(
    () => {
      if (!stop.signal.aborted && tasks.idleFor >= idle) report({ idle: true });
    },
    Math.max(10, idle / 4),
  ).unref();
}

/** Where goes what its handlers say. */
function sinkOf({ name, logs }: WorkerOrders): LogSink {
  if (logs === 'inherit') return ownStderr(name);
  // The group may be busy: what it has not read yet is bounded.
  const hasRoom = (): boolean => pipe.writableLength < MOST_UNREAD;
  return { write: (log) => logs !== 'ignore' && report({ log }), hasRoom };
}

function report(line: WorkerReport): void {
  pipe.write(`${JSON.stringify(line)}\n`);
}

function described(error: unknown): { name: string; message: string; stack?: string } {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error) };
  const { name, message, stack } = error;
  return stack === undefined ? { name, message } : { name, message, stack };
}
