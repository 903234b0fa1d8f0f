/** Graphs of the shapes that programs have, of about so many nodes, and how long their nodes take. */
import { Digraph } from '#qm/graph/digraph.js';
import type { Random } from '../kit/random.ts';

export type Shape = (nodes: number, random: Random) => Digraph;

/** Nodes are numbered as they are added: each after those that it waits for. */
export const shapes: Readonly<Record<string, Shape>> = {
  /** Layers of any width; each node waits for some of the layer before. */
  layered(nodes, random) {
    const graph = new Digraph();
    let before: number[] = [];
    const width = Math.ceil(Math.sqrt(nodes));
    while (graph.size < nodes) {
      const layer: number[] = [];
      for (let left = Math.min(1 + random.below(2 * width), nodes - graph.size); left > 0; left--) {
        const node = graph.addNode();
        layer.push(node);
        if (before.length === 0) continue;
        const some = new Set(Array.from({ length: 1 + random.below(3) }, () => random.pick(before)));
        for (const one of some) graph.addEdge(one, node);
      }
      before = layer;
    }
    return graph;
  },

  'out-tree'(nodes, random) {
    const graph = new Digraph(nodes);
    for (let node = 1; node < nodes; node++) graph.addEdge(Math.max(0, node - 1 - random.below(node)), node);
    return graph;
  },

  'in-tree'(nodes, random) {
    const graph = new Digraph(nodes);
    for (let node = 0; node < nodes - 1; node++) {
      graph.addEdge(node, Math.min(nodes - 1, node + 1 + random.below(nodes - 1 - node)));
    }
    return graph;
  },

  /** One forks, many join, again and again. */
  'fork-join'(nodes, random) {
    const graph = new Digraph();
    let join = graph.addNode();
    while (graph.size < nodes) {
      const fork = join;
      const branches = Array.from({ length: 2 + random.below(30) }, () => graph.addNode());
      join = graph.addNode();
      for (const branch of branches) {
        graph.addEdge(fork, branch);
        graph.addEdge(branch, join);
      }
    }
    return graph;
  },

  /** Tiled, as PLASMA has it: potrf, trsm, syrk, gemm over so many tiles. */
  Cholesky(nodes) {
    const tiles = Math.max(1, Math.round(Math.cbrt(6 * nodes)) - 1);
    const graph = new Digraph();
    /** Who wrote a tile last. */
    const writer = new Map<string, number>();
    const step = (reads: readonly string[], writes: string): void => {
      const node = graph.addNode();
      const before = new Set([...reads, writes].map((tile) => writer.get(tile)).filter((one) => one !== undefined));
      for (const one of before) graph.addEdge(one, node);
      writer.set(writes, node);
    };
    for (let k = 0; k < tiles; k++) {
      step([], `${k},${k}`);
      for (let m = k + 1; m < tiles; m++) step([`${k},${k}`], `${m},${k}`);
      for (let m = k + 1; m < tiles; m++) {
        step([`${m},${k}`], `${m},${m}`);
        for (let n = k + 1; n < m; n++) step([`${m},${k}`, `${n},${k}`], `${m},${n}`);
      }
    }
    return graph;
  },

  /** A line of cells over time: each waits for its neighbours one step before. */
  stencil(nodes) {
    const width = Math.ceil(Math.sqrt(nodes));
    const graph = new Digraph(width * width);
    for (let time = 1; time < width; time++) {
      for (let cell = 0; cell < width; cell++) {
        for (const near of [cell - 1, cell, cell + 1]) {
          if (near >= 0 && near < width) graph.addEdge((time - 1) * width + near, time * width + cell);
        }
      }
    }
    return graph;
  },

  /** Composed of parts in series and in parallel. */
  'series-parallel'(nodes, random) {
    const graph = new Digraph();
    // A work list of parts that are to be made between two nodes: deep ones need no stack.
    const source = graph.addNode();
    const parts: { from: number; size: number; done: (sink: number) => void }[] = [];
    const build = (from: number, size: number, done: (sink: number) => void): void =>
      void parts.push({ from, size, done });
    build(source, nodes, () => {});
    for (let part = parts.pop(); part !== undefined; part = parts.pop()) {
      const { from, size, done } = part;
      if (size <= 2) {
        const sink = graph.addNode();
        graph.addEdge(from, sink);
        done(sink);
      } else if (random.chance(0.5)) {
        const first = 1 + random.below(size - 1);
        build(from, first, (middle) => build(middle, size - first, done));
      } else {
        const count = 2 + random.below(3);
        const sinks: number[] = [];
        const join = (sink: number): void => {
          if (sinks.push(sink) < count) return;
          const node = graph.addNode();
          for (const one of sinks) graph.addEdge(one, node);
          done(node);
        };
        for (let at = 0; at < count; at++) build(from, Math.floor((size - 1) / count), join);
      }
    }
    return graph;
  },
};

export const durations: Readonly<Record<string, (random: Random) => number>> = {
  equal: () => 100,
  /** Pareto with exponent 1.2, cut at a thousand times the least: most are short, some are very long. */
  'heavy-tailed': (random) =>
    Math.round(Math.min(100_000, 100 / (1 - random.below(1_000_000) / 1_000_000) ** (1 / 1.2))),
};
