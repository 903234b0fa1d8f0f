/**
 * Errors outside of every promise that a worker waits for: whose they are, and what becomes of the process.
 *
 *     of a task that runs here    the task fails with it; the others may finish, then the process ends
 *     of a task that has ended    told to the group; after an exception the process ends likewise, after a rejection it
 *                                 goes on: nothing but a promise that nobody watched is broken
 *     of nobody                   where a single task runs it is that task's; otherwise all are lost with the process
 */
import { inspect } from 'node:util';
import type { TaskTaker } from '../proxy/task-taker.ts';
import { authorOf } from './attribution.ts';
import type { WorkerReport } from './orders.ts';

/** How long (ms) tasks beside the one that broke the process may go on. */
const BYSTANDERS = 5_000;

/** What the process can do about it. */
export interface LastWords {
  readonly worker: string;
  readonly taker: TaskTaker;
  readonly report: (line: WorkerReport) => void;
  /** Takes no more tasks, and ends the process after those that run: in good order, or with code 1. */
  readonly retire: () => void;
  readonly endBroken: () => void;
}

/** Watches over the process from here on. */
export function watchErrors(words: LastWords): void {
  process.on('uncaughtException', (error) => strayed(error, undefined, words));
  process.on('unhandledRejection', (error, promise) => strayed(error, promise, words));
}

function strayed(error: unknown, promise: Promise<unknown> | undefined, words: LastWords): void {
  const { taker, report, worker } = words;
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  const author = authorOf(promise);
  const { running } = taker;
  const task =
    author === undefined
      ? running.length === 1
        ? running[0]
        : undefined
      : running.find(({ token }) => token === author.token);
  if (author !== undefined && task === undefined) {
    const stack = error instanceof Error ? error.stack : undefined;
    report({ late: { task: author.id, taskName: author.name, error: text, stack } });
    process.stderr.write(`worker ${worker}: left behind by task '${author.id}' (${author.name}): ${inspect(error)}\n`);
    if (promise === undefined) words.retire();
    return;
  }
  process.stderr.write(`worker ${worker}: ${inspect(error)}\n`);
  report({ crashed: text });
  task?.fail(error).catch(() => {});
  if (task === undefined || taker.running.length === 0) process.exit(1);
  words.endBroken();
  setTimeout(() => process.exit(1), BYSTANDERS).unref();
}
