/**
 * Worker processes that are spawned and kept alive: each runs the handlers of one tasks module (tasks.ts) and is
 * replaced when it ends.
 */
import { startManager, startWorkers, TaskFailedError } from 'quartermaster';
import type tasks from './tasks.ts';

const manager = await startManager();
const workers = await startWorkers(manager, new URL('./tasks.js', import.meta.url), { count: 2 });
try {
  const queue = manager.tasks<typeof tasks>();

  // run(): put, and the result. Names, inputs and outputs are those of the tasks module.
  console.log(await queue.run('shout', 'hello'));

  // put(): a handle for each; the results in the order of the handles, whoever was faster.
  const limits = [1_000, 10_000, 100_000];
  const handles = await Promise.all(limits.map((limit) => queue.put('countPrimes', { limit })));
  for (const [at, handle] of handles.entries()) console.log(`primes below ${limits[at]}: ${await handle.result()}`);

  // What a handler throws arrives as the cause, with the worker's stack.
  const error = await queue.run('refuse', 'not today').catch((thrown: unknown) => thrown);
  if (!(error instanceof TaskFailedError)) throw error;
  console.log(`${error.name}, because of ${(error.cause as Error).name}: ${(error.cause as Error).message}`);

  await workers.drain(); // lets them finish what they run; close() would not
  console.log(`workers left: ${workers.workers().length}`);
} finally {
  await workers.close();
  await manager.shutdown();
}

// Output:
//     HELLO!
//     primes below 1000: 168
//     primes below 10000: 1229
//     primes below 100000: 9592
//     TaskFailedError, because of RangeError: not today
//     workers left: 0
