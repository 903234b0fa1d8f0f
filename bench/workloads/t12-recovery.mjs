import { medianOf } from '../harness/bench.mjs';
import { target } from '../harness/target.mjs';

/** @type {import('./all.mjs').Workload} */
export const recovery = {
  id: 'T12',
  title: 'recovery',
  about:
    'SIGKILL of a worker in a task, to the start of the task on the other worker, which is idle; SIGKILL of the process that holds a lock, to the grant of the next waiter, in another process.',

  async run(bench) {
    const kills = bench.settings.quick ? 3 : 50;
    const { ours } = await bench.rounds(
      'T12',
      [{ key: 'ours', label: 'recovery', program: bench.ours('recovery', { kills }, { workers: true }) }],
      { rounds: 1 },
    );
    const rows = /** @type {const} */ ([
      ['worker killed → its task starts elsewhere', 'workerP50', 'workerP99'],
      ['holder killed → next grant of the lock', 'lockP50', 'lockP99'],
    ]);
    return {
      tables: [
        {
          caption: `${kills} kills each`,
          columns: [
            { key: 'p50', title: 'p50', unit: 'ms' },
            { key: 'p99', title: 'p99', unit: 'ms' },
          ],
          results: rows.map(([label, p50, p99]) => ({
            label,
            rounds: ours.rounds.map((figures) => ({ p50: figures[p50], p99: figures[p99] })),
          })),
        },
      ],
      targets: rows.flatMap(([label, p50, p99]) => [
        target(`${label}: p50`, medianOf(ours, p50), { unit: 'ms', atMost: 10 }),
        target(`${label}: p99`, medianOf(ours, p99), { unit: 'ms', atMost: 100 }),
      ]),
    };
  },
};
