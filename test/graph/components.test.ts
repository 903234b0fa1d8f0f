import fc from 'fast-check';
import { expect, test } from 'vitest';
import { components } from '#qm/graph/components.js';
import { anyGraph, build, chain, hub, reachability } from './oracle.ts';

test('nodes that wait for each other are one component, the others stand alone, first what runs first', () => {
  const drawn = {
    size: 6,
    edges: [
      [4, 3],
      [3, 1],
      [1, 4],
      [4, 0],
      [2, 4],
      [5, 5],
    ] as const,
  };
  expect(components(build(drawn))).toEqual([[2], [1, 3, 4], [0], [5]]);
});

test('random graphs: two nodes share a component exactly when each can be reached from the other', () => {
  fc.assert(
    fc.property(anyGraph, (drawn) => {
      const reach = reachability(drawn);
      const found = components(build(drawn));
      expect(found.flat().toSorted((a, b) => a - b)).toEqual([...Array(drawn.size).keys()]);
      const setOf = (node: number): number => found.findIndex((members) => members.includes(node));
      for (const members of found) expect(members).toEqual(members.toSorted((a, b) => a - b));
      for (let a = 0; a < drawn.size; a++) {
        for (let b = 0; b < drawn.size; b++) {
          const together = a === b || Boolean(reach[a]?.[b] && reach[b]?.[a]);
          expect(setOf(a) === setOf(b)).toBe(together);
        }
      }
      for (const [before, after] of drawn.edges) expect(setOf(before)).toBeLessThanOrEqual(setOf(after));
    }),
    { numRuns: 1_000 },
  );
});

test('G5 chains, cycles and hubs of 100,000 need no recursion', () => {
  const size = 100_000;
  expect(components(chain(size))).toHaveLength(size);
  const ring = chain(size);
  ring.addEdge(size - 1, 0);
  expect(components(ring)).toHaveLength(1);
  expect(components(hub(size))).toHaveLength(size);
});
