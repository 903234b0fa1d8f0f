/**
 * T8: what the manager's process spends on a graph of jobs that do nothing, from the submission to the end of the last
 * one, which comes after all that nothing else comes after. `runs` graphs one after the other.
 */
import { JobGraph, startManager, startWorkers } from 'quartermaster';
import { randomGraph } from '../graphs.mjs';
import { check, parameters, report } from '../measured.mjs';
import { countCpu } from '../processes.mjs';

const { tasks, edges, runs, workers, warm } = parameters({
  tasks: 18_000,
  edges: 113_000,
  runs: 1,
  workers: 2,
  warm: 1, // 0: without a warm-up
});
/** Runs of a graph of 20,000 jobs, so that V8 has compiled what is measured, with and without edges. */
const WARM_UP = 20_000;
const WARM_UPS = [3, 0, 3, 0];

const manager = await startManager();
const group = await startWorkers(manager, new URL('graph-tasks.mjs', import.meta.url), { count: workers });
const queue = manager.tasks();
try {
  for (const each of warm === 0 ? [] : WARM_UPS) await runOnce(randomGraph(WARM_UP, each * WARM_UP));
  const graph = randomGraph(tasks, edges);
  const count = graph.reduce((sum, after) => sum + after.length, 0);
  const used = { cpuMain: 0, cpuManager: 0, cpuWorkers: 0, seconds: 0 };
  for (let run = 0; run < runs; run++) {
    const figures = await runOnce(graph);
    for (const key of /** @type {const} */ (['cpuMain', 'cpuManager', 'cpuWorkers', 'seconds']))
      used[key] += figures[key];
  }
  const each = (1e6 * used.cpuManager) / (runs * tasks);
  report({ n: runs * tasks, edges: runs * count, each, perSec: (runs * tasks) / used.seconds, ...used });
} finally {
  await group.close();
  await manager.shutdown();
}

/** @param {import('../graphs.mjs').Graph} graph */
async function runOnce(graph) {
  const all = new JobGraph();
  /** @type {import('quartermaster').JobRef[]} */
  const refs = [];
  const sinks = new Set(graph.keys());
  graph.forEach((after, task) => {
    refs.push(all.add('nothing', undefined, { id: String(task), after: after.map((each) => refs[each]) }));
    for (const each of after) sinks.delete(each);
  });
  const last = all.add('startedAt', undefined, { id: 'last', after: [...sinks].map((each) => refs[each]) });
  const cpu = countCpu({ manager: manager.pid, workers: group.workers().map(({ pid }) => pid) });
  const begun = performance.now();
  const run = queue.runGraph(all);
  const end = await run.output(last);
  const seconds = (performance.now() - begun) / 1000;
  const figures = { ...cpu(), seconds };
  check(typeof end === 'bigint', 'the last job gave no time');
  const { succeeded, blocked, ready, leased, failed, skipped } = await queue.dict.counts();
  const others = blocked + ready + leased + failed + skipped;
  check(others === 0, `${others} jobs have not succeeded`);
  check(succeeded > graph.length, `${succeeded} jobs have succeeded of ${graph.length + 1}`);
  await run.close();
  return figures;
}
