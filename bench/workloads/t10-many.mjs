import { medianOf } from '../harness/bench.mjs';
import { target } from '../harness/target.mjs';
import { interval } from '../statistics.mjs';

/** @type {readonly (readonly [what: string, count: number, label: string])[]} */
const crowds = [
  ['connections', 1_000, 'idle connections'],
  ['waiters', 1_000, 'waiters on one lock'],
  ['objects', 10_000, 'named objects'],
];

/** @type {import('./all.mjs').Workload} */
export const many = {
  id: 'T10',
  title: 'many that are there and do nothing',
  about:
    'CPU for each no-op task, of all processes but the crowd’s, with a crowd that does nothing and without it: two managers side by side, each with 2 workers and 6 clients that put 20,000 tasks, measured in turn, 4 times each in a program. The interval holds the true median with about 99%: the order of the rounds’ ratios says so, whatever their distribution.',

  async run(bench) {
    const { quick } = bench.settings;
    const tables = [];
    const targets = [];
    for (const [what, full, label] of crowds) {
      const count = quick ? full / 10 : full;
      const program = bench.ours('many', { what, count, ...(quick ? { n: 600, turns: 1 } : {}) }, { workers: true });
      const named = `${count.toLocaleString('en-US')} ${label}`;
      const { crowd } = await bench.rounds(`T10, ${label}`, [{ key: 'crowd', label: named, program }], { rounds: 11 });
      const ratios = crowd.rounds.map((figures) => figures['ratio']);
      const [low, high] = interval(ratios);
      tables.push({
        caption: named,
        columns: /** @type {const} */ ([{ key: 'cpu', title: 'CPU per task', unit: 'µs', spread: true }]),
        results: [
          { label: 'without', rounds: crowd.rounds.map(({ few }) => ({ cpu: few })) },
          { label: 'with', rounds: crowd.rounds.map(({ many: cpu }) => ({ cpu })) },
        ],
      });
      const between = Number.isNaN(low) ? '' : ` (99%: ${low.toFixed(2)} … ${high.toFixed(2)})`;
      targets.push(
        target(`${named}: with ÷ without${between}`, medianOf(crowd, 'ratio'), { unit: 'ratio', atMost: 1.1 }),
      );
    }
    return { tables, targets };
  },
};
