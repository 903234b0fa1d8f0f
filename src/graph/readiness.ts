/**
 * Which nodes may run now: counters and two verbs, after Python's `graphlib.TopologicalSorter`.
 *
 *     const readiness = new Readiness(graph);
 *     while (readiness.active) for (const node of readiness.ready()) { run(node); readiness.done(node); }
 */
import type { Digraph, Neighbours } from './digraph.ts';

/** In place of the count of what a node still waits for. */
const HANDED_OUT = -1;
const DONE = -2;

const none: readonly number[] = [];

export class Readiness {
  readonly #dependents: Neighbours;
  readonly #waiting: Int32Array;
  #fresh: number[] = [];
  #running = 0;

  constructor(graph: Digraph) {
    this.#dependents = graph.dependents();
    this.#waiting = new Int32Array(graph.size);
    for (const node of this.#dependents.nodes) this.#waiting[node] = (this.#waiting[node] as number) + 1;
    for (let node = 0; node < graph.size; node++) if (this.#waiting[node] === 0) this.#fresh.push(node);
  }

  /**
   * The nodes that came to wait for nothing since the last call, first inserted first. Each node is handed out once,
   * when every node before it is done; the nodes of a cycle and those after it never are.
   */
  ready(): readonly number[] {
    if (this.#fresh.length === 0) return none;
    const fresh = this.#fresh.sort((a, b) => a - b);
    this.#fresh = [];
    for (const node of fresh) this.#waiting[node] = HANDED_OUT;
    this.#running += fresh.length;
    return fresh;
  }

  /** The node has run. Throws a RangeError unless `ready()` has handed it out, and it is done for the first time. */
  done(node: number): void {
    if (this.#waiting[node] !== HANDED_OUT) {
      throw new RangeError(`node ${node} ${this.#waiting[node] === DONE ? 'is done already' : 'is not running'}`);
    }
    this.#waiting[node] = DONE;
    this.#running--;
    const { starts, nodes } = this.#dependents;
    const end = starts[node + 1] as number;
    for (let at = starts[node] as number; at < end; at++) {
      const dependent = nodes[at] as number;
      const left = (this.#waiting[dependent] as number) - 1;
      this.#waiting[dependent] = left;
      if (left === 0) this.#fresh.push(dependent);
    }
  }

  /** Whether anything is running or ready; false means that all is done, or that the rest waits for itself. */
  get active(): boolean {
    return this.#running > 0 || this.#fresh.length > 0;
  }
}
