/**
 * Ready tasks in the order in which they will be taken, also those that come back.
 *
 * Each priority has a lane: a ring for tasks that arrive in order (nearly all), and a heap for those that come back, or
 * were released by a dependency after later ones had arrived, or go by a policy that knows no order of arrival. A task
 * that stopped being ready stays where it is and is passed over when its turn comes: `task.spot` says where it is really.
 */
import { Deque } from './deque.ts';
import { Heap } from './heap.ts';
import type { Order } from './order.ts';
import type { Task } from './task.ts';

class Lane {
  readonly of: Lanes;
  readonly priority: number;
  readonly #order: Order;
  /** The order's `ring`. */
  readonly #ring: Order['ring'];
  /** Nothing but the ring says who is next, while the heap is empty. */
  readonly #plain: boolean;
  readonly #fresh = new Deque<Task>();
  readonly #back: Heap<Task>;
  #newest = -1;

  constructor(of: Lanes, priority: number, order: Order) {
    this.of = of;
    this.priority = priority;
    this.#order = order;
    this.#ring = order.ring;
    this.#plain = order.ring === 'first' && order.ageing === 0;
    this.#back = new Heap<Task>((a, b) => order.inLane(a, b));
  }

  push(task: Task): void {
    task.spot = this;
    if (this.#inOrder(task)) {
      if (task.number > this.#newest) this.#newest = task.number;
      this.#fresh.push(task);
    } else {
      this.#back.push(task);
    }
  }

  /** It goes after all that are in the ring. */
  #inOrder(task: Task): boolean {
    if (this.#ring === undefined) return false;
    if (task.job === undefined || this.#ring === 'last') return task.number > this.#newest;
    // Of jobs the heavier goes first, whenever it comes: most that are released are lighter than those before them.
    const last = this.#fresh.peekLast();
    return last === undefined || this.#order.inLane(last, task);
  }

  head(): Task | undefined {
    const last = this.#ring === 'last';
    const fresh = last ? this.#fresh.peekLast() : this.#fresh.peek();
    if (this.#back.size === 0) return fresh;
    const back = this.#back.peek() as Task;
    return fresh === undefined || this.#order.inLane(back, fresh) ? back : fresh;
  }

  /** Takes out its head where that is in the ring alone, and there really: the way of nearly all. */
  quick(): Task | undefined {
    if (!this.#plain || this.#back.size > 0 || this.#fresh.peek()?.spot !== this) return undefined;
    return this.#fresh.shift();
  }

  /** Takes out its head. */
  drop(head: Task): void {
    if (this.#back.size > 0 && this.#back.peek() === head) this.#back.pop();
    else if (this.#ring === 'last') this.#fresh.pop();
    else this.#fresh.shift();
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

export class Lanes {
  readonly #order: Order;
  /** Highest priority first. */
  readonly #lanes: Lane[] = [];
  #size = 0;
  /** In the lanes, but no longer ready, or ready elsewhere. */
  #stale = 0;

  constructor(order: Order) {
    this.#order = order;
  }

  get size(): number {
    return this.#size;
  }

  push(task: Task): void {
    this.#size++;
    this.#lane(task.priority).push(task);
  }

  /** The task goes otherwise than by `shift`, from whichever lanes it is in. */
  static remove(task: Task): void {
    (task.spot as Lane).of.#removed(task);
  }

  /** Who would be taken next. */
  head(): Task | undefined {
    return this.#first()?.head();
  }

  shift(): Task | undefined {
    let task = this.#lanes[0]?.quick();
    if (task === undefined) {
      const lane = this.#first();
      if (lane === undefined) return undefined;
      task = lane.head() as Task;
      lane.drop(task);
    }
    task.spot = undefined;
    this.#size--;
    return task;
  }

  *[Symbol.iterator](): IterableIterator<Task> {
    const seen = new Set<Task>();
    for (const lane of this.#lanes) {
      for (const task of lane) {
        if (task.spot !== lane || seen.has(task)) continue;
        seen.add(task);
        yield task;
      }
    }
  }

  #removed(task: Task): void {
    task.spot = undefined;
    this.#size--;
    if (++this.#stale > MANY_STALE && this.#stale > this.#size) this.#sweep();
  }

  /** The lane of whoever is next, its head being ready. One empty lane stays, for the next to come. */
  #first(): Lane | undefined {
    const lanes = this.#lanes;
    for (;;) {
      const lane = lanes[0];
      if (lane === undefined) return undefined;
      if (this.#fresh(lane)) return this.#order.ageing === 0 ? lane : this.#oldest();
      if (lanes.length === 1) return undefined;
      lanes.shift();
    }
  }

  /** With ageing every lane's head may be next. */
  #oldest(): Lane {
    let best = this.#lanes[0] as Lane;
    for (let at = 1; at < this.#lanes.length; at++) {
      const lane = this.#lanes[at] as Lane;
      if (!this.#fresh(lane)) this.#lanes.splice(at--, 1);
      else if (this.#order.before(lane.head() as Task, best.head() as Task)) best = lane;
    }
    return best;
  }

  /** Lets go of those at its head that are not there really. False where nobody is left. */
  #fresh(lane: Lane): boolean {
    for (;;) {
      const head = lane.head();
      if (head === undefined) return false;
      if (head.spot === lane) return true;
      lane.drop(head);
      this.#stale--;
    }
  }

  /** Nobody may come to take, and pass them over: those that are ready go into lanes of their own. */
  #sweep(): void {
    const ready = [...this].sort((a, b) => a.number - b.number);
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
    const lane = new Lane(this, priority, this.#order);
    lanes.splice(low, 0, lane);
    return lane;
  }
}
