/** A topological order: every node after the nodes it waits for, and otherwise in order of insertion. */
import type { Digraph } from './digraph.ts';
import { Readiness } from './readiness.ts';

/**
 * Of the nodes that could come next, the one inserted first comes next. Undefined when the graph has a cycle.
 * O(edges + nodes · log nodes); O(nodes) where every edge leads forward.
 */
export function topologicalOrder(graph: Digraph): number[] | undefined {
  if (graph.forward) return Array.from({ length: graph.size }, (_, node) => node);
  const readiness = new Readiness(graph);
  const candidates = new Lowest(graph.size);
  const order: number[] = [];
  for (;;) {
    for (const node of readiness.ready()) candidates.add(node);
    const next = candidates.take();
    if (next === undefined) return order.length === graph.size ? order : undefined;
    order.push(next);
    readiness.done(next);
  }
}

/** A binary heap of node numbers. */
class Lowest {
  readonly #nodes: Uint32Array;
  #size = 0;

  constructor(capacity: number) {
    this.#nodes = new Uint32Array(capacity);
  }

  add(node: number): void {
    const nodes = this.#nodes;
    let at = this.#size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = nodes[parent] as number;
      if (above <= node) break;
      nodes[at] = above;
      at = parent;
    }
    nodes[at] = node;
  }

  take(): number | undefined {
    if (this.#size === 0) return undefined;
    const nodes = this.#nodes;
    const lowest = nodes[0] as number;
    const last = nodes[--this.#size] as number;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.#size) break;
      if (child + 1 < this.#size && (nodes[child + 1] as number) < (nodes[child] as number)) child++;
      const below = nodes[child] as number;
      if (below >= last) break;
      nodes[at] = below;
      at = child;
    }
    nodes[at] = last;
    return lowest;
  }
}
