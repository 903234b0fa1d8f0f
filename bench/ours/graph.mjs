/**
 * T7: the smallest length of a task with which two workers still reach half of the ideal rate in a graph of a pattern.
 * The graph is put together before the clock starts; checked, sent, moved by the manager, and all outputs awaited while
 * it runs.
 */
import { JobGraph, startManager, startWorkers } from 'quartermaster';
import { graphOf } from '../graphs.mjs';
import { metg } from '../limit/lib/common.mjs';
import { check, parameters, report } from '../measured.mjs';

const { pattern, layers, width, workers, start, budget } = parameters({
  pattern: 'stencil_1d',
  layers: 200,
  width: 8,
  workers: 2,
  start: 256,
  budget: 45, // s, of the search
});

const graph = graphOf(pattern, layers, width);
const manager = await startManager();
const group = await startWorkers(manager, new URL('graph-tasks.mjs', import.meta.url), { count: workers });
const queue = manager.tasks();
try {
  await Promise.all(Array.from({ length: 64 }, () => queue.run('spin', 500))); // as the limit program
  await checkOrder();
  for (let i = 0; i < 4; i++) await runOnce(2);
  const { metgUs, lowerUs, tried } = await metg({
    layers: 1,
    width: graph.length,
    workers,
    runOnce,
    start,
    budgetS: budget,
  });
  report({ n: graph.length, metgUs: metgUs ?? NaN, lowerUs, tried: tried.length });
} finally {
  await group.close();
  await manager.shutdown();
}

/**
 * @param {string} name
 * @param {unknown} input
 */
function jobs(name, input) {
  const all = new JobGraph();
  /** @type {import('quartermaster').JobRef[]} */
  const refs = [];
  graph.forEach((after, task) => {
    refs.push(all.add(name, input, { id: String(task), after: after.map((each) => refs[each]) }));
  });
  return all;
}

/** @param {number} us */
async function runOnce(us) {
  const all = jobs('spin', us);
  const begun = performance.now();
  const run = queue.runGraph(all);
  const outputs = Object.values(await run.result());
  const seconds = (performance.now() - begun) / 1000;
  await run.close();
  check(outputs.length === graph.length, `${outputs.length} outputs of ${graph.length} jobs`);
  for (const output of outputs) check(output === us, `a job gave ${String(output)}, not ${us}`);
  return seconds;
}

/** No job starts before those that it comes after. */
async function checkOrder() {
  const run = queue.runGraph(jobs('startedAt', undefined));
  const startedAt = /** @type {Record<string, bigint>} */ (await run.result());
  await run.close();
  graph.forEach((after, task) => {
    for (const each of after) check(startedAt[each] < startedAt[task], `job ${task} started before job ${each}`);
  });
}
