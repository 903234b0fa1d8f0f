import { limit, ratio, withCpuEach } from '../harness/bench.mjs';
import { target } from '../harness/target.mjs';

/** Calls that are not timed, but whose CPU counts: limit programs tell no CPU without it. */
const WARM_UP = 5_000;

/** @type {import('./all.mjs').Workload} */
export const callsInFlight = {
  id: 'T4',
  title: '100 calls in flight',
  about:
    'One client, 100 calls outstanding at any time, after a warm-up of 5,000: without payload, add of a counter; with small values, set and get of a dict (encoded and decoded by the client alone) and a method of a custom type that returns what it is given (encoded and decoded at both ends).',

  async run(bench) {
    const n = bench.settings.quick ? 2_000 : 100_000;
    const rounds = await bench.rounds(
      'T4',
      [
        { key: 'counter', label: 'counter: add', program: bench.ours('calls-in-flight', { n, call: 'counter' }) },
        { key: 'bare', label: 'limit: echo of 40 bytes', program: limit('limit_net', 'E100', { n }) },
        { key: 'dict', label: 'dict: set, get', program: bench.ours('calls-in-flight', { n, call: 'dict' }) },
        { key: 'custom', label: 'custom type: echo', program: bench.ours('calls-in-flight', { n, call: 'custom' }) },
      ],
      { rounds: 5 },
    );
    const results = withCpuEach(rounds, n + Math.min(n, WARM_UP));
    const { counter, bare, dict, custom } = results;
    return {
      tables: [
        {
          caption: `${n.toLocaleString('en-US')} calls`,
          columns: [
            { key: 'perSec', title: 'calls', unit: 'perSecond', spread: true },
            { key: 'p50us', title: 'p50', unit: 'µs' },
            { key: 'p99us', title: 'p99', unit: 'µs' },
            { key: 'cpu', title: 'CPU per call', unit: 'µs' },
            { key: 'cpuMain', title: 'client', unit: 'µs' },
            { key: 'cpuManager', title: 'manager', unit: 'µs' },
          ],
          results: Object.values(results),
        },
      ],
      targets: [
        target('without payload ÷ limit', ratio(counter, 'perSec', bare), { unit: 'ratio', atLeast: 0.7 }),
        target('without payload, CPU ÷ limit', ratio(counter, 'cpu', bare), { unit: 'ratio' }),
        target('values, dict ÷ limit', ratio(dict, 'perSec', bare), { unit: 'ratio', atLeast: 0.5 }),
        target('values, custom type ÷ limit', ratio(custom, 'perSec', bare), { unit: 'ratio', atLeast: 0.5 }),
      ],
    };
  },
};
