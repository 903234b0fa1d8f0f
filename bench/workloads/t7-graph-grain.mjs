import { patterns } from '../graphs.mjs';
import { limit, peer, ratio } from '../harness/bench.mjs';
import { labelOf } from '../harness/peers.mjs';
import { target } from '../harness/target.mjs';

/** The tasks of a graph: layers of eight. */
const WIDTH = 8;
/** The first length (µs) that is tried: near to what is found. */
const START = 128;
/** Seconds that the search for one figure takes at most. */
const BUDGET = 3;

/** @type {import('./all.mjs').Workload} */
export const graphGrain = {
  id: 'T7',
  title: 'the grain of a graph',
  about:
    'METG(50%) as Task Bench defines it: the smallest length of a task with which 2 busy workers still reach half of the ideal rate, in graphs of 200 layers of 8 tasks by its patterns (the stencil goes round; a layer of the tree has twice as many as the one before, up to 8). Ours is a job graph that the manager moves, every output awaited, and no job may start before those it comes after; the others are moved by their main process, the limit with 4 tasks ahead at each worker. Less is better. A µs of work is as many steps of a loop as this machine does in that time with two cores busy, measured before the first round. Where half of the ideal rate is never reached, as on a busy machine, there is no figure.',

  async run(bench) {
    const { quick, peers, patterns: asked } = bench.settings;
    const layers = quick ? 4 : 200;
    const given = { layers, width: WIDTH, start: quick ? 256 : START, budget: quick ? 0.1 : BUDGET };
    const spinRate = quick ? undefined : await bench.spinRate();
    const tables = [];
    const targets = [];
    for (const pattern of patterns.filter((one) => asked.length === 0 || asked.includes(one))) {
      const ofPeer = (/** @type {string} */ name) => ({
        ...peer('graph', { ...given, peer: name, pattern }),
        spinRate,
      });
      const bare =
        pattern === 'stencil_1d' && !quick
          ? { ...limit('limit_mgr', 'W5', { layers, width: WIDTH, credit: 4, start: START }), spinRate }
          : ofPeer('limit');
      const ours = { ...bench.ours('graph', { ...given, pattern }), spinRate };
      const piscina = () => ({ key: 'piscina', label: `${labelOf('piscina')} (threads)`, program: ofPeer('piscina') });
      const results = await bench.rounds(
        `T7, ${pattern}`,
        [
          { key: 'ours', label: 'manager process', program: ours },
          { key: 'bare', label: 'limit', program: bare },
          { key: 'fork', label: 'fork, JSON, 4 outstanding each', program: ofPeer('fork') },
          ...(peers ? [piscina()] : []),
        ],
        { rounds: 9 },
      );
      tables.push({
        caption: pattern,
        columns: /** @type {const} */ ([{ key: 'metgUs', title: 'METG(50%)', unit: 'µs', spread: true }]),
        results: Object.values(results),
      });
      for (const [key, atMost] of /** @type {const} */ ([
        ['bare', 1.5],
        ['fork', 1],
        ['piscina', 1],
      ])) {
        if (results[key] === undefined) continue;
        const what = `${pattern}: manager process ÷ ${results[key].label}`;
        targets.push(target(what, ratio(results['ours'], 'metgUs', results[key]), { unit: 'ratio', atMost }));
      }
    }
    const chart = /** @type {const} */ ({ title: 'METG(50%) by pattern: less is better', key: 'metgUs', unit: 'µs' });
    return { tables, targets, chart };
  },
};
