/**
 * Strongly connected components: the sets of nodes that all wait for each other, by R. Tarjan, "Depth-first search and
 * linear graph algorithms" (1972), with the recursion turned into a work list. Linear in nodes and edges.
 */
import type { Digraph } from './digraph.ts';

const UNSEEN = 0;

/**
 * Every node is in exactly one component; alone, unless it is part of a cycle. Members in order of insertion;
 * components so that each comes after those it waits for.
 */
export function components(graph: Digraph): number[][] {
  const { size } = graph;
  // Along the dependencies: a component is complete only when all that it waits for are.
  const { starts, nodes } = graph.dependencies();
  /** When a node was first seen, from 1. */
  const seen = new Uint32Array(size);
  /** The earliest node of the open stack that can be reached from here. */
  const low = new Uint32Array(size);
  const closed = new Uint8Array(size);
  /** Where the walk of a node's edges goes on. */
  const next = starts.slice(0, size);
  const open: number[] = [];
  const path: number[] = [];
  const found: number[][] = [];
  let time = 0;
  for (let root = 0; root < size; root++) {
    if (seen[root] !== UNSEEN) continue;
    path.push(root);
    while (path.length > 0) {
      const node = path[path.length - 1] as number;
      if (seen[node] === UNSEEN) {
        seen[node] = low[node] = ++time;
        open.push(node);
      }
      const at = next[node] as number;
      if (at < (starts[node + 1] as number)) {
        next[node] = at + 1;
        const before = nodes[at] as number;
        if (seen[before] === UNSEEN) path.push(before);
        else if (closed[before] === 0) low[node] = Math.min(low[node] as number, seen[before] as number);
        continue;
      }
      path.pop();
      const parent = path[path.length - 1];
      if (parent !== undefined) low[parent] = Math.min(low[parent] as number, low[node] as number);
      if (low[node] !== seen[node]) continue;
      const members = open.splice(open.lastIndexOf(node));
      for (const member of members) closed[member] = 1;
      found.push(members.sort((a, b) => a - b));
    }
  }
  return found;
}
