/** T2: `map` over `n` tiny inputs `{ i } → i + 1`, no chunk size given, run by 2 worker processes. */
import { startManager, startWorkers } from 'quartermaster';
import { checkNoops, parameters, report } from '../measured.mjs';
import { countCpu } from '../processes.mjs';

const { n, workers, tasks } = parameters({
  n: 2_000_000,
  workers: 2,
  tasks: new URL('tasks.mjs', import.meta.url).href,
});
const WARM_UP = 500; // the limit program warms up with as many tasks, and then with one whole map

/** Made while they are read, as those of the limit program. */
function* inputs() {
  for (let i = 0; i < n; i++) yield { i };
}

const manager = await startManager();
const group = await startWorkers(manager, tasks, { count: workers });
try {
  const queue = manager.tasks();
  checkNoops(await Promise.all(Array.from({ length: WARM_UP }, (_, i) => queue.run('noop', { i }))), WARM_UP);
  checkNoops(await queue.map('noop', inputs()).toArray(), n);

  const cpu = countCpu({ manager: manager.pid, workers: group.workers().map(({ pid }) => pid) });
  const start = performance.now();
  const results = await queue.map('noop', inputs()).toArray();
  const seconds = (performance.now() - start) / 1000;
  const used = cpu();
  checkNoops(results, n);
  report({ n, seconds, perSec: n / seconds, ...used });
} finally {
  await group.close();
  await manager.shutdown();
}
