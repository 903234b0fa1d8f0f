import { medianOf, peer, ratio } from '../harness/bench.mjs';
import { pooled } from '../harness/peers.mjs';
import { target } from '../harness/target.mjs';

/** @typedef {{ label: string, n: number, size: number, warmUp: number, pools?: boolean }} Size `pools`: beside them, too */

const MIB = 1 << 20;

/** @type {readonly Size[]} */
const sizes = [
  { label: '1 MiB, 200 times', n: 200, size: MIB, warmUp: 20 },
  // Most of what either does for a value is compiled by then.
  { label: '1 MiB, 200 times after 3,000', n: 200, size: MIB, warmUp: 3_000, pools: false },
  { label: '64 MiB once', n: 1, size: 64 * MIB, warmUp: 0 },
];
/** @type {readonly Size[]} */
const quickly = [{ label: '1 MiB, 5 times', n: 5, size: MIB, warmUp: 1 }];

/** @type {import('./all.mjs').Workload} */
export const payload = {
  id: 'T5',
  title: 'large payloads',
  about:
    'A Buffer there and back through a worker process, each awaited before the next, and every byte compared. Against `child_process.fork()` with `serialization: "advanced"`, where nothing stands between the two processes. MB are counted once for both ways.',

  async run(bench) {
    const tables = [];
    const targets = [];
    let notes = /** @type {string[]} */ ([]);
    for (const { label, pools = true, ...given } of bench.settings.quick ? quickly : sizes) {
      const peers = pools ? pooled(bench, 'payload', given) : { entrants: [], notes };
      notes = peers.notes;
      const results = await bench.rounds(
        `T5, ${label}`,
        [
          { key: 'ours', label: 'manager process', program: bench.ours('payload', given, { workers: true }) },
          { key: 'fork', label: 'fork, advanced', program: peer('fork-advanced', given) },
          ...peers.entrants,
        ],
        { rounds: 7 },
      );
      const { n, warmUp } = given;
      tables.push({
        caption: label,
        columns: /** @type {const} */ ([
          { key: 'mbPerSec', title: 'there and back', unit: 'mbPerSecond', spread: true },
          { key: 'ms', title: 'each', unit: 'ms' },
          { key: 'cpu', title: 'CPU, all processes', unit: 'ms' },
        ]),
        results: Object.values(results).map(({ label: name, rounds }) => ({
          label: name,
          rounds: rounds.map((figures) => ({
            ...figures,
            ms: (figures['seconds'] * 1000) / n,
            cpu: ((figures['cpuMain'] + figures['cpuManager'] + figures['cpuWorkers']) * 1000) / (n + warmUp),
          })),
        })),
      });
      const { ours, fork } = results;
      targets.push(
        target(`${label}: manager process ÷ fork`, ratio(ours, 'mbPerSec', fork), { unit: 'ratio', atLeast: 1 }),
        target(`${label}: manager process`, medianOf(ours, 'mbPerSec'), { unit: 'mbPerSecond' }),
      );
    }
    const chart = /** @type {const} */ ({ title: 'A Buffer there and back', key: 'mbPerSec', unit: 'mbPerSecond' });
    return { tables, targets, notes, chart };
  },
};
