/**
 * T6: `n` tasks of a fixed amount of work, 5% of them a hundred times as long as the others, through `put` or `map`, run
 * by 2 worker processes. The order is that of the limit program; nothing is tuned.
 */
import { startManager, startWorkers } from 'quartermaster';
import { skewTasks } from '../limit/lib/common.mjs';
import { check, parameters, report } from '../measured.mjs';
import { countCpu } from '../processes.mjs';

const { n, order, through, workers } = parameters({ n: 2_000, order: 'shuffle', through: 'put', workers: 2 });

const WARM_UP = 2_000; // as T1; the limit program warms its loop

const manager = await startManager();
const group = await startWorkers(manager, new URL('skew-tasks.mjs', import.meta.url), { count: workers });
try {
  const queue = manager.tasks();
  const durations = skewTasks(n, order);
  await Promise.all(Array.from({ length: WARM_UP }, () => queue.run('spin', 0)));
  const cpu = countCpu({ manager: manager.pid, workers: group.workers().map(({ pid }) => pid) });
  const start = performance.now();
  const results =
    through === 'map'
      ? await queue.map('spin', durations).toArray()
      : await Promise.all(durations.map((us) => queue.run('spin', us)));
  const seconds = (performance.now() - start) / 1000;
  const used = cpu();
  check(results.length === n, `${results.length} results of ${n} tasks`);
  results.forEach((us, i) => check(us === durations[i], `task ${i} gave ${String(us)}, not ${durations[i]}`));
  report({ n, seconds, ...used });
} finally {
  await group.close();
  await manager.shutdown();
}
