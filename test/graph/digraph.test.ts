import { expect, test } from 'vitest';
import { Digraph } from '#qm/graph/digraph.js';

test('nodes count up, edges are kept in order in both directions', () => {
  const graph = new Digraph(2);
  expect(graph.addNode()).toBe(2);
  graph.addEdge(0, 2);
  graph.addEdge(1, 2);
  graph.addEdge(0, 1);
  graph.addEdge(0, 1);
  expect([graph.size, graph.edges]).toEqual([3, 4]);
  const { starts, nodes } = graph.dependents();
  expect([[...starts], [...nodes]]).toEqual([
    [0, 3, 4, 4],
    [2, 1, 1, 2],
  ]);
  const before = graph.dependencies();
  expect([[...before.starts], [...before.nodes]]).toEqual([
    [0, 0, 2, 4],
    [0, 0, 0, 1],
  ]);
});

test('an edge to a node that is not there is refused', () => {
  const graph = new Digraph(2);
  expect(() => graph.addEdge(0, 2)).toThrow(new RangeError('no node 2 in a graph of 2 nodes'));
  expect(() => graph.addEdge(-1, 0)).toThrow(RangeError);
  expect(() => graph.addEdge(0.5, 0)).toThrow(RangeError);
  expect(graph.edges).toBe(0);
});
