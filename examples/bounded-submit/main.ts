/**
 * A hundred tasks, but at most twenty of them pending: one more for each that completes. Two ways:
 *
 * - `maxSize`: the queue itself is bounded, for everybody who puts; `put()` waits while it is full.
 * - a window by hand: this producer alone counts what it has put and not yet seen the end of.
 */
import { QueueFullError, startManager, startWorkers } from 'quartermaster';
import type tasks from './tasks.ts';

const MOST = 20;
const numbers = Array.from({ length: 100 }, (_, i) => i + 1);

const manager = await startManager();
const bounded = manager.tasks<typeof tasks>('default', { maxSize: MOST });

// Nobody takes tasks yet: twenty go in, and the next one would wait.
const first = await Promise.all(numbers.slice(0, MOST).map((n) => bounded.put('square', n)));
const full = await bounded.putNowait('square', 0).catch((error: unknown) => error);
console.log(`${first.length} put; one more: ${full instanceof QueueFullError ? full.name : 'accepted'}`);

const workers = await startWorkers(manager, new URL('./tasks.js', import.meta.url), { count: 2 });
try {
  const handles = [...first];
  for (const n of numbers.slice(MOST)) handles.push(await bounded.put('square', n));
  const squares = await Promise.all(handles.map((handle) => handle.result()));
  console.log(`maxSize: ${squares.length} results, sum ${sum(squares)}`);

  // By hand. What waits and what runs both count, because only completions make room.
  const running = new Set<Promise<void>>();
  const results: number[] = [];
  let most = 0;
  for (const n of numbers) {
    while (running.size >= MOST) await Promise.race(running);
    const one: Promise<void> = bounded.run('square', n).then((square) => {
      results.push(square);
      running.delete(one);
    });
    running.add(one);
    most = Math.max(most, running.size);
  }
  await Promise.all(running);
  console.log(`by hand: ${results.length} results, sum ${sum(results)}, never more than ${most} at once`);
} finally {
  await workers.close();
  await manager.shutdown();
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

// Output:
//     20 put; one more: QueueFullError
//     maxSize: 100 results, sum 338350
//     by hand: 100 results, sum 338350, never more than 20 at once
