/** T1: `n` tasks `{ i } → i + 1`, put in one go by this process, run by 2 worker processes, every result awaited. */
import { Manager, startManager, startWorkers } from 'quartermaster';
import { checkNoops, parameters, report } from '../measured.mjs';
import { countCpu } from '../processes.mjs';

const { n, manager, workers, tasks } = parameters({
  n: 20_000,
  manager: 'process', // or embedded
  workers: 2,
  tasks: new URL('tasks.mjs', import.meta.url).href,
});
const WARM_UP = 2_000; // as the limit program

const embedded = manager === 'embedded' ? new Manager() : undefined;
const started = embedded === undefined ? await startManager() : undefined;
const client = /** @type {import('quartermaster').Client} */ (started ?? embedded?.client());
const group = await startWorkers(client, tasks, { count: workers });
try {
  const queue = client.tasks();
  /** @param {number} count */
  const all = (count) => {
    const results = new Array(count);
    for (let i = 0; i < count; i++) results[i] = queue.run('noop', { i });
    return Promise.all(results);
  };
  checkNoops(await all(WARM_UP), WARM_UP);

  const cpu = countCpu({ manager: started?.pid, workers: group.workers().map(({ pid }) => pid) });
  const start = performance.now();
  const results = await all(n);
  const seconds = (performance.now() - start) / 1000;
  const used = cpu();
  checkNoops(results, n);
  report({ n, seconds, perSec: n / seconds, ...used });
} finally {
  await group.close();
  await started?.shutdown();
  await embedded?.close();
}
