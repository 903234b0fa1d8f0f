/** T7 of a peer that is a pool: this program submits each task of the graph once those before it have ended. */
import { drive, graphOf } from '../graphs.mjs';
import { metg } from '../limit/lib/common.mjs';
import { check, parameters, report } from '../measured.mjs';
import { openPool } from './pools/open.mjs';

const { peer, pattern, layers, width, workers, start, budget } = parameters({
  peer: 'limit',
  pattern: 'stencil_1d',
  layers: 200,
  width: 8,
  workers: 2,
  start: 256,
  budget: 45,
});

const graph = graphOf(pattern, layers, width);
const pool = await openPool(peer, workers);
await Promise.all(Array.from({ length: 64 }, () => pool.run('spin', 500))); // as the limit program
const runOnce = (/** @type {number} */ us) =>
  drive(graph, async () => {
    const output = await pool.run('spin', us);
    check(output === us, `a task gave ${String(output)}, not ${us}`);
  });
for (let i = 0; i < 4; i++) await runOnce(2);
const { metgUs, lowerUs, tried } = await metg({
  layers: 1,
  width: graph.length,
  workers,
  runOnce,
  start,
  budgetS: budget,
});
report({ n: graph.length, metgUs: metgUs ?? NaN, lowerUs, tried: tried.length });
await pool.close();
process.exit();
