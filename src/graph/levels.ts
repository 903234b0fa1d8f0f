/**
 * How much is still to be done from the beginning of each node: the longest chain that begins with it (its "bottom
 * level"). Whoever starts the greatest first lists by critical path (Hu, 1961; Kohler, 1975).
 */
import type { Digraph } from './digraph.ts';

/**
 * The greatest total weight over all chains that begin with each node, its own included. `order` is a topological order of
 * the graph; weights are 0 or more. Linear.
 */
export function levels(graph: Digraph, order: readonly number[], weightOf: (node: number) => number): Float64Array {
  const { starts, nodes } = graph.dependents();
  const found = new Float64Array(graph.size);
  for (let at = order.length - 1; at >= 0; at--) {
    const node = order[at] as number;
    let longest = 0;
    const end = starts[node + 1] as number;
    for (let edge = starts[node] as number; edge < end; edge++) {
      const level = found[nodes[edge] as number] as number;
      if (level > longest) longest = level;
    }
    found[node] = longest + weightOf(node);
  }
  return found;
}
