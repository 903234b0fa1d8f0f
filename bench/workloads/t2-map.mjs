import { limit, peer, ratio, withCpuEach } from '../harness/bench.mjs';
import { pooled } from '../harness/peers.mjs';
import { target } from '../harness/target.mjs';

/** Inputs for each message, where a peer has to be told. */
const CHUNK = 1_000;

/** @type {import('./all.mjs').Workload} */
export const map = {
  id: 'T2',
  title: 'map over tiny inputs',
  about: `\`map\` over inputs \`{ i } → i + 1\`, run by 2 worker processes, no chunk size given; after a whole map of the same as a warm-up. Python's \`Pool.map\` chooses its chunks itself, too; the others are sent ${CHUNK.toLocaleString('en-US')} inputs with each message.`,

  async run(bench) {
    const n = bench.settings.quick ? 10_000 : 2_000_000;
    const peers = pooled(bench, 'map', { n, chunk: CHUNK }, { python: ['map'], always: true });
    const rounds = await bench.rounds(
      'T2',
      [
        { key: 'ours', label: 'map', program: bench.ours('map', { n }, { workers: true }) },
        { key: 'bare', label: 'limit', program: limit('limit_mgr', 'W1b', { credit: 4, chunk: CHUNK, n }) },
        { key: 'fork', label: 'fork, JSON', program: peer('fork-json', { n, window: 4, chunk: CHUNK }) },
        ...peers.entrants,
      ],
      { rounds: 5 },
    );
    const results = withCpuEach(rounds, n);
    const { ours, bare, fork, 'python-map': mapped } = results;
    const atLeast = (/** @type {string} */ label, /** @type {import('../harness/bench.mjs').Result} */ than) =>
      target(`map ÷ ${label}`, ratio(ours, 'perSec', than), { unit: 'ratio', atLeast: 1 });
    return {
      tables: [
        {
          caption: `n = ${n.toLocaleString('en-US')}`,
          columns: /** @type {const} */ ([
            { key: 'perSec', title: 'inputs', unit: 'perSecond', spread: true },
            { key: 'cpu', title: 'CPU per input', unit: 'µs' },
            { key: 'cpuMain', title: 'main', unit: 'µs' },
            { key: 'cpuManager', title: 'manager', unit: 'µs' },
            { key: 'cpuWorkers', title: 'workers', unit: 'µs' },
          ]),
          results: Object.values(results),
        },
      ],
      targets: [
        ...(mapped === undefined ? [] : [atLeast('Pool.map', mapped)]),
        target('map ÷ limit', ratio(ours, 'perSec', bare), { unit: 'ratio', aim: 0.7, more: true }),
        atLeast('fork, JSON', fork),
      ],
      notes: peers.notes,
      chart: { title: 'map, inputs a second', key: 'perSec', unit: 'perSecond' },
    };
  },
};
