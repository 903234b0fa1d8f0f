import { limit, peer, ratio, withCpuEach } from '../harness/bench.mjs';
import { pooled } from '../harness/peers.mjs';
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
    'Tasks `{ i } → i + 1`, put by the main process in one go, run by 2 worker processes, every result awaited; after a warm-up of 2,000. Which worker runs them is each program’s own affair: ours leaves tasks as short as these to as many of the two as there are processors for (decision 0023). CPU of workers that are threads is that of the main process. With 200,000, tinypool, workerpool and BullMQ take part in the first two rounds only: one takes them a minute.',

  async run(bench) {
    const sizes = bench.settings.quick ? [1_000] : [20_000, 200_000];
    const python = bench.settings.peers
      ? /** @type {const} */ (['apply_async', 'submit'])
      : /** @type {const} */ (['apply_async']);
    let notes = /** @type {string[]} */ ([]);
    const tables = [];
    const targets = [];
    for (const n of sizes) {
      const size = `n = ${n.toLocaleString('en-US')}`;
      const peers = pooled(bench, 'noop', { n }, { python, always: true, slowRounds: n > 100_000 ? 2 : undefined });
      notes = peers.notes;
      const all = [...entrants(bench, n), ...peers.entrants];
      const results = withCpuEach(await bench.rounds(`T1, ${size}`, all, { rounds: 5, timeout: 400_000 }), n);
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
      const { ours, embedded, bare, fork, forkAtOnce, 'python-apply_async': pool, piscina } = results;
      const ahead = (/** @type {number} */ atLeast) => /** @type {const} */ ({ unit: 'ratio', atLeast });
      const must = /** @type {const} */ ({ unit: 'ratio', atLeast: 0.5, floor: 0.35, aim: 0.7 });
      targets.push(
        target(`${size}: manager process ÷ limit`, ratio(ours, 'perSec', bare), must),
        target(`${size}: manager process ÷ fork`, ratio(ours, 'perSec', fork, forkAtOnce), ahead(1)),
        target(`${size}: embedded ÷ manager process`, ratio(embedded, 'perSec', ours), ahead(1)),
        target(`${size}: CPU, manager process ÷ limit`, ratio(ours, 'cpu', bare), { unit: 'ratio' }),
      );
      if (pool !== undefined)
        targets.push(target(`${size}: manager process ÷ Pool`, ratio(ours, 'perSec', pool), ahead(5)));
      if (piscina !== undefined)
        targets.push(target(`${size}: manager process ÷ piscina`, ratio(ours, 'perSec', piscina), ahead(2.5)));
    }
    const chart = /** @type {const} */ ({ title: 'No-op tasks a second, 2 workers', key: 'perSec', unit: 'perSecond' });
    return { tables, targets, notes, chart };
  },
};

/**
 * @param {Bench} bench
 * @param {number} n
 * @returns {Entrant[]}
 */
function entrants(bench, n) {
  const workers = { workers: true };
  return [
    {
      key: 'ours',
      label: 'Quartermaster, manager process',
      program: bench.ours('noop-tasks', { n, manager: 'process' }, workers),
    },
    { key: 'bare', label: 'limit: bare node:net, no features', program: limit('limit_mgr', 'W1a', { credit: 128, n }) },
    {
      key: 'embedded',
      label: 'Quartermaster, embedded manager',
      program: bench.ours('noop-tasks', { n, manager: 'embedded' }, workers),
    },
    { key: 'fork', label: 'fork, JSON, 128 outstanding each', program: peer('fork-json', { n, window: 128 }) },
    { key: 'forkAtOnce', label: 'fork, JSON, all sent at once', program: peer('fork-json', { n, window: 0 }) },
  ];
}
