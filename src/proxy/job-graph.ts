/**
 * Jobs that run after one another. A graph is put together here, checked whole, and goes to the manager in one piece:
 * nothing in this file needs one.
 *
 * Inputs are read, and the references in them found, when the graph is checked or run: leave them as they are until then.
 */
import { criticalPath } from '../graph/critical-path.ts';
import type { Call, InputOf, JobRef, OnFailure, OutputOf, TaskName, Wired } from '../tasks.ts';
import type { Handlers } from './task-context.ts';
import { checkJobOptions, Job, type JobOptions, kindOf, MAX_JOB_ID } from './job.ts';
import { checkEdges, type Edges, findEdges } from './job-edges.ts';
import { drawDot, drawMermaid } from './job-graph-drawing.ts';
import { fromJSON, type JobGraphJSON, toJSON } from './job-graph-json.ts';
import type { TaskSettings } from './put-options.ts';

declare const handlers: unique symbol;

/** The chain of jobs that no number of workers can make shorter. */
export interface CriticalPath {
  /** Ids, first to last. */
  readonly path: readonly string[];
  /** The sum of the jobs' weights. */
  readonly length: number;
}

/** A graph as it is submitted. */
export interface SubmittedGraph {
  /** In order of insertion. */
  readonly jobs: readonly SubmittedJob[];
  /** Their places there, each after those of the jobs that it comes after. */
  readonly order: readonly number[];
}

export interface SubmittedJob {
  readonly id: string;
  readonly name: string;
  readonly input: unknown;
  /** Places of the jobs of this graph that it comes after, for their data or for the order alone; each once. */
  readonly after: Uint32Array;
  /** The tasks outside of the graph that it comes after. */
  readonly outside: readonly JobRef[];
  readonly options: TaskSettings;
  readonly keep: boolean;
  readonly onFailure: OnFailure | undefined;
  /** Whether its output is part of another job's input. */
  readonly consumed: boolean;
}

let submitted: <H>(graph: JobGraph<H>) => SubmittedGraph;

/**
 * Jobs, and what each of them comes after. `H` names the handlers, as for `client.tasks<H>()`.
 *
 *     const graph = new JobGraph<typeof tasks>();
 *     const page = graph.add('fetch', 'index.html');       // a JobRef<string>
 *     const words = graph.add('count', { page });          // runs after it, and receives its output as `page`
 *     graph.add('clean', undefined, { after: [words] });   // runs after it without its output
 */
export class JobGraph<H = Handlers> {
  /** Never there: carries the type. */
  declare readonly [handlers]: H;
  readonly #jobs: Job[] = [];
  readonly #byId = new Map<string, Job>();
  /** Ids that were given more than once, and how often. */
  readonly #repeated = new Map<string, number>();
  /** By task name, the last number that an automatic id took. */
  readonly #counters = new Map<string, number>();

  static {
    submitted = (graph) => graph.#submitted();
  }

  /**
   * Adds a job that runs the handler `name`. Where its input holds the reference of another job, or the handle of a task
   * that was put, it runs after that one and finds the output there.
   *
   * The job's id is `options.id` (no '/', at most 500 characters), or the task's name with a number: 'count-1'. That an
   * id is taken, or that `after` names a job that is not there (yet), is said by `validate()`, not here.
   *
   * @throws TypeError, RangeError where an option is unknown or is not what it should be
   */
  add<N extends TaskName<H>>(
    name: N,
    ...call: Call<Wired<InputOf<H, N>>, InputOf<H, N>, JobOptions & { onFailure?: 'skip' | 'fail' | undefined }>
  ): JobRef<OutputOf<H, N>>;
  /** Where its failure is, or may be, ignored, those that consume its output must do without it. */
  add<N extends TaskName<H>>(
    name: N,
    input: Wired<InputOf<H, N>>,
    options: JobOptions,
  ): JobRef<OutputOf<H, N> | undefined>;
  add(name: string, input?: unknown, options?: JobOptions): JobRef {
    return this.#add(name, input, options) as unknown as JobRef;
  }

  /**
   * Checks the whole graph.
   *
   * @throws DuplicateJobError where two jobs have one id, else UnknownJobError where a job comes after one that is not in
   * this graph, else CycleError where jobs wait for each other; the message lists the problems of all kinds
   */
  validate(): void {
    this.#checked();
  }

  /** The ids so that each job comes after those it waits for, otherwise in the order in which they were added. Throws as `validate()` does. */
  order(): string[] {
    return this.#checked().order.map((at) => this.#at(at).id);
  }

  /**
   * The longest chain of jobs, counting each as 1 or by what `weightOf` returns for its id and task name: measured
   * durations, for one. Throws as `validate()` does, and RangeError for a weight below 0.
   */
  criticalPath(weightOf: (id: string, name: string) => number = () => 1): CriticalPath {
    const { edges } = this.#checked();
    const chain = criticalPath(edges.graph, (at) => weightOf(this.#at(at).id, this.#at(at).name));
    return { path: (chain?.nodes ?? []).map((at) => this.#at(at).id), length: chain?.length ?? 0 };
  }

  /** The graph as a Mermaid flowchart; dotted arrows carry no data. Draws a graph with problems too. */
  toMermaid(): string {
    return drawMermaid(this.#jobs, this.#edges());
  }

  /** The graph in Graphviz' DOT; dashed arrows carry no data. Draws a graph with problems too. */
  toDot(): string {
    return drawDot(this.#jobs, this.#edges());
  }

  /**
   * The graph as data that JSON can carry, references written as `{ "$job": id }`. Properties that are `undefined` are
   * left out.
   *
   * @throws UnserializableError naming the path of a value that JSON would lose (a Date, a Map, NaN, a task handle), and
   * as `validate()` does
   */
  toJSON(): JobGraphJSON {
    this.#checked();
    return toJSON(this.#jobs);
  }

  /**
   * The graph that `toJSON()` gave, parsed. Whether its edges lead to jobs is said by `validate()`.
   *
   * @throws TypeError, RangeError naming the place that is not of that form
   */
  static fromJSON<H = Handlers>(json: unknown): JobGraph<H> {
    const graph = new JobGraph<H>();
    fromJSON(json, (name, input, options) => graph.#add(name, input, options));
    return graph;
  }

  #add(name: unknown, input: unknown, options: JobOptions = {}): Job {
    if (typeof name !== 'string' || name === '') {
      const what = name === '' ? 'an empty string' : kindOf(name);
      throw new TypeError(`a job needs the name of its task, a string, not ${what}`);
    }
    checkJobOptions(options, name);
    const id = options.id ?? this.#automaticId(name);
    const job = new Job(this.#jobs.length, id, name, input, options);
    this.#jobs.push(job);
    if (this.#byId.has(id)) this.#repeated.set(id, (this.#repeated.get(id) ?? 1) + 1);
    else this.#byId.set(id, job);
    return job;
  }

  #automaticId(name: string): string {
    let count = this.#counters.get(name) ?? 0;
    const stem = name.replaceAll('/', ':').slice(0, MAX_JOB_ID - 20);
    let id;
    do id = `${stem}-${++count}`;
    while (this.#byId.has(id));
    this.#counters.set(name, count);
    return id;
  }

  #edges(): Edges {
    return findEdges(this.#jobs, this.#byId);
  }

  #checked(): { edges: Edges; order: number[] } {
    const edges = this.#edges();
    return { edges, order: checkEdges(this.#jobs, this.#repeated, edges) };
  }

  #at(index: number): Job {
    return this.#jobs[index] as Job;
  }

  #submitted(): SubmittedGraph {
    const { edges, order } = this.#checked();
    const { starts, nodes } = edges.graph.dependencies();
    const jobs = this.#jobs.map(({ index, id, name, input, settings, keep, onFailure }): SubmittedJob => {
      const after = nodes.subarray(starts[index], starts[index + 1]);
      const refs = edges.outside.get(index);
      const outside = refs === undefined ? none : [...refs.values()];
      const consumed = edges.consumed[index] === 1;
      return { id, name, input, after, outside, options: settings, keep, onFailure, consumed };
    });
    return { jobs, order };
  }
}

const none: readonly never[] = [];

/** What the submission of a graph needs. Throws as `validate()` does. */
export function submittedGraph<H>(graph: JobGraph<H>): SubmittedGraph {
  return submitted(graph);
}
