import { medianOf, ratio, withCpuEach } from '../harness/bench.mjs';
import { target } from '../harness/target.mjs';
import { median } from '../statistics.mjs';

/** Edges of each task, as in the graph of 18,000 tasks and 113,000 edges. */
const EDGES = 113 / 18;

/** @type {import('./all.mjs').Workload} */
export const graphCost = {
  id: 'T8',
  title: 'the manager’s cost of a graph',
  about:
    'CPU of the manager’s process for each job of a graph: jobs that do nothing, on 2 workers, each after others among the thousand before it, from the submission to the end of a last job that comes after all; after a warm-up of 80,000. All that a job costs is counted: reading the graph, leases, outcomes, records. An edge is what the same jobs cost more with edges than without.',

  async run(bench) {
    const { quick, full } = bench.settings;
    const tasks = quick ? 500 : 18_000;
    const many = quick ? 1_000 : full ? 1_000_000 : 100_000;
    const sized = (/** @type {number} */ count, /** @type {number} */ runs, edges = Math.round(count * EDGES)) =>
      bench.ours('graph-cost', { tasks: count, edges, runs, warm: quick ? 0 : 1 });
    const runs = quick ? 1 : 3;
    const times = quick ? '' : `, ${runs} times`;
    const again = quick ? 2 : 54;
    const number = (/** @type {number} */ count) => count.toLocaleString('en-US');
    const results = await bench.rounds(
      'T8',
      [
        {
          key: 'edges',
          label: `${number(tasks)} jobs, ${number(Math.round(tasks * EDGES))} edges${times}`,
          program: sized(tasks, runs),
        },
        { key: 'none', label: `${number(tasks)} jobs, no edges${times}`, program: sized(tasks, runs, 0) },
        {
          key: 'few',
          label: `1,000 jobs, ${number(Math.round(1000 * EDGES))} edges, ${again} times`,
          program: sized(1_000, again),
        },
        {
          key: 'many',
          label: `${number(many)} jobs, ${number(Math.round(many * EDGES))} edges`,
          program: sized(many, 1),
        },
      ],
      { rounds: 5, ...(full ? { timeout: 600_000 } : {}) },
    );
    const each = Object.fromEntries(
      Object.entries(results).map(([key, result]) => [
        key,
        withCpuEach({ [key]: result }, result.rounds[0]?.['n'] ?? NaN)[key],
      ]),
    );
    const { edges, none } = results;
    const edge = median(
      edges.rounds.map(
        ({ cpuManager, edges: count }, round) => ((cpuManager - none.rounds[round]?.['cpuManager']) * 1e6) / count,
      ),
    );
    return {
      tables: [
        {
          caption: 'CPU for each job',
          columns: [
            { key: 'cpuManager', title: 'manager', unit: 'µs', spread: true },
            { key: 'cpuMain', title: 'main', unit: 'µs' },
            { key: 'cpuWorkers', title: 'workers', unit: 'µs' },
            { key: 'perSec', title: 'jobs', unit: 'perSecond' },
          ],
          results: Object.values(each),
        },
      ],
      targets: [
        target('a job without edges', medianOf(none, 'each'), { unit: 'µs', atMost: 3 }),
        target('an edge', edge, { unit: 'µs', atMost: 0.5 }),
        target('a job of many ÷ of 1,000', ratio(results['many'], 'each', results['few']), {
          unit: 'ratio',
          atMost: 1.3,
        }),
      ],
    };
  },
};
