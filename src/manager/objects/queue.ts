/**
 * A queue of values: first in first out, last in first out, or by priority; bounded or not. Whoever has to wait, waits
 * here and not in the object's mutex, so that a waiting `get` never blocks the `put` that would wake it.
 */
import { DeadlockError, QueueFullError, QueueShutdownError, TypeMismatchError } from '../../errors.ts';
import type { Item } from '../../protocol/wire.ts';
import { Deque } from '../../queue/deque.ts';
import { Heap } from '../../queue/heap.ts';
import { checkOptions, countOf, listOf, numberOf } from '../arguments.ts';
import { type Answer, type Call } from '../call.ts';
import { type Made, SharedObject } from '../shared-object.ts';
import { WaitList } from '../wait-list.ts';

interface Entry {
  readonly value: Item;
  readonly priority: number;
  readonly number: number;
}

/** Where the items of a queue stand; the three orders are three of these. */
interface Order {
  readonly size: number;
  push(entry: Entry): void;
  /** Makes it the next one. */
  putBack(value: Item): void;
  next(): Entry | undefined;
  clear(): void;
  values(): Iterable<Entry>;
}

class Fifo implements Order {
  protected readonly items = new Deque<Entry>();
  get size(): number {
    return this.items.size;
  }
  push(entry: Entry): void {
    this.items.push(entry);
  }
  putBack(value: Item): void {
    this.items.unshift({ value, priority: 0, number: 0 });
  }
  next(): Entry | undefined {
    return this.items.shift();
  }
  clear(): void {
    this.items.clear();
  }
  values(): Iterable<Entry> {
    return this.items;
  }
}

class Lifo extends Fifo {
  override putBack(value: Item): void {
    this.items.push({ value, priority: 0, number: 0 });
  }
  override next(): Entry | undefined {
    return this.items.pop();
  }
  override values(): Iterable<Entry> {
    return [...this.items].reverse();
  }
}

class ByPriority implements Order {
  #items = new Heap<Entry>(before);
  #returned = 0;
  get size(): number {
    return this.#items.size;
  }
  push(entry: Entry): void {
    this.#items.push(entry);
  }
  putBack(value: Item): void {
    this.#items.push({ value, priority: Infinity, number: --this.#returned });
  }
  next(): Entry | undefined {
    return this.#items.pop();
  }
  clear(): void {
    this.#items = new Heap<Entry>(before);
  }
  values(): Iterable<Entry> {
    return [...this.#items.values()].sort((a, b) => (before(a, b) ? -1 : 1));
  }
}

function before(a: Entry, b: Entry): boolean {
  return a.priority === b.priority ? a.number < b.number : a.priority > b.priority;
}

const orders: Readonly<Record<string, new () => Order>> = { fifo: Fifo, lifo: Lifo, priority: ByPriority };

interface Putter {
  readonly call: Call;
  readonly values: readonly Item[];
  readonly priority: number;
}

interface Getter {
  readonly call: Call;
  /** 0: one value, as itself; otherwise a list of up to so many. */
  readonly max: number;
}

export class Queue extends SharedObject {
  #maxSize = Infinity;
  #order = 'fifo';
  #items: Order = new Fifo();
  /** Options were given: from then on they stay. */
  #optionsSet = false;
  readonly #getters = new WaitList<Getter>();
  readonly #putters = new WaitList<Putter>();
  readonly #joiners = new WaitList<Call>();
  #numbers = 0;
  #unfinished = 0;
  #shutdown = false;

  constructor(made: Made, options: ReadonlyMap<string, Item>) {
    super(made);
    this.attach(options);
  }

  /** The first ask with options sets them, also for the items that are there; later ones must agree. */
  attach(options: ReadonlyMap<string, Item>): void {
    checkOptions('a queue', options, ['maxSize', 'order']);
    if (options.size === 0) return;
    const maxSize = sizeOf(options.get('maxSize'));
    const order = options.get('order') ?? 'fifo';
    const Ordered = typeof order === 'string' && Object.hasOwn(orders, order) ? orders[order] : undefined;
    if (Ordered === undefined) throw new TypeError("order must be 'fifo', 'lifo' or 'priority'");
    if (!this.#optionsSet) {
      const items = new Ordered();
      for (const entry of this.#items.values()) items.push(entry);
      this.#optionsSet = true;
      this.#maxSize = maxSize;
      this.#order = order as string;
      this.#items = items;
    } else if (maxSize !== this.#maxSize || order !== this.#order) {
      throw new TypeMismatchError(
        `${this.title} exists with maxSize ${this.#maxSize} and order '${this.#order}'; ask for it with these, or with no options`,
      );
    }
  }

  put(call: Call, args: readonly Item[]): Answer {
    const [value, priority] = args;
    return this.#putAll(call, [value], priority, true);
  }

  putNowait(call: Call, args: readonly Item[]): Answer {
    const [value, priority] = args;
    return this.#putAll(call, [value], priority, false);
  }

  /** All at once, when there is room for all of them. */
  putMany(call: Call, [values, priority]: readonly Item[]): Answer {
    return this.#putAll(call, listOf(values, 'values'), priority, true);
  }

  get(call: Call): Answer {
    return this.#getUpTo(call, 0);
  }

  getMany(call: Call, [max]: readonly Item[]): Answer {
    return this.#getUpTo(call, countOf(max, 'max', 1));
  }

  getNowait(): Answer {
    if (this.#items.size === 0) {
      this.#checkOpen();
      return undefined;
    }
    const value = this.#next();
    this.served();
    return value;
  }

  /** What was given to a getter that had left: it goes to the next one. */
  giveBack(_call: Call, [values]: readonly Item[]): Answer {
    for (const value of [...listOf(values, 'values')].reverse()) {
      this.keep(value);
      this.#items.putBack(value);
    }
    this.served();
  }

  size(): Answer {
    return this.#items.size;
  }

  empty(): Answer {
    return this.#items.size === 0;
  }

  full(): Answer {
    return this.#items.size >= this.#maxSize;
  }

  snapshot(): Answer {
    return Array.from(this.#items.values(), (entry) => entry.value);
  }

  taskDone(_call: Call, [count]: readonly Item[]): Answer {
    const done = countOf(count ?? 1, 'count', 1);
    if (done > this.#unfinished) {
      throw new RangeError(`taskDone() was called ${done} times for ${this.#unfinished} unfinished items`);
    }
    this.#unfinished -= done;
    this.#checkJoined();
  }

  join(call: Call): Answer {
    if (this.#unfinished === 0) return undefined;
    if (call.held) throw new DeadlockError(`${this.title} has unfinished items, and a held object must not wait`);
    return call.park(this.#joiners.add(call));
  }

  /** No more puts. Items that are there can still be taken, unless `immediate` drops them. */
  shutdown(_call: Call, [immediate]: readonly Item[]): Answer {
    this.#shutdown = true;
    if (immediate === true) {
      this.#unfinished = Math.max(0, this.#unfinished - this.#items.size);
      this.letGoOfAll();
      this.#items.clear();
      this.#checkJoined();
    }
    for (let putter = this.#putters.shift(); putter; putter = this.#putters.shift()) putter.call.fail(this.#closed());
    this.#dismissGetters();
  }

  override served(): void {
    if (this.holder !== undefined) return;
    for (;;) {
      const getter = this.#getters.peek();
      if (getter !== undefined && this.#items.size > 0) {
        this.#getters.shift();
        if (getter.call.stillGuarded()) getter.call.answer(this.#take(getter.max));
        continue;
      }
      const putter = this.#putters.peek();
      if (putter !== undefined && this.#hasRoom(putter.values.length)) {
        this.#putters.shift();
        if (!putter.call.stillGuarded()) continue;
        this.#add(putter.values, putter.priority);
        putter.call.answer();
        continue;
      }
      break;
    }
    this.#dismissGetters();
  }

  override dropped(reason: Error): void {
    for (const list of [this.#getters, this.#putters]) for (const waiter of list) waiter.call.fail(reason);
    for (const call of this.#joiners) call.fail(reason);
  }

  #putAll(call: Call, values: readonly Item[], priority: Item, wait: boolean): Answer {
    if (values.some((value) => value === undefined)) {
      throw new TypeError('undefined cannot be put: getNowait() answers it for an empty queue; put null instead');
    }
    this.#checkOpen();
    const rank = priority === undefined ? 0 : numberOf(priority, 'priority');
    if (Number.isNaN(rank)) throw new RangeError('priority must be a number that compares with others, not NaN');
    if (values.length > this.#maxSize) {
      throw new RangeError(
        `${values.length} items can never be in ${this.title} at once: its maxSize is ${this.#maxSize}`,
      );
    }
    // A hold has the queue for itself: whoever was parked before it comes after it.
    if ((call.held || this.#putters.size === 0) && this.#hasRoom(values.length)) {
      this.#add(values, rank);
      this.served();
      return undefined;
    }
    if (!wait)
      throw new QueueFullError(`${this.title} is full: it holds ${this.#items.size} of ${this.#maxSize} items`);
    if (call.held) throw new DeadlockError(`${this.title} is full, and a held object must not wait`);
    return call.park(this.#leaving(this.#putters.add({ call, values, priority: rank })));
  }

  #getUpTo(call: Call, max: number): Answer {
    if (this.#items.size > 0 && (call.held || this.#getters.size === 0)) {
      const taken = this.#take(max);
      this.served();
      return taken;
    }
    if (this.#items.size === 0) this.#checkOpen();
    if (call.held) throw new DeadlockError(`${this.title} is empty, and a held object must not wait`);
    return call.park(this.#leaving(this.#getters.add({ call, max })));
  }

  /** One waiter less may let the next one through: a large put that leaves gives way to small ones behind it. */
  #leaving(leave: () => boolean): () => void {
    return () => {
      if (leave()) this.served();
    };
  }

  #take(max: number): Item {
    if (max === 0) return this.#next();
    const values: Item[] = [];
    while (values.length < max && this.#items.size > 0) values.push(this.#next());
    return values;
  }

  #next(): Item {
    const value = this.#items.next()?.value;
    this.letGo(value);
    return value;
  }

  #add(values: readonly Item[], priority: number): void {
    for (const value of values) {
      this.keep(value);
      this.#items.push({ value, priority, number: this.#numbers++ });
    }
    this.#unfinished += values.length;
  }

  #hasRoom(count: number): boolean {
    return this.#items.size + count <= this.#maxSize;
  }

  #dismissGetters(): void {
    if (!this.#shutdown || this.#items.size > 0) return;
    for (let getter = this.#getters.shift(); getter; getter = this.#getters.shift()) getter.call.fail(this.#closed());
  }

  #checkJoined(): void {
    if (this.#unfinished > 0) return;
    for (let call = this.#joiners.shift(); call; call = this.#joiners.shift()) call.answer();
  }

  #checkOpen(): void {
    if (this.#shutdown) throw this.#closed();
  }

  #closed(): QueueShutdownError {
    return new QueueShutdownError(`${this.title} has been shut down`);
  }
}

function sizeOf(maxSize: Item): number {
  if (maxSize === undefined || maxSize === Infinity) return Infinity;
  return countOf(maxSize, 'maxSize', 1);
}
