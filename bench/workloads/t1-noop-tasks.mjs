import { spawnSync } from 'node:child_process';
import { file, limit, peer, ratio, withCpuEach } from '../harness/bench.mjs';
import { target } from '../harness/target.mjs';

/**
 * @typedef {import('../harness/bench.mjs').Bench} Bench
 * @typedef {import('../harness/bench.mjs').Entrant} Entrant
 */

/** @type {import('./all.mjs').Workload} */
export const noopTasks = {
  id: 'T1',
  title: 'no-op tasks, one message each',
  about:
    'Tasks `{ i } → i + 1`, put by the main process in one go, run by 2 worker processes, every result awaited; after a warm-up of 2,000.',

  async run(bench) {
    const sizes = bench.settings.quick ? [1_000] : [20_000, 200_000];
    const python = spawnSync('python3', ['--version']).status === 0;
    const tables = [];
    const targets = [];
    for (const n of sizes) {
      const size = `n = ${n.toLocaleString('en-US')}`;
      const results = withCpuEach(await bench.rounds(`T1, ${size}`, entrants(bench, n, python), { rounds: 5 }), n);
      tables.push({
        caption: size,
        columns: /** @type {const} */ ([
          { key: 'perSec', title: 'tasks', unit: 'perSecond', spread: true },
          { key: 'cpu', title: 'CPU per task', unit: 'µs' },
          { key: 'cpuMain', title: 'main', unit: 'µs' },
          { key: 'cpuManager', title: 'manager', unit: 'µs' },
          { key: 'cpuWorkers', title: 'workers', unit: 'µs' },
        ]),
        results: Object.values(results),
      });
      const { ours, embedded, bare, fork, forkAtOnce, pool } = results;
      const must = /** @type {const} */ ({ unit: 'ratio', atLeast: 0.5, floor: 0.35, aim: 0.7 });
      targets.push(
        target(`${size}: manager process ÷ limit`, ratio(ours, 'perSec', bare), must),
        target(`${size}: manager process ÷ fork`, ratio(ours, 'perSec', fork, forkAtOnce), {
          unit: 'ratio',
          atLeast: 1,
        }),
        target(`${size}: embedded ÷ manager process`, ratio(embedded, 'perSec', ours), { unit: 'ratio', atLeast: 1 }),
      );
      const cpu = target(`${size}: CPU, manager process ÷ limit`, ratio(ours, 'cpu', bare), { unit: 'ratio' });
      targets.push(cpu);
      if (pool === undefined) continue;
      targets.push(
        target(`${size}: manager process ÷ Pool`, ratio(ours, 'perSec', pool), { unit: 'ratio', atLeast: 5 }),
      );
    }
    return { tables, targets, notes: python ? [] : ['There is no python3 here: no figures of its Pool.'] };
  },
};

/**
 * @param {Bench} bench
 * @param {number} n
 * @param {boolean} python
 * @returns {Entrant[]}
 */
function entrants(bench, n, python) {
  const workers = { workers: true };
  const all = [
    { key: 'ours', label: 'manager process', program: bench.ours('noop-tasks', { n, manager: 'process' }, workers) },
    { key: 'bare', label: 'limit', program: limit('limit_mgr', 'W1a', { credit: 128, n }) },
    {
      key: 'embedded',
      label: 'embedded manager',
      program: bench.ours('noop-tasks', { n, manager: 'embedded' }, workers),
    },
    { key: 'fork', label: 'fork, JSON, 128 outstanding each', program: peer('fork-json', { n, window: 128 }) },
    { key: 'forkAtOnce', label: 'fork, JSON, all sent at once', program: peer('fork-json', { n, window: 0 }) },
  ];
  const pool = { command: 'python3', args: [file('peers/pool.py'), `n=${n}`] };
  return python ? [...all, { key: 'pool', label: 'Python Pool.apply_async', program: pool }] : all;
}
