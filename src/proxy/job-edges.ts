/**
 * The edges of a job graph, found in the inputs and `after` lists of its jobs, and everything that is wrong with them.
 */
import { CycleError, DuplicateJobError, UnknownJobError } from '../errors.ts';
import { cycles } from '../graph/cycles.ts';
import { Digraph } from '../graph/digraph.ts';
import { topologicalOrder } from '../graph/order.ts';
import { type BrandedJobRef, jobRef } from '../job-ref.ts';
import type { JobRef } from '../tasks.ts';
import { Job, JobById } from './job.ts';
import { jobRefsIn } from './job-refs.ts';

/** An edge that leads to no job of this graph. */
export interface Loose {
  readonly job: Job;
  readonly id: string;
  readonly why: string;
}

export interface Edges {
  /** Nodes are the jobs' places; each job's edges are those of its data, then those of `after`, no edge twice. */
  readonly graph: Digraph;
  /** 1 for a job whose output is part of another job's input. */
  readonly consumed: Uint8Array;
  /** Tasks that were put already and that jobs come after, by the job's place and the task's queue and id. */
  readonly outside: ReadonlyMap<number, ReadonlyMap<string, BrandedJobRef>>;
  readonly loose: readonly Loose[];
  /** Whether an edge carries no data: parallel to the graph's edges, in their order. */
  readonly orderOnly: readonly boolean[];
}

export function findEdges(jobs: readonly Job[], byId: ReadonlyMap<string, Job>): Edges {
  const graph = new Digraph(jobs.length);
  const consumed = new Uint8Array(jobs.length);
  const outside = new Map<number, Map<string, BrandedJobRef>>();
  const loose: Loose[] = [];
  const orderOnly: boolean[] = [];
  /** The last job that each job got an edge to: an edge that is there already has this one. */
  const lastAfter = new Int32Array(jobs.length).fill(-1);

  const connect = (before: number, job: Job, data: boolean): void => {
    if (data) consumed[before] = 1;
    if (lastAfter[before] === job.index) return;
    lastAfter[before] = job.index;
    graph.addEdge(before, job.index);
    orderOnly.push(!data);
  };

  const connectById = (id: string, job: Job, data: boolean): void => {
    const known = byId.get(id);
    if (known !== undefined) connect(known.index, job, data);
    else loose.push({ job, id, why: `${relation(data)} '${id}', which is not in this graph` });
  };

  const follow = (ref: BrandedJobRef, job: Job, data: boolean): void => {
    const { queue, id } = ref[jobRef];
    if (queue !== undefined) {
      const refs = outside.get(job.index) ?? new Map<string, BrandedJobRef>();
      outside.set(job.index, refs.set(`${queue}\0${id}`, ref));
    } else if (isJobOf(ref, jobs)) {
      connect(ref.index, job, data);
    } else if (ref instanceof JobById) {
      connectById(id, job, data);
    } else {
      loose.push({ job, id, why: `${relation(data)} '${id}' of another graph` });
    }
  };

  for (const job of jobs) {
    for (const ref of jobRefsIn(job.input)) follow(ref, job, true);
    for (const before of job.after) {
      if (typeof before === 'string') connectById(before, job, false);
      else follow(before, job, false);
    }
  }
  return { graph, consumed, outside, loose, orderOnly };
}

function isJobOf(ref: JobRef, jobs: readonly Job[]): ref is JobRef & Job {
  return ref instanceof Job && jobs[ref.index] === ref;
}

function relation(data: boolean): string {
  return data ? 'its input refers to' : 'it comes after';
}

/** Of each kind, as many problems as this are written out; the errors' `ids` have all. */
const MAX_WRITTEN = 100;
/** A longer cycle is shown by its first and last jobs; the error's `path` has all. */
const MAX_SHOWN = 12;

/**
 * Throws when anything is wrong with the graph: the error of the most basic kind there is (DuplicateJobError before
 * UnknownJobError before CycleError), with the problems of all kinds in its message. Returns a topological order.
 */
export function checkEdges(jobs: readonly Job[], repeated: ReadonlyMap<string, number>, edges: Edges): number[] {
  const order = topologicalOrder(edges.graph);
  if (order !== undefined && repeated.size === 0 && edges.loose.length === 0) return order;
  const paths = order === undefined ? cycles(edges.graph).map((path) => path.map((at) => (jobs[at] as Job).id)) : [];
  const problems = [
    ...written([...repeated], ([id, count]) => `${count} jobs have the id '${id}'`),
    ...written(edges.loose, ({ job, why }) => `job '${job.id}' leads out of the graph: ${why}`),
    ...written(paths, circle),
  ];
  const count = repeated.size + edges.loose.length + paths.length;
  const message =
    count === 1
      ? (problems[0] as string)
      : `the job graph has ${count.toLocaleString('en-US')} problems:${problems.map((problem) => `\n  - ${problem}`).join('')}`;
  if (repeated.size > 0) throw new DuplicateJobError(message, [...repeated.keys()]);
  if (edges.loose.length > 0) throw new UnknownJobError(message, [...new Set(edges.loose.map(({ id }) => id))]);
  throw new CycleError(message, paths[0]);
}

function written<T>(all: readonly T[], text: (problem: T) => string): string[] {
  const some = all.slice(0, MAX_WRITTEN).map(text);
  if (all.length > MAX_WRITTEN) some.push(`${(all.length - MAX_WRITTEN).toLocaleString('en-US')} more of that kind`);
  return some;
}

function circle(path: readonly string[]): string {
  if (path.length === 2) return `job '${path[0]}' waits for itself`;
  return `jobs wait for each other in a circle: ${shown(path)}`;
}

function shown(path: readonly string[]): string {
  if (path.length <= MAX_SHOWN) return path.join(' → ');
  const head = path.slice(0, MAX_SHOWN / 2);
  const tail = path.slice(-MAX_SHOWN / 2);
  const left = (path.length - head.length - tail.length).toLocaleString('en-US');
  return `${head.join(' → ')} → (${left} more) → ${tail.join(' → ')}`;
}
