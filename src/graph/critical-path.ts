/** The critical path: the chain of nodes that no number of workers can make shorter (Kelley and Walker, 1959). */
import type { Digraph } from './digraph.ts';
import { topologicalOrder } from './order.ts';

export interface LongestChain {
  /** First to last; empty for an empty graph. */
  readonly nodes: readonly number[];
  /** The sum of their weights. */
  readonly length: number;
}

/**
 * The chain of the greatest total weight; of equal ones, the one whose nodes were inserted first, seen from its end.
 * Weights are 0 or more (RangeError otherwise), by default 1 each. Undefined when the graph has a cycle.
 */
export function criticalPath(graph: Digraph, weightOf: (node: number) => number = () => 1): LongestChain | undefined {
  const order = topologicalOrder(graph);
  if (order === undefined) return undefined;
  const { starts, nodes } = graph.dependencies();
  /** Weight of the longest chain that ends with a node, and the node before it on that chain. */
  const length = new Float64Array(graph.size);
  const previous = new Int32Array(graph.size).fill(NONE);
  let last = NONE;
  for (const node of order) {
    const weight = weightOf(node);
    if (!(weight >= 0 && weight < Infinity)) {
      throw new RangeError(`a weight must be a finite number of 0 or more, not ${weight}`);
    }
    let before = NONE;
    const end = starts[node + 1] as number;
    for (let at = starts[node] as number; at < end; at++) {
      const candidate = nodes[at] as number;
      if (before === NONE || better(candidate, before, length)) before = candidate;
    }
    previous[node] = before;
    length[node] = weight + (before === NONE ? 0 : (length[before] as number));
    if (last === NONE || better(node, last, length)) last = node;
  }
  if (last === NONE) return { nodes: [], length: 0 };
  const chain: number[] = [];
  for (let node = last; node !== NONE; node = previous[node] as number) chain.push(node);
  return { nodes: chain.reverse(), length: length[last] as number };
}

const NONE = -1;

function better(a: number, b: number, length: Float64Array): boolean {
  const difference = (length[a] as number) - (length[b] as number);
  return difference > 0 || (difference === 0 && a < b);
}
