/** Random job graphs, and what running them must give. */
import { createHash } from 'node:crypto';
import { type Handlers, JobGraph, type JobRef } from 'quartermaster';
import type { Random } from './random.ts';

export interface RandomGraph {
  readonly graph: JobGraph;
  /** By id: what each job receives, its output, and what it comes after. */
  readonly expected: ReadonlyMap<
    string,
    { readonly inputs: unknown; readonly output: string; readonly after: string[] }
  >;
  /** Jobs whose output nobody consumes. */
  readonly leaves: readonly string[];
}

/** What a job outputs: the same as the handlers in fixtures/graph-tasks.mjs compute. */
export function outputOf(id: string, inputs: unknown): string {
  return createHash('sha256')
    .update(JSON.stringify([id, inputs]))
    .digest('hex');
}

/**
 * None to `most` jobs. Edges of data, also several between the same two, deep in objects and arrays, and edges of order
 * alone. With `growing`, some jobs put tasks.
 */
export function randomGraph(random: Random, most: number, growing = false): RandomGraph {
  const size = random.below(most + 1);
  const graph = new JobGraph<Handlers>();
  const refs: JobRef[] = [];
  const expected = new Map<string, { inputs: unknown; output: string; after: string[] }>();
  const consumed = new Set<string>();
  for (let at = 0; at < size; at++) {
    const id = `j${at}`;
    const after = new Set<string>();
    const wired: unknown[] = [];
    const given: unknown[] = [];
    for (let edges = at === 0 ? 0 : random.below(4); edges > 0; edges--) {
      const before = random.below(at);
      after.add(`j${before}`);
      consumed.add(`j${before}`);
      const { output } = expected.get(`j${before}`)!;
      const deep = random.below(3);
      wired.push(deep === 0 ? refs[before] : deep === 1 ? { of: refs[before] } : [[refs[before], edges], refs[before]]);
      given.push(deep === 0 ? output : deep === 1 ? { of: output } : [[output, edges], output]);
    }
    const order: JobRef[] = [];
    if (at > 0 && random.chance(0.3)) {
      const before = random.below(at);
      after.add(`j${before}`);
      order.push(refs[before]!);
    }
    const name = growing && random.chance(0.2) ? 'grow' : 'node';
    refs.push(graph.add(name, { id, inputs: wired }, { id, after: order }));
    expected.set(id, { inputs: given, output: outputOf(id, given), after: [...after] });
  }
  const leaves = [...expected.keys()].filter((id) => !consumed.has(id));
  return { graph, expected, leaves };
}
