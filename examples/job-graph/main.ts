/**
 * Jobs that run after one another. A reference to a job, anywhere in the input of another, is an edge: that job runs
 * later and finds the output where the reference stood. The manager moves the graph; this process only watches.
 *
 *     fetch home ──▶ count ─┐
 *     fetch about ─▶ count ─┴▶ merge ──▶ top
 */
import { JobGraph, type RunProgress, startManager, startWorkers } from 'quartermaster';
import type tasks from './tasks.ts';

const graph = new JobGraph<typeof tasks>();
const counts = ['home', 'about'].map((page) => {
  const text = graph.add('fetch', page, { id: `fetch ${page}` }); // a JobRef<string>
  return graph.add('count', { text }, { id: `count ${page}` });
});
const merged = graph.add('merge', { all: counts }, { id: 'merge', keep: true });
const top = graph.add('top', { counts: merged, most: 3 }, { id: 'top' });

console.log(`order: ${graph.order().join(', ')}`);
console.log(`longest chain: ${graph.criticalPath().path.join(' -> ')}`);

const manager = await startManager();
const workers = await startWorkers(manager, new URL('./tasks.js', import.meta.url), { count: 2 });
try {
  const run = manager.tasks<typeof tasks>().runGraph(graph);

  let last: RunProgress | undefined;
  for await (const progress of run.progress()) last = progress; // at every change, until the run has ended
  console.log(`done: ${last?.done} of ${last?.total}, failed: ${last?.failed}`);

  const words = await run.output(top); // typed: [string, number][]
  console.log(words.map(([word, count]) => `${word} ${count}`).join(', '));
  console.log(`kept: ${Object.keys(await run.result()).join(', ')}`);
  await run.close();
} finally {
  await workers.close();
  await manager.shutdown();
}

// Output:
//     order: fetch home, count home, fetch about, count about, merge, top
//     longest chain: fetch home -> count home -> merge -> top
//     done: 6 of 6, failed: 0
//     a 4, the 3, and 2
//     kept: merge, top
