/**
 * The helper thread of a worker process. See helper.ts.
 *
 *     parent's pipe closes ──▶ kill the process group
 *     the worker is ready, or has not been for as long as a beat ──▶ helper-connection.ts
 *
 * Until then it loads nothing: while a worker starts, its processor has better things to do.
 */
import { Socket } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import type { HelperData, HelperMessage } from './helper.ts';

const { parentPipe, beatEvery } = workerData as HelperData;
/** What was said before the connection was there to hear it. */
const early: HelperMessage[] = [];
let take = (message: HelperMessage): void => void early.push(message);
let joining: Promise<void> | undefined;

if (parentPipe !== undefined) watchParent(parentPipe);
const latest = setTimeout(join, parentPipe === undefined ? 0 : beatEvery);

parentPort?.on('message', (message: HelperMessage) => {
  if ('join' in message) join();
  else take(message);
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
