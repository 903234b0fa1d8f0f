/**
 * Keys: at most so many tasks of one key are leased at a time, and, with a keyed rate, so many within a time. While a
 * key is closed its tasks leave the ready index as they come up and wait in a line beside it; when it opens, the first
 * of each line goes back. Each task is moved a few times at most, however many wait.
 */
import { Deque } from './deque.ts';
import { Lines } from './lines.ts';
import { Bucket } from './rate.ts';
import type { RateLimit } from '../scheduling.ts';
import type { Task } from './task.ts';
import { hashOf, Texts } from './texts.ts';
import { Timer, type Timers } from './timers.ts';

export class Key extends Lines {
  readonly text: string;
  readonly hash: number;
  readonly number: number;
  /** Leases under way. */
  running = 0;
  /** Unfinished tasks of it. */
  live = 0;
  bucket: Bucket | undefined;
  /** Whether it is among those that rest, and has been used again since. */
  rest: 'out' | 'in' | 'again' = 'out';
  /** When it will open by its rate: set while tasks wait for that. */
  timer: Timer | undefined = undefined;

  constructor(text: string, hash: number, number: number, bucket: Bucket | undefined) {
    super();
    this.text = text;
    this.hash = hash;
    this.number = number;
    this.bucket = bucket;
  }
}

export class Keys {
  readonly #byText = new Texts<Key>();
  /**
   * Without a task, but with a bucket that is not full: in the order in which they became so, where they have not been
   * used again since.
   */
  readonly #resting = new Deque<Key>();
  /** When the one that has rested longest can be forgotten. */
  #timer: Timer | undefined = undefined;
  readonly #timers: Timers;
  #rate: RateLimit | undefined;
  #numbers = 0;
  limit = Infinity;

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  /** Other rules: nobody waits beside a cell any more. */
  configure(limit: number, rate: RateLimit | undefined): void {
    this.limit = limit;
    this.#rate = rate;
    // With another bucket, or none, there is nothing to remember of those that rest.
    for (const key of this.#resting) {
      key.rest = 'out';
      if (key.live === 0) this.#byText.delete(key);
    }
    this.#resting.clear();
    for (const key of this.#byText.values()) {
      key.bucket = this.#bucket();
      key.clear();
      this.#unschedule(key);
    }
  }

  /** Keys with a task, and those that rest. */
  get size(): number {
    return this.#byText.size;
  }

  get(text: string): Key | undefined {
    return this.#byText.get(text, hashOf(text));
  }

  values(): IterableIterator<Key> {
    return this.#byText.values();
  }

  /** Ancestors that hold a slot of the key as long as they await such a task, where there are no other slots. */
  heldByAncestors(text: string | undefined, parent: Task): Task[] {
    const holding: Task[] = [];
    const key = text === undefined ? undefined : this.get(text);
    if (key === undefined) return holding;
    for (let task: Task | undefined = parent; task !== undefined && task.lease !== 0; task = task.rules?.parent) {
      if (task.rules?.key === key) holding.push(task);
    }
    return holding.length >= this.limit ? holding : [];
  }

  /** The key of a task; it counts as one more of it. */
  enter(text: string): Key {
    const hash = hashOf(text);
    let key = this.#byText.get(text, hash);
    if (key === undefined) {
      key = new Key(text, hash, ++this.#numbers, this.#bucket());
      this.#byText.add(key);
    }
    if (key.live++ === 0 && key.rest === 'in') key.rest = 'again';
    return key;
  }

  /** A task of it has ended. A key is forgotten with its last task, once its bucket is full. */
  left(key: Key, now: number): void {
    if (--key.live > 0) return;
    this.#unschedule(key);
    if (key.bucket === undefined) {
      this.#byText.delete(key);
      return;
    }
    if (key.rest === 'out') this.#lay(key);
    this.#forget(now);
  }

  /** The timer of those that rest has come. */
  rested(now: number): void {
    this.#timer = undefined;
    this.#forget(now);
  }

  /** It is closed by its rate, and tasks wait for that. */
  schedule(key: Key): void {
    if (key.timer !== undefined || key.bucket === undefined) return;
    key.timer = new Timer(key.bucket.opensAt, 'key', key);
    this.#timers.add(key.timer);
  }

  #unschedule(key: Key): void {
    if (key.timer !== undefined) this.#timers.remove(key.timer);
    key.timer = undefined;
  }

  /** Those that rest are forgotten, once their buckets are full, even if nothing else happens. */
  #forget(now: number): void {
    for (let key = this.#resting.peek(); key !== undefined; key = this.#resting.peek()) {
      const { rest, bucket } = key;
      if (rest === 'in' && bucket !== undefined && bucket.fullFrom > now) {
        if (this.#timer === undefined) this.#timers.add((this.#timer = new Timer(bucket.fullFrom, 'rest', key)));
        return;
      }
      this.#resting.shift();
      key.rest = 'out';
      if (rest === 'in') this.#byText.delete(key);
      else if (key.live === 0) this.#lay(key);
    }
  }

  #lay(key: Key): void {
    key.rest = 'in';
    this.#resting.push(key);
  }

  open(key: Key, now: number): boolean {
    return key.running < this.limit && (key.bucket === undefined || key.bucket.open(now));
  }

  #bucket(): Bucket | undefined {
    return this.#rate === undefined ? undefined : new Bucket(this.#rate);
  }
}
