/**
 * Graphs of tasks, layer by layer: the dependence patterns of Task Bench (Slaughter et al., SC20), a random one, and how
 * a program whose pool knows of no dependencies runs them.
 */

/**
 * By the number of each task: the tasks that it comes after, all of lower numbers.
 *
 * @typedef {readonly (readonly number[])[]} Graph
 */

export const patterns = /** @type {const} */ (['trivial', 'stencil_1d', 'fft', 'tree', 'nearest']);

/**
 * What the task at `at` of layer `layer` comes after, in the layer before it; the stencil goes round, as the limit's.
 *
 * @type {Record<string, (at: number, width: number, layer: number) => number[]>}
 */
const before = {
  trivial: () => [],
  stencil_1d: (at, width) => [(at + width - 1) % width, at, (at + 1) % width],
  fft: (at, width, layer) => {
    const far = 2 ** ((layer - 1) % Math.log2(width));
    return [at - far, at, at + far].filter((each) => each >= 0 && each < width);
  },
  tree: (at, width, layer) => [2 ** layer <= width ? at >> 1 : at],
  nearest: (at, width) => [at - 2, at - 1, at, at + 1, at + 2].filter((each) => each >= 0 && each < width),
};

/**
 * @param {string} pattern
 * @param {number} layers
 * @param {number} width a power of two
 * @returns {Graph}
 */
export function graphOf(pattern, layers, width) {
  /** @type {number[][]} */
  const graph = [];
  let last = 0;
  for (let layer = 0; layer < layers; layer++) {
    const first = graph.length;
    const wide = pattern === 'tree' ? Math.min(width, 2 ** layer) : width;
    for (let at = 0; at < wide; at++) {
      graph.push(layer === 0 ? [] : before[pattern](at, width, layer).map((each) => last + each));
    }
    last = first;
  }
  return graph;
}

/**
 * `tasks` tasks and about `edges` edges, each to one of the thousand tasks before.
 *
 * @param {number} tasks
 * @param {number} edges
 * @returns {Graph}
 */
export function randomGraph(tasks, edges) {
  let seed = 7;
  const random = (/** @type {number} */ below) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  let left = edges;
  return Array.from({ length: tasks }, (_, task) => {
    const share = Math.min(task, Math.round(left / (tasks - task)));
    const after = new Set(Array.from({ length: share }, () => task - 1 - random(Math.min(task, 1000))));
    left -= after.size;
    return [...after];
  });
}

/**
 * Submits each task once those before it have ended, and resolves when all have.
 *
 * @param {Graph} graph
 * @param {(task: number) => Promise<unknown>} submit
 * @returns {Promise<number>} seconds
 */
export function drive(graph, submit) {
  const missing = graph.map((after) => after.length);
  const dependents = dependentsOf(graph);
  return new Promise((resolve, reject) => {
    const start = performance.now();
    let open = graph.length;
    const ended = (/** @type {number} */ task) => {
      if (--open === 0) resolve((performance.now() - start) / 1000);
      for (const next of dependents[task]) if (--missing[next] === 0) run(next);
    };
    const run = (/** @type {number} */ task) => void submit(task).then(() => ended(task), reject);
    graph.forEach((after, task) => {
      if (after.length === 0) run(task);
    });
  });
}

/** @param {Graph} graph */
function dependentsOf(graph) {
  /** @type {number[][]} */
  const dependents = graph.map(() => []);
  graph.forEach((after, task) => after.forEach((each) => dependents[each].push(task)));
  return dependents;
}
