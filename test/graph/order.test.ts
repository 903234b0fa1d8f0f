import fc from 'fast-check';
import { expect, test } from 'vitest';
import { topologicalOrder } from '#qm/graph/order.js';
import { acyclicGraph, anyGraph, build, chain, hub, naiveOrder } from './oracle.ts';

test('ties go by insertion, and a node that waits comes as soon as it may', () => {
  expect(topologicalOrder(build({ size: 4, edges: [[3, 0]] }))).toEqual([1, 2, 3, 0]);
  expect(topologicalOrder(build({ size: 0, edges: [] }))).toEqual([]);
});

test('G1 there is no order of a cycle', () => {
  const edges = [
    [0, 1],
    [1, 0],
  ] as const;
  expect(topologicalOrder(build({ size: 3, edges }))).toBeUndefined();
});

test.each([
  ['any graphs', anyGraph],
  ['acyclic graphs', acyclicGraph],
] as const)('G6 random %s are ordered as by hand', (_, graphs) => {
  fc.assert(
    fc.property(graphs, (drawn) => {
      expect(topologicalOrder(build(drawn))).toEqual(naiveOrder(drawn));
    }),
    { numRuns: 5_000 },
  );
});

test('G5 a chain of 100,000 and a hub with 100,000 dependents are ordered without recursion', () => {
  const size = 100_000;
  const insertion = [...Array(size).keys()];
  expect(topologicalOrder(chain(size))).toEqual(insertion);
  expect(topologicalOrder(hub(size))).toEqual(insertion);
});
