import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cycles } from '#qm/graph/cycles.js';
import { anyGraph, build, chain, type Drawn, reachability } from './oracle.ts';

test('G1 a self-edge is a cycle of one', () => {
  expect(cycles(build({ size: 2, edges: [[1, 1]] }))).toEqual([[1, 1]]);
  const both = [
    [0, 0],
    [0, 1],
    [1, 0],
  ] as const;
  expect(cycles(build({ size: 2, edges: both }))).toEqual([
    [0, 0],
    [0, 1, 0],
  ]);
});

test('G1 the path goes along the edges and ends where it began, past what is no part of it', () => {
  const edges: Drawn['edges'] = [
    [0, 1],
    [1, 3],
    [3, 2],
    [2, 1],
    [3, 4],
  ];
  expect(cycles(build({ size: 5, edges }))).toEqual([[1, 3, 2, 1]]);
});

test('G1 cycles that have nothing to do with each other are all told, shortest way round first', () => {
  const edges: Drawn['edges'] = [
    [5, 4],
    [4, 5],
    [0, 1],
    [1, 2],
    [2, 0],
    [1, 0],
    [2, 2],
  ];
  expect(cycles(build({ size: 6, edges }))).toEqual([
    [0, 1, 0],
    [2, 2],
    [4, 5, 4],
  ]);
});

test('G1 random graphs: a path is told exactly for those with a cycle, and each step of it is an edge', () => {
  fc.assert(
    fc.property(anyGraph, (drawn) => {
      const reach = reachability(drawn);
      const cyclic = [...Array(drawn.size).keys()].filter((node) => reach[node]?.[node]);
      const found = cycles(build(drawn));
      const told = new Set(found.flat());
      for (const path of found) {
        expect(path.length).toBeGreaterThan(1);
        expect(path.at(-1)).toBe(path[0]);
        expect(new Set(path).size).toBe(path.length - 1);
        for (let at = 1; at < path.length; at++) {
          expect(drawn.edges.some(([a, b]) => a === path[at - 1] && b === path[at])).toBe(true);
        }
      }
      // Of every set of nodes that wait for each other, some cycle is told.
      for (const node of cyclic) {
        const set = cyclic.filter((other) => other === node || (reach[node]?.[other] && reach[other]?.[node]));
        expect(set.some((member) => told.has(member))).toBe(true);
      }
    }),
    { numRuns: 3_000 },
  );
});

test('G5 a cycle of 100,000 is found without recursion', () => {
  const size = 100_000;
  const graph = chain(size);
  expect(cycles(graph)).toEqual([]);
  graph.addEdge(size - 1, 0);
  const [path] = cycles(graph);
  expect(path).toHaveLength(size + 1);
  expect(path?.slice(0, 3)).toEqual([0, 1, 2]);
});
