import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Readiness } from '#qm/graph/readiness.js';
import { acyclicGraph, build, chain, hub } from './oracle.ts';

test('G6 the join of a diamond is ready once, after both its sides', () => {
  const edges = [
    [0, 1],
    [0, 2],
    [1, 3],
    [2, 3],
  ] as const;
  const readiness = new Readiness(build({ size: 4, edges }));
  expect(readiness.ready()).toEqual([0]);
  expect(readiness.ready()).toEqual([]);
  readiness.done(0);
  expect(readiness.ready()).toEqual([1, 2]);
  readiness.done(2);
  expect(readiness.ready()).toEqual([]);
  expect(readiness.active).toBe(true);
  readiness.done(1);
  expect(readiness.ready()).toEqual([3]);
  readiness.done(3);
  expect([readiness.active, readiness.ready()]).toEqual([false, []]);
});

test('only what was handed out can be done, and only once', () => {
  const readiness = new Readiness(chain(2));
  expect(() => readiness.done(0)).toThrow(new RangeError('node 0 is not running'));
  readiness.ready();
  expect(() => readiness.done(1)).toThrow(new RangeError('node 1 is not running'));
  expect(() => readiness.done(7)).toThrow(RangeError);
  readiness.done(0);
  expect(() => readiness.done(0)).toThrow(new RangeError('node 0 is done already'));
});

test('G1 what waits for itself is never handed out', () => {
  const edges = [
    [0, 1],
    [1, 2],
    [2, 1],
  ] as const;
  const readiness = new Readiness(build({ size: 3, edges }));
  expect(readiness.ready()).toEqual([0]);
  readiness.done(0);
  expect([readiness.active, readiness.ready()]).toEqual([false, []]);
});

test('G6 random graphs, ended in random order: each node is handed out once, as soon as all before it are done', () => {
  fc.assert(
    fc.property(acyclicGraph, fc.infiniteStream(fc.nat()), (drawn, choices) => {
      const readiness = new Readiness(build(drawn));
      const running: number[] = [];
      const done = new Set<number>();
      const seen: number[] = [];
      while (readiness.active) {
        const fresh = readiness.ready();
        expect(fresh).toEqual(fresh.toSorted((a, b) => a - b));
        seen.push(...fresh);
        running.push(...fresh);
        const may = [...Array(drawn.size).keys()].filter((node) =>
          drawn.edges.every(([before, after]) => after !== node || done.has(before)),
        );
        expect([...seen].toSorted((a, b) => a - b)).toEqual(may);
        const [node] = running.splice((choices.next().value as number) % running.length, 1);
        readiness.done(node as number);
        done.add(node as number);
      }
      expect(done.size).toBe(drawn.size);
      expect(new Set(seen).size).toBe(seen.length);
    }),
    { numRuns: 1_000 },
  );
});

test('G5 a chain of 100,000 and a hub with 100,000 dependents run through', () => {
  const size = 100_000;
  for (const graph of [chain(size), hub(size)]) {
    const readiness = new Readiness(graph);
    let ran = 0;
    while (readiness.active) {
      for (const node of readiness.ready()) {
        readiness.done(node);
        ran++;
      }
    }
    expect(ran).toBe(size);
  }
});
