/**
 * The worker loop: what a user could have written with `getNowait()` and `get()`, with several flows where asked for.
 */
import { ConnectionLostError, QueueShutdownError } from '../errors.ts';
import { lazily } from '../protocol/lazily.ts';
import type { Client } from '../proxy/client.ts';
import { LeasedRange } from '../proxy/leased-range.ts';
import type { Leased } from '../proxy/leased-task.ts';
import type { Handlers } from '../proxy/task-context.ts';
import { home, takerFor } from '../proxy/queue-keys.ts';
import type { Taken } from '../proxy/task-arrival.ts';
import type { TaskQueueProxy } from '../proxy/task-queue-proxy.ts';
import type { TaskTaker } from '../proxy/task-taker.ts';
import type { LeasedTask } from '../tasks.ts';
import { isPromise } from '../waiting.ts';
import { Flows } from './flows.ts';
import { checkHandlers } from './handlers.ts';
import { enterHandler, leaveHandler } from './attribution.ts';
import { runRange } from './run-range.ts';
import { complete, Context, fail, handlerOf, isHandle, Runner, settle } from './run-task.ts';
import type { LogSink } from './task-log.ts';

const workerLogs = lazily<typeof import('./worker-logs.ts')>(new URL('./worker-logs.js', import.meta.url));

/** How a worker loop runs. */
export interface WorkOptions {
  /** How many tasks run at once. Default 1. */
  concurrency?: number | undefined;
  /** How handlers see this worker, and tasks that ask for one by name. Default: its pid; to tasks, its client's name. */
  name?: string | undefined;
  /** Tags that it has: tasks that ask for others are not for it. */
  tags?: readonly string[] | undefined;
  /** Amounts of which the tasks that it runs hold no more at a time. */
  resources?: Readonly<Record<string, number>> | undefined;
  /** Aborting ends the loop after the tasks that run; what has not been started is given back. */
  signal?: AbortSignal | undefined;
}

/**
 * Takes tasks from `queue` and runs them with `handlers`, until `signal` aborts, or the queue has been shut down and
 * nothing is left in it; the outcomes of all that it ran have then been recorded. Rejects when the manager has gone.
 */
export async function work<H>(queue: TaskQueueProxy<H>, handlers: H, options: WorkOptions = {}): Promise<void> {
  const { name, tags, resources } = options;
  const taker = queue[takerFor]({ name, tags, resources });
  await workWith(
    taker,
    queue[home],
    checkHandlers(handlers, 'work()'),
    options,
    ownStderr(name ?? `pid ${process.pid}`),
  );
}

/** The loop on what a taker gets. */
export async function workWith(
  source: TaskTaker,
  client: Client,
  handlers: Handlers,
  options: WorkOptions,
  sink: LogSink,
): Promise<void> {
  const { concurrency = 1, signal, name = `pid ${process.pid}` } = options;
  if (!(Number.isInteger(concurrency) && concurrency >= 1)) {
    throw new RangeError(`concurrency must be a whole number of at least 1, not ${concurrency}`);
  }
  const flows = new Flows(concurrency, signal !== undefined, () => loop(source, runner, flows));
  const runner = new Runner(handlers, name, client, flows, onRefused, sink);
  source.prepare();
  source.loops(1);
  const end = (): void => flows.end();
  if (signal?.aborted === true) end();
  signal?.addEventListener('abort', end, { once: true });
  try {
    await flows.run();
  } finally {
    signal?.removeEventListener('abort', end);
    source.giveBack();
    await source.settled();
    runner.endLog();
    // After what it gives back: what was broadcast to it is nobody's then.
    source.loops(-1);
  }
}

async function loop(source: TaskTaker, runner: Runner, flows: Flows): Promise<void> {
  // Asked before every task: what a signal says by itself takes Node.js about as long as a short task.
  while (!flows.retires()) {
    // What lies ready is taken without a promise: it is run out before the event loop is let go anyway.
    let ran = runReady(source, source.start(undefined), runner, flows);
    if (ran === 'none left') {
      let task: Taken | undefined;
      try {
        task = await source.loopNowait();
        if (task === undefined) {
          if (flows.retires()) return;
          task = await flows.wait((wait) => source.loopGet(wait));
          if (task === undefined) continue;
        }
      } catch (error) {
        const { connection } = source;
        if (error instanceof ConnectionLostError && !connection.closed) {
          await connection.returned();
          continue;
        }
        flows.left();
        if (error instanceof QueueShutdownError || flows.ending) return;
        throw error;
      }
      if (flows.retires()) {
        // It came while the loop was told to end, or the slot was wanted back.
        if (task instanceof LeasedRange) task.abandon();
        else task.release().catch(() => {});
        return;
      }
      ran = runReady(source, task, runner, flows);
    }
    if ((typeof ran === 'object' ? await ran : ran) === 'retired') return;
  }
}

/**
 * Runs `first`, and what lies ready in the window after it, until a handler goes on by itself: the promise resolves when
 * that has ended. Neither throws nor rejects. Otherwise, what the flow does next: it asks for more, or it ends.
 *
 * In one piece on purpose: this is what a worker does for every task, and what is called from a loop that awaits would
 * be compiled into it a second time.
 */
function runReady(
  source: TaskTaker,
  first: Taken | undefined,
  runner: Runner,
  flows: Flows,
): Promise<unknown> | 'none left' | 'retired' {
  for (let task = first, now: number | undefined; task !== undefined; task = source.start(now)) {
    let running: Promise<unknown> | undefined;
    if (task instanceof LeasedRange) {
      now = undefined;
      running = runRange(task, runner, flows);
      if (running !== undefined) return running;
    } else {
      if (task.unheard) {
        source.keep(task);
        return runHeard(source, task, runner, flows);
      }
      try {
        const handler = handlerOf(task.name, runner);
        enterHandler(task);
        const result: unknown = handler(task.input, new Context(task, runner));
        leaveHandler();
        if (isPromise(result)) running = settle(task, result, runner);
        else if (isHandle(result)) running = settle(task, result.result(), runner);
        else complete(task, result, runner);
      } catch (error) {
        leaveHandler();
        fail(task, error, runner);
      }
      if (running !== undefined) {
        source.keep(task);
        return running;
      }
      // Where one task follows another in the same turn, its start is the other's end.
      now = source.endOf(task);
    }
    if (flows.retires()) return 'retired';
  }
  return 'none left';
}

async function runHeard(source: TaskTaker, task: Leased, runner: Runner, flows: Flows): Promise<unknown> {
  return (await source.heard(task)) ? runReady(source, task, runner, flows) : undefined;
}

/** What handlers of that worker say goes to this process's stderr. */
export function ownStderr(worker: string): LogSink {
  return {
    write: (line) => workerLogs().writeTagged({ worker, pid: process.pid, stream: 'log', ...line }),
    hasRoom: () => true,
  };
}

function onRefused(task: LeasedTask, error: unknown): void {
  process.emitWarning(
    `the outcome of task '${task.id}' (${task.name}) was not recorded: ${String(error)}`,
    'QuartermasterWarning',
  );
}
