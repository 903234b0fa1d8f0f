/** Workers that hold tasks in their windows. */
import { existsSync } from 'node:fs';
import type { QueueProxy, TaskHandle, TaskQueueProxy } from 'quartermaster';
import { aGate, type Started } from './tasks-rig.ts';

/**
 * Starts something on a worker that keeps a window, so that at least `leased` tasks are leased once it has started. The
 * window follows from how long tasks took: on a machine that was busy with others just then it is one, and it is tried
 * again after `undo`.
 */
export async function withWindow<S>(
  queue: TaskQueueProxy<never>,
  leased: number,
  start: () => Promise<S>,
  undo: (started: S) => Promise<unknown>,
): Promise<S> {
  const run = queue.run.bind(queue) as (name: string) => Promise<unknown>;
  for (;;) {
    for (let i = 0; i < 20; i++) await Promise.all(Array.from({ length: 100 }, () => run('echo')));
    const started = await start();
    if ((await queue.dict.counts()).leased >= leased) return started;
    await undo(started);
  }
}

/**
 * A worker whose thread is kept by `long` until `gate` opens, with at least `leased` tasks leased: it, and the first of
 * `short`, one `echo` for each input.
 */
export async function aBusyWorker(
  queue: TaskQueueProxy<never>,
  started: QueueProxy<Started>,
  leased: number,
  inputs: readonly unknown[],
): Promise<{ gate: ReturnType<typeof aGate>; long: TaskHandle; short: TaskHandle[] }> {
  const put = queue.put.bind(queue) as (name: string, input: unknown) => Promise<TaskHandle>;
  return withWindow(
    queue,
    leased,
    async () => {
      const gate = aGate();
      // In one write: the worker has the first, and behind it what its window holds.
      const long = put('spinUntil', { started, file: gate.file });
      const short = await Promise.all(inputs.map((input) => put('echo', input)));
      await started.get();
      // It reads no more from here on.
      while (!existsSync(`${gate.file}.kept`)) await new Promise(setImmediate);
      return { gate, long: await long, short };
    },
    async ({ gate, long, short }) => {
      gate.open();
      await long.result();
      await Promise.all(short.map((handle) => handle.result()));
    },
  );
}
