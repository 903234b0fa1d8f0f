import fc from 'fast-check';
import { expect, test } from 'vitest';
import { criticalPath } from '#qm/graph/critical-path.js';
import { acyclicGraph, build, chain, hub, naiveLongest } from './oracle.ts';

test('counts jobs by default, and goes by weights where they are given', () => {
  const edges = [
    [0, 1],
    [1, 2],
    [0, 3],
    [3, 4],
  ] as const;
  const graph = build({ size: 5, edges });
  expect(criticalPath(graph)).toEqual({ nodes: [0, 1, 2], length: 3 });
  expect(criticalPath(graph, (node) => (node === 3 ? 10 : 1))).toEqual({ nodes: [0, 3, 4], length: 12 });
  expect(criticalPath(build({ size: 0, edges: [] }))).toEqual({ nodes: [], length: 0 });
});

test('G1 a cycle has no critical path', () => {
  expect(criticalPath(build({ size: 1, edges: [[0, 0]] }))).toBeUndefined();
});

test.each([-1, NaN, Infinity])('a weight of %s is refused', (weight) => {
  expect(() => criticalPath(chain(2), () => weight)).toThrow(
    new RangeError(`a weight must be a finite number of 0 or more, not ${weight}`),
  );
});

test('G6 random graphs and weights: a chain of the greatest weight that any chain has', () => {
  const weighted = acyclicGraph.chain((drawn) =>
    fc.tuple(fc.constant(drawn), fc.array(fc.nat(9), { minLength: drawn.size, maxLength: drawn.size })),
  );
  fc.assert(
    fc.property(weighted, ([drawn, weights]) => {
      const weightOf = (node: number): number => weights[node] as number;
      const found = criticalPath(build(drawn), weightOf);
      expect(found?.length).toBe(naiveLongest(drawn, weights));
      const nodes = found?.nodes ?? [];
      expect(nodes.reduce((sum, node) => sum + weightOf(node), 0)).toBe(found?.length);
      for (let at = 1; at < nodes.length; at++) {
        expect(drawn.edges.some(([a, b]) => a === nodes[at - 1] && b === nodes[at])).toBe(true);
      }
    }),
    { numRuns: 2_000 },
  );
});

test('G5 a chain of 100,000 and a hub with 100,000 dependents', () => {
  const size = 100_000;
  expect(criticalPath(chain(size))?.length).toBe(size);
  expect(criticalPath(hub(size))).toEqual({ nodes: [0, 1, size - 1], length: 3 });
});
