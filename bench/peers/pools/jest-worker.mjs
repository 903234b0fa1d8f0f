import { fileURLToPath } from 'node:url';
import { Worker } from 'jest-worker';
import { children } from '../../processes.mjs';

/** @param {number} count */
export async function open(count) {
  const script = fileURLToPath(new URL('worker.mjs', import.meta.url));
  const pool = new Worker(script, {
    numWorkers: count,
    exposedMethods: ['perform'],
    forkOptions: { serialization: 'advanced' },
  });
  const run = (/** @type {string} */ operation, /** @type {unknown} */ input) => pool.perform({ operation, input });
  await Promise.all(Array.from({ length: count }, () => run('noop', { i: 0 })));
  return { run, workers: children(), close: () => pool.end() };
}
