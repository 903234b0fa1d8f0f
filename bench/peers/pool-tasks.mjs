/**
 * T1, T2, T5 and T6 of a peer that is a pool: no-op tasks put in one go, the same in chunks that are made by hand, a
 * Buffer there and back, skewed durations.
 */
import { skewTasks } from '../limit/lib/common.mjs';
import { check, checkNoops, parameters, report, timeEchoes } from '../measured.mjs';
import { countCpu } from '../processes.mjs';
import { openPool } from './pools/open.mjs';

const { peer, workload, n, workers, chunk, size, warmUp, order } = parameters({
  peer: 'piscina',
  workload: 'noop', // or map, payload, skew
  n: 20_000,
  workers: 2,
  chunk: 1_000,
  size: 1 << 20,
  warmUp: 2_000,
  order: 'shuffle',
});

const pool = await openPool(peer, workers);
try {
  if (workload === 'noop') await noop();
  else if (workload === 'map') await map();
  else if (workload === 'payload') await payload();
  else await skew();
} finally {
  await pool.close();
}
// What a peer leaves behind is not what is measured.
process.exit();

/** @param {number} count */
function noops(count) {
  return Promise.all(Array.from({ length: count }, (_, i) => pool.run('noop', { i })));
}

async function noop() {
  checkNoops(await noops(warmUp), warmUp);
  const cpu = countCpu(pool);
  const start = performance.now();
  const results = await noops(n);
  const seconds = (performance.now() - start) / 1000;
  const used = cpu();
  checkNoops(results, n);
  report({ n, seconds, perSec: n / seconds, ...used });
}

async function map() {
  const once = async () => {
    const chunks = Array.from({ length: Math.ceil(n / chunk) }, (_, at) => {
      const length = Math.min(chunk, n - at * chunk);
      return pool.run(
        'noops',
        Array.from({ length }, (_each, k) => ({ i: at * chunk + k })),
      );
    });
    return (await Promise.all(chunks)).flat();
  };
  checkNoops(await once(), n);
  const cpu = countCpu(pool);
  const start = performance.now();
  const results = await once();
  const seconds = (performance.now() - start) / 1000;
  const used = cpu();
  checkNoops(results, n);
  report({ n, seconds, perSec: n / seconds, ...used });
}

async function payload() {
  const echo = async (/** @type {Buffer} */ bytes) => {
    const back = /** @type {Uint8Array} */ (await (pool.echo?.(bytes) ?? pool.run('echo', bytes)));
    return Buffer.from(back.buffer, back.byteOffset, back.byteLength);
  };
  await echo(Buffer.alloc(1));
  const cpu = countCpu(pool);
  const figures = await timeEchoes(echo, n, size, warmUp);
  report({ n, ...figures, ...cpu() });
}

async function skew() {
  const durations = skewTasks(n, order);
  await Promise.all(Array.from({ length: warmUp }, () => pool.run('spin', 0)));
  const cpu = countCpu(pool);
  const start = performance.now();
  const results = await Promise.all(durations.map((us) => pool.run('spin', us)));
  const seconds = (performance.now() - start) / 1000;
  const used = cpu();
  results.forEach((us, i) => check(us === durations[i], `task ${i} gave ${String(us)}, not ${durations[i]}`));
  report({ n, seconds, ...used });
}
