/** All workloads, in the order of their numbers. */
import { noopTasks } from './t1-noop-tasks.mjs';
import { map } from './t2-map.mjs';
import { oneCall } from './t3-one-call.mjs';
import { callsInFlight } from './t4-calls-in-flight.mjs';
import { payload } from './t5-payload.mjs';
import { skew } from './t6-skew.mjs';
import { graphGrain } from './t7-graph-grain.mjs';
import { graphCost } from './t8-graph-cost.mjs';
import { memory } from './t9-memory.mjs';
import { many } from './t10-many.mjs';
import { start } from './t11-start.mjs';
import { recovery } from './t12-recovery.mjs';

/**
 * @typedef {object} Workload
 * @property {string} id
 * @property {string} title
 * @property {string} about what is measured, for the report
 * @property {(bench: import('../harness/bench.mjs').Bench) => Promise<Outcome>} run
 *
 * @typedef {Pick<import('../harness/report.mjs').Section, 'tables' | 'targets' | 'notes' | 'chart'>} Outcome
 */

/** @type {readonly Workload[]} */
export const workloads = [
  noopTasks,
  map,
  oneCall,
  callsInFlight,
  payload,
  skew,
  graphGrain,
  graphCost,
  memory,
  many,
  start,
  recovery,
];
