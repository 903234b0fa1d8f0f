/**
 * The task dict: every task whose record is kept, by number and by chosen id. Finished tasks leave it in the order in
 * which they ended, by count and by age, and never while something still needs them. Dead letters (failed or expired) are
 * counted apart: however much succeeds after them, they stay.
 */
import { Deque } from './deque.ts';
import { Numbered } from './numbered.ts';
import { automaticNumber, State, type Task } from './task.ts';

/** Most inputs of a `map` that are one task. */
const MOST_INPUTS = 1 << 13;

/** How many records of finished tasks are kept, and for how long (ms). */
export interface Kept {
  readonly count: number;
  readonly age: number;
  /** The same for dead letters; as the others where it is left out. */
  readonly dead?: { readonly count: number; readonly age: number } | undefined;
}

/** Finished tasks whose records go by one count and age, in the order of their ends. */
class Shelf {
  readonly finished = new Deque<Task>();
  /** Those that have been revived since they were added to `finished`, and how often. */
  readonly #revived = new Map<Task, number>();
  #stale = 0;
  count = 0;
  /** Tenths of a millisecond. */
  age = 0;

  revive(task: Task): void {
    this.#revived.set(task, (this.#revived.get(task) ?? 0) + 1);
    this.#stale++;
  }

  /** Takes out the oldest one whose time has come, if there is one. */
  due(now: number): Task | undefined {
    for (;;) {
      const oldest = this.finished.peek();
      if (oldest === undefined) return undefined;
      if (this.#stale > 0 && this.#dropStale(oldest)) continue;
      if (this.finished.size - this.#stale <= this.count && now - oldest.endedAt <= this.age) return undefined;
      return this.finished.shift();
    }
  }

  /** The oldest stands for an end that is not the task's last. */
  #dropStale(oldest: Task): boolean {
    const times = this.#revived.get(oldest);
    if (times === undefined) return false;
    if (times === 1) this.#revived.delete(oldest);
    else this.#revived.set(oldest, times - 1);
    this.#stale--;
    this.finished.shift();
    return true;
  }
}

export class Records {
  readonly #byNumber = new Numbered<Task>();
  readonly #byId = new Map<string, Task>();
  readonly #ended = new Shelf();
  readonly #dead = new Shelf();
  readonly #forgotten: (task: Task) => void;

  constructor(keep: Kept, forgotten: (task: Task) => void) {
    this.#forgotten = forgotten;
    this.keep(keep);
  }

  keep({ count, age, dead = { count, age } }: Kept): void {
    this.#ended.count = count;
    this.#ended.age = age * 10;
    this.#dead.count = dead.count;
    this.#dead.age = dead.age * 10;
  }

  get size(): number {
    return this.#byNumber.size;
  }

  add(task: Task): void {
    this.#byNumber.set(task.number, task);
    if (task.id !== undefined) this.#byId.set(task.id, task);
  }

  get(id: string): Task | undefined {
    const number = automaticNumber(id);
    return number === undefined ? this.#byId.get(id) : (this.#byNumber.get(number) ?? this.#rangeWith(number));
  }

  /** The task that stands for that number among others: inputs of a `map` that follow each other. */
  #rangeWith(number: number): Task | undefined {
    for (let first = number - 1; first > 0 && first > number - MOST_INPUTS; first--) {
      const task = this.#byNumber.get(first);
      if (task !== undefined) return number < first + (task.rules?.part?.count ?? 1) ? task : undefined;
    }
    return undefined;
  }

  byNumber(number: number): Task | undefined {
    return this.#byNumber.get(number);
  }

  /** In the order of the puts. */
  values(): IterableIterator<Task> {
    return this.#byNumber.values();
  }

  /** The task has ended: from now on its record is kept by count and age. */
  ended(task: Task, now: number): void {
    this.#shelfOf(task).finished.push(task);
    this.prune(now);
  }

  /** A finished task is to be run anew. */
  revive(task: Task): void {
    if (task.overdue) task.overdue = false;
    else this.#shelfOf(task).revive(task);
  }

  /** Lets go of the records whose time has come. */
  prune(now: number): void {
    this.#prune(this.#ended, now);
    this.#prune(this.#dead, now);
  }

  pin(task: Task): void {
    task.pins++;
  }

  unpin(task: Task): void {
    task.pins--;
    if (task.pins === 0 && task.overdue) this.#forget(task);
  }

  #shelfOf({ state }: Task): Shelf {
    return state === State.failed || state === State.expired ? this.#dead : this.#ended;
  }

  #prune(shelf: Shelf, now: number): void {
    for (let task = shelf.due(now); task !== undefined; task = shelf.due(now)) {
      if (task.pins > 0) task.overdue = true;
      else this.#forget(task);
    }
  }

  #forget(task: Task): void {
    this.#byNumber.delete(task.number);
    if (task.id !== undefined) this.#byId.delete(task.id);
    // Those would in turn hold what they come after, back to the first.
    task.after = undefined;
    this.#forgotten(task);
  }
}
