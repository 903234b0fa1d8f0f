/**
 * The cycles of a graph as paths that can be shown. A graph may have exponentially many: told are each self-edge, and
 * of each set of nodes that wait for each other one cycle, the shortest through its first inserted node. Linear.
 */
import { components } from './components.ts';
import type { Digraph, Neighbours } from './digraph.ts';

/** Paths in the direction of the edges (each node comes before the next), first and last node alike; none: no cycle. */
export function cycles(graph: Digraph): number[][] {
  const dependents = graph.dependents();
  const found: number[][] = [];
  for (let node = 0; node < graph.size; node++) {
    if (hasSelfEdge(dependents, node)) found.push([node, node]);
  }
  const sets = components(graph);
  const setOf = new Uint32Array(graph.size);
  sets.forEach((members, set) => {
    for (const member of members) setOf[member] = set;
  });
  const cameFrom = new Int32Array(graph.size).fill(NOWHERE);
  for (const members of sets) {
    if (members.length > 1) found.push(shortestCycle(members[0] as number, dependents, setOf, cameFrom));
  }
  return found.sort((a, b) => (a[0] as number) - (b[0] as number) || a.length - b.length);
}

const NOWHERE = -1;

function hasSelfEdge({ starts, nodes }: Neighbours, node: number): boolean {
  const end = starts[node + 1] as number;
  for (let at = starts[node] as number; at < end; at++) if (nodes[at] === node) return true;
  return false;
}

/** Breadth first from `start` inside its set, until an edge leads back. */
function shortestCycle(
  start: number,
  { starts, nodes }: Neighbours,
  setOf: Uint32Array,
  cameFrom: Int32Array,
): number[] {
  const reached = [start];
  for (const node of reached) {
    const end = starts[node + 1] as number;
    for (let at = starts[node] as number; at < end; at++) {
      const after = nodes[at] as number;
      if (after === node || setOf[after] !== setOf[start]) continue;
      if (after === start) {
        const path = [start];
        for (let back = node; back !== NOWHERE; back = cameFrom[back] as number) path.push(back);
        return path.reverse();
      }
      if (cameFrom[after] !== NOWHERE) continue;
      cameFrom[after] = node;
      reached.push(after);
    }
  }
  throw new Error(`node ${start} is in a set of nodes that wait for each other, but no path leads back to it`);
}
