import { limit, ratio } from '../harness/bench.mjs';
import { pooled } from '../harness/peers.mjs';
import { target } from '../harness/target.mjs';

/** Of the long tasks among the short ones, and what the makespan may be over that of static halves. */
const orders = /** @type {const} */ ([
  ['shuffle', 'shuffled', 1.06],
  ['first', 'long ones first', 1.06],
  ['last', 'long ones last', 1.12],
  ['alt', 'long ones at every even position first', 1.08],
]);

/** @type {import('./all.mjs').Workload} */
export const skew = {
  id: 'T6',
  title: 'skewed durations',
  about:
    '2,000 tasks of a fixed amount of work, 95% of about 0.2 ms and 5% of about 20 ms, run by 2 worker processes, with nothing tuned, after a warm-up of 2,000 that do nothing. Against static halves: two processes that are each handed half of the work in one message, the longest first, with no queue at all.',

  async run(bench) {
    const n = bench.settings.quick ? 100 : 2_000;
    const tables = [];
    const targets = [];
    let notes = /** @type {string[]} */ ([]);
    for (const [order, label, most] of orders) {
      const peers = pooled(bench, 'skew', { n, order }, { python: ['apply_async', 'map'] });
      notes = peers.notes;
      const results = await bench.rounds(
        `T6, ${label}`,
        [
          { key: 'put', label: 'put', program: bench.ours('skew', { n, order, through: 'put' }) },
          { key: 'halves', label: 'static halves', program: limit('limit_static', 'W4', { n, order }) },
          { key: 'map', label: 'map', program: bench.ours('skew', { n, order, through: 'map' }) },
          ...peers.entrants,
        ],
        { rounds: 5 },
      );
      const { put, map, halves } = results;
      tables.push({
        caption: label,
        columns: /** @type {const} */ ([
          { key: 'ms', title: 'makespan', unit: 'ms', spread: true },
          { key: 'over', title: 'over static halves', unit: 'ratio' },
        ]),
        // Python's are over halves of its own, in the same program: its work is another.
        results: Object.values(results).map((result) => ({
          ...result,
          rounds: result.rounds.map((figures, round) => ({
            ...figures,
            ms: figures['seconds'] * 1000,
            over: figures['over'] ?? figures['seconds'] / halves.rounds[round]?.['seconds'],
          })),
        })),
      });
      for (const one of [put, map]) {
        const over = ratio(one, 'seconds', halves);
        targets.push(target(`${label}: ${one.label} ÷ static halves`, over, { unit: 'ratio', atMost: most }));
      }
    }
    const chart = /** @type {const} */ ({
      title: 'Skewed durations: time over static halves',
      key: 'over',
      unit: 'ratio',
    });
    return { tables, targets, notes, chart };
  },
};
