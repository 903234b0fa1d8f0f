/**
 * The worker loop: what a user could have written with `getNowait()` and `get()`, with several flows where asked for.
 */
import { ConnectionLostError, QueueShutdownError } from '../errors.ts';
import type { Client } from '../proxy/client.ts';
import type { Leased } from '../proxy/leased-task.ts';
import type { Handlers } from '../proxy/task-context.ts';
import { home, takerFor } from '../proxy/queue-keys.ts';
import type { TaskQueueProxy } from '../proxy/task-queue-proxy.ts';
import type { TaskTaker } from '../proxy/task-taker.ts';
import type { LeasedTask } from '../tasks.ts';
import { Flows } from './flows.ts';
import { checkHandlers } from './handlers.ts';
import { Runner, runReady } from './run-task.ts';

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
  await workWith(queue[takerFor]({ name, tags, resources }), queue[home], checkHandlers(handlers, 'work()'), options);
}

/** The loop on what a taker gets. */
export async function workWith(
  source: TaskTaker,
  client: Client,
  handlers: Handlers,
  options: WorkOptions,
): Promise<void> {
  const { concurrency = 1, signal, name = `pid ${process.pid}` } = options;
  if (!(Number.isInteger(concurrency) && concurrency >= 1)) {
    throw new RangeError(`concurrency must be a whole number of at least 1, not ${concurrency}`);
  }
  const flows = new Flows(concurrency, signal !== undefined, () => loop(source, runner, flows));
  const runner = new Runner(handlers, name, client, flows, onRefused);
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
      let task: LeasedTask | undefined;
      try {
        task = await source.getNowait(source.handle);
        if (task === undefined) {
          if (flows.retires()) return;
          task = await flows.wait((wait) => source.get(source.handle, wait));
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
        task.release().catch(() => {});
        return;
      }
      ran = runReady(source, task as Leased, runner, flows);
    }
    if ((typeof ran === 'object' ? await ran : ran) === 'retired') return;
  }
}

function onRefused(task: LeasedTask, error: unknown): void {
  process.emitWarning(
    `the outcome of task '${task.id}' (${task.name}) was not recorded: ${String(error)}`,
    'QuartermasterWarning',
  );
}
