/**
 * How long graphs take on the core, by simulation: durations are given, so many workers take whatever the queue gives
 * them, and nothing costs anything but the durations. Held against a list schedule written as plainly as possible.
 */
import { describe, expect, test } from 'vitest';
import type { Digraph } from '#qm/graph/digraph.js';
import { levels } from '#qm/graph/levels.js';
import { topologicalOrder } from '#qm/graph/order.js';
import type { PolicyName } from '#qm/scheduling.js';
import { TaskRun } from '#qm/queue/run.js';
import type { Holder, Task } from '#qm/queue/task.js';
import { durations, shapes } from '../graph/shapes.ts';
import { Random } from '../kit/random.ts';
import { aHolder, QueueRig } from './rig.ts';

/** A binary heap of [time or rank, node]. */
class Earliest {
  readonly #items: (readonly [number, number])[] = [];

  get size(): number {
    return this.#items.length;
  }

  push(key: number, node: number): void {
    const items = this.#items;
    let at = items.push([key, node]) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(items[at]!, items[parent]!)) break;
      [items[at], items[parent]] = [items[parent]!, items[at]!];
      at = parent;
    }
  }

  pop(): readonly [number, number] {
    const items = this.#items;
    const top = items[0]!;
    const last = items.pop()!;
    if (items.length === 0) return top;
    items[0] = last;
    for (let at = 0; ;) {
      let child = 2 * at + 1;
      if (child >= items.length) return top;
      if (child + 1 < items.length && before(items[child + 1]!, items[child]!)) child++;
      if (!before(items[child]!, items[at]!)) return top;
      [items[at], items[child]] = [items[child]!, items[at]!];
      at = child;
    }
  }
}

function before(a: readonly [number, number], b: readonly [number, number]): boolean {
  return a[0] < b[0] || (a[0] === b[0] && a[1] < b[1]);
}

/** The plain list schedule: whenever a worker is free, the ready node of the least rank; ties in order. */
function listSchedule(
  graph: Digraph,
  workers: number,
  times: readonly number[],
  rank: (node: number) => number,
): number {
  const { starts, nodes } = graph.dependents();
  const waiting = new Int32Array(graph.size);
  for (const node of nodes) waiting[node]!++;
  const ready = new Earliest();
  const running = new Earliest();
  for (let node = 0; node < graph.size; node++) if (waiting[node] === 0) ready.push(rank(node), node);
  let now = 0;
  for (;;) {
    while (running.size < workers && ready.size > 0) {
      const [, node] = ready.pop();
      running.push(now + times[node]!, node);
    }
    if (running.size === 0) return now;
    const [end, node] = running.pop();
    now = end;
    for (let at = starts[node]!; at < starts[node + 1]!; at++) {
      const after = nodes[at]!;
      if (--waiting[after]! === 0) ready.push(rank(after), after);
    }
  }
}

/** The same on the queue's core, as a run of the graph. */
function onTheCore(
  graph: Digraph,
  workers: number,
  times: readonly number[],
  weights: ArrayLike<number>,
  policy: PolicyName,
): number {
  const rig = new QueueRig({ rules: { policy } });
  const run = new TaskRun();
  const { starts, nodes } = graph.dependencies();
  const tasks: Task[] = [];
  for (const node of topologicalOrder(graph)!) {
    const after = [...new Set(nodes.subarray(starts[node], starts[node + 1]))].map((one) => tasks[one]!);
    tasks[node] = rig.put({ after, job: { run, weight: weights[node]!, onFailure: 'skip' } });
  }
  const node = new Map(tasks.map((task, at) => [task, at]));
  const free: Holder[] = Array.from({ length: workers }, () => aHolder());
  const running = new Earliest();
  for (;;) {
    while (free.length > 0) {
      const task = rig.queue.take(free.at(-1)!, undefined, rig.now);
      if (task === undefined) break;
      free.pop();
      const at = node.get(task)!;
      running.push(rig.now + times[at]!, at);
    }
    if (running.size === 0) break;
    const [end, at] = running.pop();
    rig.now = end;
    free.push(tasks[at]!.holder!);
    rig.complete(tasks[at]!);
  }
  expect(rig.queue.unfinished).toBe(0);
  return rig.now;
}

const cases = [100, 10_000].flatMap((size) =>
  Object.keys(shapes).flatMap((shape) => Object.keys(durations).map((kind) => [size, shape, kind] as const)),
);

describe.each(cases)('%i nodes, %s, %s durations', (size, shape, kind) => {
  const random = new Random(`makespan of ${size} nodes, ${shape}, ${kind}`, Number(process.env['QM_SEED'] ?? 1));
  const graph = shapes[shape]!(size, random);
  const times = Array.from({ length: graph.size }, () => durations[kind]!(random));
  const weights = levels(graph.dependencies(), (node) => times[node]!, topologicalOrder(graph));

  test.each([2, 8, 64])(
    '%i workers: within 1 % of the list schedule by critical path, never worse than FIFO',
    (workers) => {
      const ideal = listSchedule(graph, workers, times, (node) => -weights[node]!);
      const byDefault = onTheCore(graph, workers, times, weights, 'fifo');
      expect(byDefault).toBeLessThanOrEqual(1.01 * ideal);
      expect(onTheCore(graph, workers, times, weights, 'critical-path')).toBe(byDefault);
      // Without weights jobs go as they were added, of those that are ready.
      const fifo = onTheCore(graph, workers, times, new Float64Array(graph.size), 'fifo');
      expect(byDefault).toBeLessThanOrEqual(1.02 * fifo);
    },
  );
});
