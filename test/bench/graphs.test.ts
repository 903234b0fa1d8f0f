import { expect, test } from 'vitest';
import { drive, graphOf, patterns, randomGraph } from '../../bench/graphs.mjs';
import { interval } from '../../bench/statistics.mjs';

/** By layer and place, what each task comes after: places in the layer before. */
function layersOf(pattern: string, layers: number, width: number): number[][][] {
  const graph = graphOf(pattern, layers, width);
  const found: number[][][] = [];
  let first = 0;
  for (let layer = 0; layer < layers; layer++) {
    const wide = pattern === 'tree' ? Math.min(width, 2 ** layer) : width;
    const before = first - (found.at(-1)?.length ?? 0);
    found.push(graph.slice(first, first + wide).map((after) => after.map((each) => each - before)));
    first += wide;
  }
  expect(first).toBe(graph.length);
  return found;
}

test('the patterns of Task Bench', () => {
  expect(layersOf('trivial', 2, 2)).toEqual([[[], []], [[], []]]); // prettier-ignore
  expect(layersOf('stencil_1d', 2, 4)[1]).toEqual([[3, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 0]]); // prettier-ignore
  expect(layersOf('fft', 4, 4)[1]).toEqual([[0, 1], [0, 1, 2], [1, 2, 3], [2, 3]]); // prettier-ignore
  expect(layersOf('fft', 4, 4)[2]).toEqual([[0, 2], [1, 3], [0, 2], [1, 3]]); // prettier-ignore
  expect(layersOf('fft', 4, 4)[3]).toEqual(layersOf('fft', 4, 4)[1]);
  expect(layersOf('tree', 4, 4)).toEqual([[[]], [[0], [0]], [[0], [0], [1], [1]], [[0], [1], [2], [3]]]); // prettier-ignore
  expect(layersOf('nearest', 2, 6)[1]).toEqual(
    [[0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4], [1, 2, 3, 4, 5], [2, 3, 4, 5], [3, 4, 5]], // prettier-ignore
  );
});

test('a random graph has the tasks and about the edges that it was asked for, all to tasks before', () => {
  const graph = randomGraph(18_000, 113_000);
  expect(graph).toHaveLength(18_000);
  const edges = graph.reduce((sum, after) => sum + new Set(after).size, 0);
  expect(Math.abs(edges - 113_000)).toBeLessThan(200);
  expect(graph.every((after, task) => after.every((each) => each >= 0 && each < task && each >= task - 1000))).toBe(
    true,
  );
  expect(randomGraph(10, 0).flat()).toEqual([]);
});

test.each(patterns)('%s: each task is submitted once, after those before it', async (pattern) => {
  const graph = graphOf(pattern, 6, 8);
  const ended = new Set<number>();
  const submitted: number[] = [];
  await drive(graph, async (task) => {
    submitted.push(task);
    expect(graph[task]!.every((each) => ended.has(each))).toBe(true);
    await Promise.resolve();
    ended.add(task);
  });
  expect(submitted.toSorted((a, b) => a - b)).toEqual([...graph.keys()]);
  await expect(drive(graph, () => Promise.reject(new Error('of a task')))).rejects.toThrow('of a task');
});

test('the interval of a median, from the order alone', () => {
  expect(interval([11, 1, 10, 2, 9, 3, 8, 4, 7, 5, 6])).toEqual([2, 10]);
  expect(interval(Array.from({ length: 8 }, (_, i) => i))).toEqual([0, 7]);
  expect(interval([1, 2, 3])).toEqual([NaN, NaN]);
});
