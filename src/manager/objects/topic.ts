/** A topic: what is published goes to all who subscribe now, or to those of one name. Nothing is kept for later. */
import type { Item } from '../../protocol/wire.ts';
import { checkOptions, textOf } from '../arguments.ts';
import { type Answer, type Call, PARKED } from '../call.ts';
import { Feed } from '../feed.ts';
import { type Made, SharedObject } from '../shared-object.ts';

export class Topic extends SharedObject {
  readonly #subscribers = new Set<Feed>();
  #published = 0;

  constructor(made: Made, options: ReadonlyMap<string, Item>) {
    super(made);
    this.attach(options);
  }

  attach(options: ReadonlyMap<string, Item>): void {
    checkOptions('a topic', options, []);
  }

  /** Answers how many it goes to. `to`: only subscribers whose client has that name. */
  publish(_call: Call, [value, to]: readonly Item[]): Answer {
    const name = to === undefined ? undefined : textOf(to, 'to');
    let receivers = 0;
    this.#published++;
    for (const feed of this.#subscribers) {
      if (name !== undefined && feed.session.peer.name !== name) continue;
      feed.offer(value);
      receivers++;
    }
    return receivers;
  }

  subscribe(call: Call): Answer {
    const feed = new Feed(call, { left: () => this.#subscribers.delete(feed) });
    this.#subscribers.add(feed);
    return PARKED;
  }

  /** How many subscribe, and how much has been published. */
  snapshot(): Answer {
    return [this.#subscribers.size, this.#published];
  }

  override dropped(reason: Error): void {
    for (const feed of [...this.#subscribers]) feed.end(reason);
  }
}
