/**
 * The ready tasks in the order in which they will be taken: higher priority first, among equals the order of the puts,
 * also for a task that comes back.
 *
 * Each priority has a lane: a ring for tasks that arrive in order (nearly all), and a heap for those that come back or
 * were released by a dependency after later ones had arrived. A task that stopped being ready stays where it is and is
 * passed over when its turn comes.
 */
import { Deque } from './deque.ts';
import { Heap } from './heap.ts';
import { State, type Task } from './task.ts';

class Lane {
  readonly priority: number;
  readonly #fresh = new Deque<Task>();
  readonly #back = new Heap<Task>((a, b) => a.number < b.number);
  #newest = -1;

  constructor(priority: number) {
    this.priority = priority;
  }

  push(task: Task): void {
    if (task.number > this.#newest) {
      this.#newest = task.number;
      this.#fresh.push(task);
    } else {
      this.#back.push(task);
    }
  }

  shift(): Task | undefined {
    const fresh = this.#fresh.peek();
    const back = this.#back.peek();
    if (fresh === undefined) return this.#back.pop();
    return back !== undefined && back.number < fresh.number ? this.#back.pop() : this.#fresh.shift();
  }

  get empty(): boolean {
    return this.#fresh.size === 0 && this.#back.size === 0;
  }

  *[Symbol.iterator](): IterableIterator<Task> {
    yield* this.#fresh;
    yield* this.#back.values();
  }
}

/** So many that stopped being ready may lie in the lanes, or as many as are ready. */
const MANY_STALE = 1000;

export class ReadyIndex {
  /** Highest priority first. */
  readonly #lanes: Lane[] = [];
  #size = 0;
  /** In the lanes, but no longer ready. */
  #stale = 0;

  get size(): number {
    return this.#size;
  }

  add(task: Task): void {
    this.#size++;
    this.#lane(task.priority).push(task);
  }

  /** The task stopped being ready otherwise than by `shift`. */
  removed(): void {
    this.#size--;
    if (++this.#stale > MANY_STALE && this.#stale > this.#size) this.#sweep();
  }

  shift(): Task | undefined {
    while (this.#lanes.length > 0) {
      const lane = this.#lanes[0] as Lane;
      const task = lane.shift();
      if (lane.empty) this.#lanes.shift();
      if (task !== undefined && task.state === State.ready) {
        this.#size--;
        return task;
      }
      if (task !== undefined) this.#stale--;
    }
    return undefined;
  }

  *[Symbol.iterator](): IterableIterator<Task> {
    for (const lane of this.#lanes) for (const task of lane) if (task.state === State.ready) yield task;
  }

  /** Nobody may come to take, and pass them over: those that are ready go into lanes of their own. */
  #sweep(): void {
    const ready = [...this];
    this.#lanes.length = this.#stale = 0;
    for (const task of ready) this.#lane(task.priority).push(task);
  }

  #lane(priority: number): Lane {
    const lanes = this.#lanes;
    const first = lanes[0];
    if (first !== undefined && first.priority === priority) return first;
    let low = 0;
    let high = lanes.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((lanes[middle] as Lane).priority > priority) low = middle + 1;
      else high = middle;
    }
    const found = lanes[low];
    if (found !== undefined && found.priority === priority) return found;
    const lane = new Lane(priority);
    lanes.splice(low, 0, lane);
    return lane;
  }
}
