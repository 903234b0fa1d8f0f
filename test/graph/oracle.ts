/** Random graphs, and the slow and obvious answers that the fast ones are held against. */
import fc from 'fast-check';
import { Digraph } from '#qm/graph/digraph.js';

export type Edge = readonly [before: number, after: number];

export interface Drawn {
  readonly size: number;
  readonly edges: readonly Edge[];
}

export function build({ size, edges }: Drawn): Digraph {
  const graph = new Digraph(size);
  for (const [before, after] of edges) graph.addEdge(before, after);
  return graph;
}

/** Any graph: cycles, self-edges and repeated edges come as they come. */
export const anyGraph: fc.Arbitrary<Drawn> = fc.integer({ min: 1, max: 9 }).chain((size) => {
  const node = fc.integer({ min: 0, max: size - 1 });
  return fc.record({ size: fc.constant(size), edges: fc.array(fc.tuple(node, node), { maxLength: 2 * size }) });
});

/** A graph without cycles, whose edges also lead from later nodes to earlier ones. */
export const acyclicGraph: fc.Arbitrary<Drawn> = fc.integer({ min: 1, max: 12 }).chain((size) =>
  fc
    .record({
      places: fc.shuffledSubarray([...Array(size).keys()], { minLength: size }),
      edges: fc.array(fc.tuple(fc.nat(size - 1), fc.nat(size - 1)), { maxLength: 3 * size }),
    })
    .map(({ places, edges }) => ({
      size,
      edges: edges
        .filter(([a, b]) => a !== b)
        .map(([a, b]): Edge => ((places[a] as number) < (places[b] as number) ? [a, b] : [b, a])),
    })),
);

/** Which nodes can be reached from which over one edge or more (Warshall). */
export function reachability({ size, edges }: Drawn): boolean[][] {
  const reach = Array.from({ length: size }, () => Array<boolean>(size).fill(false));
  const row = (node: number): boolean[] => reach[node] as boolean[];
  for (const [before, after] of edges) row(before)[after] = true;
  for (let via = 0; via < size; via++) {
    for (let from = 0; from < size; from++) {
      for (let to = 0; to < size; to++) if (row(from)[via] && row(via)[to]) row(from)[to] = true;
    }
  }
  return reach;
}

/** Takes, again and again, the first node whose dependencies have all been taken. */
export function naiveOrder({ size, edges }: Drawn): number[] | undefined {
  const order: number[] = [];
  while (order.length < size) {
    const next = [...Array(size).keys()].find(
      (node) => !order.includes(node) && edges.every(([before, after]) => after !== node || order.includes(before)),
    );
    if (next === undefined) return undefined;
    order.push(next);
  }
  return order;
}

/** The greatest total weight over all chains, every one of them tried. */
export function naiveLongest({ size, edges }: Drawn, weights: readonly number[]): number {
  const from = (node: number): number =>
    (weights[node] as number) +
    Math.max(0, ...edges.filter(([before]) => before === node).map(([, after]) => from(after)));
  return Math.max(0, ...[...Array(size).keys()].map(from));
}

/** 0 → 1 → 2 → … */
export function chain(size: number): Digraph {
  const graph = new Digraph(size);
  for (let node = 1; node < size; node++) graph.addEdge(node - 1, node);
  return graph;
}

/** Everything waits for node 0, and the last node waits for everything. */
export function hub(size: number): Digraph {
  const graph = new Digraph(size);
  for (let node = 1; node < size - 1; node++) {
    graph.addEdge(0, node);
    graph.addEdge(node, size - 1);
  }
  return graph;
}
