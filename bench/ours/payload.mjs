/** T5: a Buffer of `size` bytes there and back through a worker, `n` times. */
import { startManager, startWorkers } from 'quartermaster';
import { parameters, report, timeEchoes } from '../measured.mjs';
import { countCpu } from '../processes.mjs';

const { n, size, warmUp, tasks } = parameters({
  n: 200,
  size: 1 << 20,
  warmUp: 20,
  tasks: new URL('tasks.mjs', import.meta.url).href,
});

const manager = await startManager({ limits: { frameBytes: 2 * size } });
const group = await startWorkers(manager, tasks, { count: 1 });
try {
  const queue = manager.tasks();
  const cpu = countCpu({ manager: manager.pid, workers: group.workers().map(({ pid }) => pid) });
  const figures = await timeEchoes((bytes) => queue.run('echo', bytes), n, size, warmUp);
  report({ n, ...figures, ...cpu() });
} finally {
  await group.close();
  await manager.shutdown();
}
