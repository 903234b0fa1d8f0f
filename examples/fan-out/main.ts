/**
 * A graph that grows while it runs. How many lines there are is known when the first job has run: the second one puts a
 * task for each of them, and one that adds up. All of them are part of the run, and wait for nobody's slot.
 *
 *     lines ──▶ count ─┬▶ words ─┐
 *                      ├▶ words ─┤
 *                      └▶ words ─┴▶ sum ──▶ report      (the output of `sum` is that of `count`)
 */
import { JobGraph, type JobRef, type RunProgress, startManager, startWorkers } from 'quartermaster';
import type tasks from './tasks.ts';

const text = ['a queue is a line', 'a lock is a door', 'what is a manager'].join('\n');

const graph = new JobGraph<typeof tasks>();
const lines = graph.add('lines', text, { id: 'lines' });
const words: JobRef<number> = graph.add('count', { lines }, { id: 'count' }); // what the handle it returns will give
graph.add('report', { words }, { id: 'report' });

const manager = await startManager();
const workers = await startWorkers(manager, new URL('./tasks.js', import.meta.url), { count: 2 });
try {
  const run = manager.tasks<typeof tasks>().runGraph(graph);
  let last: RunProgress | undefined;
  for await (const progress of run.progress()) last = progress;
  console.log(`jobs of the graph: ${graph.order().length}, of the run: ${last?.total}`);
  console.log(await run.result());
  await run.close();
} finally {
  await workers.close();
  await manager.shutdown();
}

// Output:
//     jobs of the graph: 3, of the run: 7
//     { report: '14 words' }
