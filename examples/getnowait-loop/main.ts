/**
 * The bare shape: the main process puts tasks, worker processes loop on `getNowait()` over proxies and write what they
 * find into a shared dict. No tasks module and no worker group: the workers are plain child processes (worker.ts).
 *
 *     main ── put() ──▶ manager: task queue, dict 'results' ◀── getNowait(), set(), complete() ── workers
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { startManager } from 'quartermaster';
import type { Handlers } from './worker.ts';

const manager = await startManager();
try {
  const tasks = manager.tasks<Handlers>();
  const numbers = [90, 91, 97, 360, 1001, 65_537];
  for (const n of numbers) await tasks.put('factor', n);
  console.log(`${numbers.length} tasks put`);

  // A path, not the key: the file that it names can be read by this user alone.
  const env = { ...process.env, QUARTERMASTER_CONNECTION: manager.connectionFile };
  const workers = [1, 2].map(() => fork(new URL('./worker.js', import.meta.url), { env }));
  const codes = await Promise.all(workers.map(async (worker) => (await once(worker, 'exit'))[0] as number | null));
  console.log(`workers ended: exit codes ${codes.join(', ')}`);

  const results = manager.dict<number, number[]>('results');
  for (const n of numbers) console.log(`${n} = ${(await results.get(n))?.join(' × ')}`);
  console.log(`${(await tasks.dict.counts()).succeeded} tasks succeeded`);
} finally {
  await manager.shutdown();
}

// Output:
//     6 tasks put
//     workers ended: exit codes 0, 0
//     90 = 2 × 3 × 3 × 5
//     91 = 7 × 13
//     97 = 97
//     360 = 2 × 2 × 2 × 3 × 3 × 5
//     1001 = 7 × 11 × 13
//     65537 = 65537
//     6 tasks succeeded
