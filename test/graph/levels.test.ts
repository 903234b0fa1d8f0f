import fc from 'fast-check';
import { expect, test } from 'vitest';
import { levels } from '#qm/graph/levels.js';
import { topologicalOrder } from '#qm/graph/order.js';
import { acyclicGraph, build, chain, hub, naiveLongest } from './oracle.ts';

test('the level of a node is the longest chain that begins with it', () => {
  fc.assert(
    fc.property(acyclicGraph, fc.infiniteStream(fc.nat(9)), (drawn, numbers) => {
      const graph = build(drawn);
      const weights = Array.from({ length: drawn.size }, () => numbers.next().value as number);
      const found = levels(graph.dependencies(), (node) => weights[node]!, topologicalOrder(graph));
      for (let node = 0; node < drawn.size; node++) {
        // Of what can be reached from the node, itself included, the longest chain: all others weigh less than nothing.
        const reached = new Set([node]);
        for (const one of reached) for (const [before, after] of drawn.edges) if (before === one) reached.add(after);
        const within = drawn.edges.filter(([before]) => reached.has(before));
        const only = weights.map((weight, at) => (reached.has(at) ? weight : 0));
        expect(found[node]).toBe(naiveLongest({ size: drawn.size, edges: within }, only));
      }
    }),
  );
});

test('G5 a chain of 100,000 and a hub with 100,000 dependents', () => {
  const size = 100_000;
  for (const [graph, longest] of [
    [chain(size), size],
    [hub(size), 3],
  ] as const) {
    const found = levels(graph.dependencies(), () => 1, topologicalOrder(graph));
    expect([found[0], found[size - 1]]).toEqual([longest, 1]);
  }
});
