import { medianOf } from '../harness/bench.mjs';
import { target } from '../harness/target.mjs';
import { median } from '../statistics.mjs';

/** @type {import('./all.mjs').Workload} */
export const start = {
  id: 'T11',
  title: 'start and shutdown',
  about:
    'In a fresh process each round: a bare `node -e 0` from spawn to exit, then `startManager()`, `startWorkers()` of 2, `connect()` of one more client, one task, and the end of all; then `startPool()` of 2 workers with a manager of its own, and its end.',

  async run(bench) {
    const results = await bench.rounds(
      'T11',
      [{ key: 'ours', label: 'start', program: bench.ours('start', {}, { workers: true }) }],
      { rounds: 9 },
    );
    const { ours } = results;
    const times = /** @type {const} */ ([
      ['bare', 'node -e 0'],
      ['manager', 'startManager()'],
      ['group', 'startManager() and startWorkers() of 2'],
      ['connect', 'connect()'],
      ['close', 'close() of a client'],
      ['shutdown', 'close() of the workers and shutdown() of the manager'],
      ['managerEnded', 'of which shutdown() of the manager'],
      ['pool', 'startPool() with 2 workers'],
      ['poolEnded', 'close() of the pool'],
    ]);
    const overBare = (/** @type {string} */ key) => median(ours.rounds.map((all) => all[key] / all.bare));
    return {
      tables: [
        {
          caption: 'from call to promise',
          columns: [{ key: 'time', title: 'time', unit: 'ms', spread: true }],
          results: times.map(([key, label]) => ({ label, rounds: ours.rounds.map((all) => ({ time: all[key] })) })),
        },
      ],
      targets: [
        target('startManager() ÷ node -e 0', overBare('manager'), { unit: 'ratio', atMost: 2 }),
        target('startManager() and startWorkers() of 2 ÷ node -e 0', overBare('group'), { unit: 'ratio', atMost: 3.5 }),
        target('startPool() with 2 workers ÷ node -e 0', overBare('pool'), { unit: 'ratio', atMost: 3.5 }),
        target('shutdown of workers and manager', medianOf(ours, 'shutdown'), { unit: 'ms', atMost: 100 }),
      ],
    };
  },
};
