/**
 * The structure of a job graph: nodes are the numbers 0, 1, 2, … in order of insertion, and an edge says that one node
 * comes before another. Cycles, self-edges and repeated edges are allowed here: saying so is cycles.ts' business.
 *
 * Everything in this room walks with loops and flat arrays: a chain of 100,000 jobs needs no stack, a million of them
 * some 20 bytes each.
 */

/** Every node's neighbours in one direction, flat: those of `n` are `nodes[starts[n]]` up to before `nodes[starts[n + 1]]`. */
export interface Neighbours {
  readonly starts: Uint32Array;
  readonly nodes: Uint32Array;
}

export class Digraph {
  #size = 0;
  readonly #before: number[] = [];
  readonly #after: number[] = [];
  #forward = true;

  constructor(size = 0) {
    this.#size = size;
  }

  /** How many nodes it has. */
  get size(): number {
    return this.#size;
  }

  /** How many edges it has, repeated ones included. */
  get edges(): number {
    return this.#before.length;
  }

  /** Every node waits for nodes of lower numbers alone: then their order is a topological one. */
  get forward(): boolean {
    return this.#forward;
  }

  addNode(): number {
    return this.#size++;
  }

  /** `after` waits for `before`. */
  addEdge(before: number, after: number): void {
    this.#check(before);
    this.#check(after);
    if (before >= after) this.#forward = false;
    this.#before.push(before);
    this.#after.push(after);
  }

  /** Calls back with every edge in the order in which they were added. */
  each(visit: (before: number, after: number, edge: number) => void): void {
    this.#before.forEach((before, edge) => visit(before, this.#after[edge] as number, edge));
  }

  /** Who waits for each node, in the order of the edges. */
  dependents(): Neighbours {
    return flatten(this.#size, this.#before, this.#after);
  }

  /** Whom each node waits for, in the order of the edges. */
  dependencies(): Neighbours {
    return flatten(this.#size, this.#after, this.#before);
  }

  #check(node: number): void {
    if (!Number.isInteger(node) || node < 0 || node >= this.#size) {
      throw new RangeError(`no node ${node} in a graph of ${this.#size} nodes`);
    }
  }
}

/** Counting sort of the edges by their `from` end. */
function flatten(size: number, from: readonly number[], to: readonly number[]): Neighbours {
  const starts = new Uint32Array(size + 1);
  for (const node of from) starts[node + 1] = (starts[node + 1] as number) + 1;
  for (let node = 0; node < size; node++) {
    starts[node + 1] = (starts[node + 1] as number) + (starts[node] as number);
  }
  const next = starts.slice(0, size);
  const nodes = new Uint32Array(from.length);
  for (let edge = 0; edge < from.length; edge++) {
    const node = from[edge] as number;
    const at = next[node] as number;
    nodes[at] = to[edge] as number;
    next[node] = at + 1;
  }
  return { starts, nodes };
}
