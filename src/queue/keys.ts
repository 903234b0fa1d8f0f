/**
 * Keys: at most so many tasks of one key are leased at a time, and, with a keyed rate, so many within a time. While a
 * key is closed its tasks leave the ready index as they come up and wait in a line beside it; when it opens, the first
 * of each line goes back. Each task is moved a few times at most, however many wait.
 */
import type { Cell } from './cells.ts';
import { Lanes } from './lanes.ts';
import type { Order } from './order.ts';
import { Bucket } from './rate.ts';
import type { RateLimit } from '../scheduling.ts';
import type { Task } from './task.ts';
import type { Timer } from './timers.ts';

/** The tasks of one key that have left one cell of the index. */
export interface Line {
  readonly cell: Cell;
  readonly lanes: Lanes;
}

const none: readonly Line[] = [];

export class Key {
  readonly text: string;
  readonly number: number;
  /** Leases under way. */
  running = 0;
  /** Unfinished tasks of it. */
  live = 0;
  #lines: Line[] | undefined = undefined;
  bucket: Bucket | undefined;
  /** When it will open by its rate: set while tasks wait for that. */
  timer: Timer | undefined = undefined;

  constructor(text: string, number: number, bucket: Bucket | undefined) {
    this.text = text;
    this.number = number;
    this.bucket = bucket;
  }

  /** None for most keys: made for the first task that waits. */
  get lines(): readonly Line[] {
    return this.#lines ?? none;
  }

  /** The lines are dropped, and who stands in them. */
  clear(): void {
    this.#lines = undefined;
  }

  /** The task waits beside its cell until the key opens. */
  park(task: Task, cell: Cell, order: Order): void {
    let line = this.lines.find((one) => one.cell === cell);
    if (line === undefined) {
      line = { cell, lanes: new Lanes(order) };
      (this.#lines ??= []).push(line);
    }
    line.lanes.push(task);
  }

  /** The first of the line beside that cell, which is out of it by that. */
  firstOf(cell: Cell): Task | undefined {
    const at = this.lines.findIndex((line) => line.cell === cell);
    if (at < 0) return undefined;
    const { lanes } = this.lines[at] as Line;
    const task = lanes.shift();
    if (lanes.size === 0) this.#lines?.splice(at, 1);
    return task;
  }

  /** Lines without a task are dropped. */
  tidy(): void {
    this.#lines = this.#lines?.filter(({ lanes }) => lanes.size > 0);
  }
}

export class Keys {
  readonly #byText = new Map<string, Key>();
  /** Without a task, but with a bucket that is not full: in the order in which they became so. */
  readonly #resting = new Set<Key>();
  #rate: RateLimit | undefined;
  #numbers = 0;
  limit = Infinity;

  configure(limit: number, rate: RateLimit | undefined): void {
    this.limit = limit;
    this.#rate = rate;
    for (const key of this.#byText.values()) key.bucket = this.#bucket();
  }

  get(text: string): Key | undefined {
    return this.#byText.get(text);
  }

  values(): IterableIterator<Key> {
    return this.#byText.values();
  }

  /** The key of a task; it counts as one more of it. */
  enter(text: string): Key {
    let key = this.#byText.get(text);
    if (key === undefined) {
      key = new Key(text, ++this.#numbers, this.#bucket());
      this.#byText.set(text, key);
    }
    if (key.live++ === 0 && key.bucket !== undefined) this.#resting.delete(key);
    return key;
  }

  /** A task of it has ended. A key is forgotten with its last task, once its bucket is full. */
  left(key: Key, now: number): void {
    if (--key.live > 0) return;
    if (key.bucket === undefined) {
      this.#byText.delete(key.text);
      return;
    }
    this.#resting.add(key);
    for (const oldest of this.#resting) {
      if ((oldest.bucket?.fullFrom ?? 0) > now) return;
      this.#resting.delete(oldest);
      this.#byText.delete(oldest.text);
    }
  }

  open(key: Key, now: number): boolean {
    return key.running < this.limit && (key.bucket === undefined || key.bucket.open(now));
  }

  #bucket(): Bucket | undefined {
    return this.#rate === undefined ? undefined : new Bucket(this.#rate);
  }
}
