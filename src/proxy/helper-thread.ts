/**
 * The helper thread of a worker process. See helper.ts.
 *
 *     parent's pipe closes ──▶ kill the process group
 *     the worker has started, or has not for as long as a beat ──▶ helper-connection.ts
 *
 * Until then it loads nothing: while a worker starts, its processor has better things to do.
 */
import { Socket } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import type { HelperMessage, HelperStart } from './helper.ts';

const { parentPipe } = workerData as HelperStart;
/** What was said before the connection was there to hear it. */
const early: HelperMessage[] = [];
let take = (message: HelperMessage): void => void early.push(message);
let latest: NodeJS.Timeout | undefined;
let joining: Promise<void> | undefined;

if (parentPipe !== undefined) watchParent(parentPipe);

parentPort?.on('message', (message: HelperMessage) => {
  if ('join' in message) join();
  else take(message);
  if ('data' in message) latest = setTimeout(join, message.data.beatEvery);
});

function join(): void {
  clearTimeout(latest);
  joining ??= connect();
}

async function connect(): Promise<void> {
  const connection = await import('./helper-connection.ts');
  for (const message of early) connection.take(message);
  take = connection.take;
}

/** The worker leads a process group: killing the group takes its own children along. */
function watchParent(fd: number): void {
  const pipe = new Socket({ fd, readable: true, writable: false });
  pipe.on('error', () => {});
  pipe.on('close', () => {
    try {
      process.kill(-process.pid, 'SIGKILL');
    } catch {
      process.kill(process.pid, 'SIGKILL');
    }
  });
  pipe.resume();
}
