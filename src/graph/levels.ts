/**
 * How much is still to be done from the beginning of each node: the longest chain that begins with it (its "bottom
 * level"). Whoever starts the greatest first lists by critical path (Hu, 1961; Kohler, 1975).
 */
import type { Neighbours } from './digraph.ts';

/**
 * The greatest total weight over all chains that begin with each node, its own included; weights are 0 or more. `order` is
 * a topological order; without it, every node waits for nodes of lower numbers alone. Linear.
 */
export function levels(
  { starts, nodes }: Neighbours,
  weightOf: (node: number) => number,
  order?: readonly number[],
): Float64Array {
  const size = starts.length - 1;
  /** Until a node's turn has come, the greatest level of those that wait for it. */
  const found = new Float64Array(size);
  for (let at = size - 1; at >= 0; at--) {
    const node = order === undefined ? at : (order[at] as number);
    const level = (found[node] as number) + weightOf(node);
    found[node] = level;
    const end = starts[node + 1] as number;
    for (let edge = starts[node] as number; edge < end; edge++) {
      const before = nodes[edge] as number;
      if (level > (found[before] as number)) found[before] = level;
    }
  }
  return found;
}
