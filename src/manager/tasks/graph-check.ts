/** The client has checked its graph; what came over the wire is checked all the same. */
import { CycleError, DuplicateJobError, UnknownJobError } from '../../errors.ts';
import { cycles } from '../../graph/cycles.ts';
import { Digraph } from '../../graph/digraph.ts';
import { topologicalOrder } from '../../graph/order.ts';
import type { GraphJob } from './put-options.ts';

/** The structure of a graph that was found right: nodes are the places of its jobs. */
export interface Submitted {
  readonly graph: Digraph;
  readonly order: readonly number[];
}

/** @throws DuplicateJobError, UnknownJobError, CycleError */
export function checkSubmitted(jobs: readonly GraphJob[]): Submitted {
  const index = new Map(jobs.map((job, at) => [job.id, at]));
  if (index.size !== jobs.length) throw new DuplicateJobError('two jobs of the graph have the same id');
  const graph = new Digraph(jobs.length);
  jobs.forEach((job, at) => {
    for (const before of job.after) {
      const from = index.get(before);
      if (from === undefined)
        throw new UnknownJobError(`job '${job.id}' comes after '${before}', which is not in the graph`, [before]);
      graph.addEdge(from, at);
    }
  });
  const order = topologicalOrder(graph);
  if (order !== undefined) return { graph, order };
  const path = (cycles(graph)[0] ?? []).map((at) => (jobs[at] as GraphJob).id);
  throw new CycleError(`the graph waits for itself: ${path.join(' → ')}`, path);
}
