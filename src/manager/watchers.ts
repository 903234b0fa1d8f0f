/** Who watches an object, and what they are told of each change: version, author's session, key, and the new value. */
import type { Item, Scalar } from '../protocol/wire.ts';
import { type Call, PARKED } from './call.ts';
import { Feed } from './feed.ts';

/** The key of a watcher that hears of all. */
const ALL = Symbol('all');

export class Watchers {
  /** Changes so far. */
  #version = 0;
  /** Undefined while nobody watches, as nearly always. */
  #feeds: Map<Scalar | typeof ALL, Set<Feed>> | undefined;

  /** `call` is told of every change from now on: of those at `key`, or of all. */
  watch(call: Call, key?: Scalar): typeof PARKED {
    const at = key === undefined ? ALL : key;
    const feeds = (this.#feeds ??= new Map());
    const listening = feeds.get(at) ?? new Set<Feed>();
    feeds.set(at, listening);
    const feed = new Feed(call, {
      left: () => {
        listening.delete(feed);
        if (listening.size === 0 && feeds.get(at) === listening) feeds.delete(at);
        if (feeds.size === 0 && this.#feeds === feeds) this.#feeds = undefined;
      },
    });
    listening.add(feed);
    return PARKED;
  }

  /** The value at `key` (of an object with one value: undefined) is another now. */
  changed(call: Call, key: Scalar, value: Item): void {
    this.#version++;
    if (this.#feeds !== undefined) this.#tell(key, [this.#version, call.session.id, key, value]);
  }

  /** There is no value at `key` any more. */
  deleted(call: Call, key: Scalar): void {
    this.#version++;
    if (this.#feeds !== undefined) this.#tell(key, [this.#version, call.session.id, key]);
  }

  /** None of these keys has a value any more: a change for each. */
  cleared(call: Call, keys: Iterable<Scalar>, count: number): void {
    if (this.#feeds === undefined) this.#version += count;
    else for (const key of keys) this.deleted(call, key);
  }

  /** The object has gone. */
  end(reason: Error): void {
    const feeds = [...(this.#feeds?.values() ?? [])].flatMap((listening) => [...listening]);
    for (const feed of feeds) feed.end(reason);
  }

  #tell(key: Scalar, change: Item): void {
    for (const at of [ALL, key] as const) {
      const listening = this.#feeds?.get(at);
      if (listening !== undefined) for (const feed of listening) feed.offer(change);
    }
  }
}
