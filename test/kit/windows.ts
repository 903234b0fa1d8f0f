/** Workers that hold tasks in their windows. */
import type { TaskQueueProxy } from 'quartermaster';

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
