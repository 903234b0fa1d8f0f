import { limit, medianOf, peer, ratio, withCpuEach } from '../harness/bench.mjs';
import { isThere, pythonProgram } from '../harness/peers.mjs';
import { target } from '../harness/target.mjs';

/** Calls that are not timed, but whose CPU counts: limit programs tell no CPU without it. */
const WARM_UP = 4_000;

/** @type {import('./all.mjs').Workload} */
export const oneCall = {
  id: 'T3',
  title: 'one proxy call at a time',
  about:
    'One client, each call awaited before the next: put and getNowait of a queue, set and get of a dict, with the value `{ id: 1, fn: "noop", arg: { i: 1 } }`; after a warm-up of 4,000 calls.',

  async run(bench) {
    const n = bench.settings.quick ? 200 : 5_000;
    const rounds = await bench.rounds(
      'T3',
      [
        { key: 'queue', label: 'queue', program: bench.ours('one-call', { n, object: 'queue' }) },
        { key: 'bareQueue', label: 'limit, queue', program: limit('limit_net', 'W2q', { n }) },
        { key: 'dict', label: 'dict', program: bench.ours('one-call', { n, object: 'dict' }) },
        { key: 'bareDict', label: 'limit, dict', program: limit('limit_net', 'W2d', { n }) },
        ...peers(bench, n),
      ],
      { rounds: 5 },
    );
    const results = withCpuEach(rounds, 2 * n + WARM_UP);
    const { queue, bareQueue, dict, bareDict } = results;
    const both = /** @type {const} */ ([
      ['queue', queue, bareQueue],
      ['dict', dict, bareDict],
    ]);
    return {
      tables: [
        {
          caption: `${(2 * n).toLocaleString('en-US')} calls`,
          columns: [
            { key: 'p50us', title: 'p50', unit: 'µs', spread: true },
            { key: 'p99us', title: 'p99', unit: 'µs', spread: true },
            { key: 'cpu', title: 'CPU per call', unit: 'µs' },
            { key: 'cpuMain', title: 'client', unit: 'µs' },
            { key: 'cpuManager', title: 'manager', unit: 'µs' },
          ],
          results: Object.values(results),
        },
      ],
      targets: both.flatMap(([name, ours, bare]) => [
        target(`${name}: p50 ÷ limit`, ratio(ours, 'p50us', bare), { unit: 'ratio', atMost: 1.15 }),
        target(`${name}: p99 ÷ limit`, ratio(ours, 'p99us', bare), { unit: 'ratio', atMost: 1 }),
        target(`${name}: p50`, medianOf(ours, 'p50us'), { unit: 'µs', aim: 25 }),
      ]),
    };
  },
};

/**
 * @param {import('../harness/bench.mjs').Bench} bench
 * @param {number} n
 * @returns {import('../harness/bench.mjs').Entrant[]}
 */
function peers({ settings }, n) {
  if (!settings.peers) return [];
  return /** @type {const} */ (['queue', 'dict']).flatMap((object) => {
    const redis = {
      key: `redis-${object}`,
      label: `Redis by ioredis, ${object}`,
      program: peer('redis-calls', { n, object }),
    };
    const python = {
      key: `python-${object}`,
      label: `Python Manager, ${object}`,
      program: pythonProgram('manager', { n, object }),
    };
    return [...(isThere('redis-server') ? [redis] : []), ...(isThere('python3') ? [python] : [])];
  });
}
