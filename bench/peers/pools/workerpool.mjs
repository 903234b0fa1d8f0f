import { fileURLToPath } from 'node:url';
import workerpool from 'workerpool';
import { children } from '../../processes.mjs';

/** @param {number} count */
export async function open(count) {
  const script = fileURLToPath(new URL('workerpool-worker.mjs', import.meta.url));
  const pool = workerpool.pool(script, {
    workerType: 'process',
    minWorkers: count,
    maxWorkers: count,
    forkOpts: { serialization: 'advanced' },
  });
  const run = (/** @type {string} */ operation, /** @type {unknown} */ input) =>
    Promise.resolve(pool.exec('perform', [{ operation, input }]));
  await Promise.all(Array.from({ length: count }, () => run('noop', { i: 0 })));
  return { run, workers: children(), close: () => pool.terminate() };
}
