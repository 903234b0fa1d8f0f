/**
 * What becomes of tasks that fail for good: their records stay as dead letters, each with the error of every attempt.
 * They are read, the cause is mended, and those it concerned are run again under their old ids.
 */
import { startManager, startWorkers } from 'quartermaster';
import type tasks from './tasks.ts';

const manager = await startManager();
// A week, however many and large they are; of those that succeeded the last hundred are enough.
const queue = manager.tasks<typeof tasks>('deliveries', {
  retries: 2,
  backoff: { base: 5, max: 50 },
  keepRecords: { count: 100 },
  keepDeadLetters: { count: Infinity, age: 7 * 24 * 3_600_000, bytes: Infinity },
});
const unreachable = manager.set<string>('unreachable');
await unreachable.add('bob@example.org');

const workers = await startWorkers(manager, new URL('./tasks.js', import.meta.url), { count: 2, queue: 'deliveries' });
try {
  const parcels = [
    { to: 'ada@example.org', parcel: 'a book' },
    { to: 'bob@example.org', parcel: 'a lamp' },
    { to: 'nowhere', parcel: 'a kite' },
  ];
  const handles = await queue.putMany('deliver', parcels).toArray();
  await queue.join();

  for (const [id, { attempt, error, history }] of await queue.dict.entries({ state: 'failed' })) {
    console.log(`${id}: ${error?.message}`);
    console.log(`  ${attempt} of 3 attempts, ${history.filter((change) => change.error).length} of them tried again`);
  }

  // Bob is back. What failed for another reason is left where it is.
  await unreachable.delete('bob@example.org');
  const again: string[] = [];
  for (const [id, { error }] of await queue.dict.entries({ state: 'failed' })) {
    if (error?.message.includes('nobody answers')) again.push(id);
  }
  for (const id of again) await queue.retry(id);
  await queue.join();
  console.log(`run again: ${again.join(', ')}`);

  // A handle keeps the outcome that it has seen: another one asks for the newest.
  for (const { id } of handles) {
    const outcome = queue.handle<string>(id).result();
    console.log(await outcome.catch(({ cause }: Error) => `undelivered: ${(cause as Error).message}`));
  }
} finally {
  await workers.close();
  await manager.shutdown();
}

// Output:
//     t2: task 't2' (deliver) failed: Error: nobody answers at bob@example.org
//       3 of 3 attempts, 2 of them tried again
//     t3: task 't3' (deliver) failed: NonRetryableError: 'nowhere' is no address
//       1 of 3 attempts, 0 of them tried again
//     run again: t2
//     a book is at ada@example.org
//     a lamp is at bob@example.org
//     undelivered: 'nowhere' is no address
