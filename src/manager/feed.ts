/**
 * Feeds: values that flow from an object to one reader while it reads: changes of a watched object, what is published,
 * what a generator yields. A feed is the answer of a call that stays parked until its reader leaves.
 *
 *     object ──offer──> kept, the oldest dropped and counted ──> on its way, unread ──READ──> gone
 *                       10,000 values or 4 MiB a feed,           64 values or 1 MiB a feed,
 *                       8 MiB a session                          nothing while the session is congested
 */
import { ProtocolError } from '../errors.ts';
import { FEED_BYTES, FEED_WINDOW, ToClient } from '../protocol/messages.ts';
import { type Item, Packed } from '../protocol/wire.ts';
import { Deque } from '../queue/deque.ts';
import type { Call } from './call.ts';
import { eachNamed } from './references.ts';
import type { Session } from './session.ts';

/** Values that a feed keeps for a reader that is behind, beside those on their way to it. */
const KEPT = 10_000;
/** Their bytes; the newest value is kept however large it is. */
const KEPT_BYTES = 4 * 1024 * 1024;
/** Their bytes over all feeds of a session. */
const SESSION_BYTES = 8 * 1024 * 1024;
/** What a kept value costs beside its bytes. */
const OVERHEAD = 64;

/** What fills a feed. */
export interface FeedSource {
  /** The reader has gone: nothing more is wanted. */
  left(): void;
  /** There is room again, after `hasRoom` was false. */
  wanted?(): void;
}

/** The feeds of one session, by their call. */
export class Feeds {
  readonly open = new Map<number, Feed>();
  /** What they keep, in bytes. */
  kept = 0;

  /** The client has read so many values of the feed; one that is over has no use for it. */
  read(call: number, count: number): void {
    this.open.get(call)?.read(count);
  }
}

/** One feed, while it lasts. */
export class Feed {
  readonly session: Session;
  readonly #call: Call;
  readonly #source: FeedSource;
  readonly #kept = new Deque<Item>();
  #keptBytes = 0;
  /** Dropped before the oldest that is kept. */
  #missed = 0;
  /** Sizes of the frames on their way, oldest first. */
  #unread: number[] = [];
  #unreadBytes = 0;
  /** It ends, with this error if any, when all that is kept has been sent. */
  #ending: { readonly error: unknown } | undefined;
  #waiting = false;
  #over = false;

  /** The call is parked by it: return `PARKED`. */
  constructor(call: Call, source: FeedSource) {
    this.#call = call;
    this.session = call.session;
    this.#source = source;
    call.park(() => this.#leave());
    this.session.feeds.open.set(call.id, this);
  }

  /** Tells the client that its call is answered by a feed, where it could have been answered otherwise. */
  announce(): void {
    const { link } = this.session;
    const start = link.begin(ToClient.FEED);
    link.writer.u32(this.#call.id);
    link.end(start);
  }

  /** Nothing more can be sent. */
  get over(): boolean {
    return this.#over;
  }

  /** Whether the reader takes one more now. Where it does not, the source is told when it does. */
  hasRoom(): boolean {
    if (this.#over || this.#unread.length >= FEED_WINDOW || this.#unreadBytes >= FEED_BYTES) return false;
    if (!this.session.congested) return true;
    if (!this.#waiting) {
      this.#waiting = true;
      this.session.whenWritable(() => {
        this.#waiting = false;
        this.#resume();
      });
    }
    return false;
  }

  /** One more value: sent, or kept until the reader takes it; of too many the oldest are dropped, and counted. */
  offer(item: Item): void {
    if (this.#over || this.#ending !== undefined) return;
    if (this.#kept.size === 0 && this.hasRoom()) return this.#send(item);
    // What it names lives until it has been sent, and lent then, or dropped.
    eachNamed(item, (object) => object.references++);
    this.#kept.push(item);
    this.#keep(sizeOf(item));
    while (this.#kept.size > 1 && this.#tooMuch()) {
      this.#letGo(this.#kept.shift());
      this.#missed++;
    }
  }

  /** No more values come: once those that are kept have been read the reader is told, with the error if there is one. */
  end(error?: unknown): void {
    this.#ending ??= { error };
    this.#flush();
  }

  /** The client has read so many. */
  read(count: number): void {
    if (count > this.#unread.length) {
      throw new ProtocolError(`call ${this.#call.id} says that ${count} values were read, of ${this.#unread.length}`);
    }
    for (const size of this.#unread.splice(0, count)) this.#unreadBytes -= size;
    this.#resume();
  }

  #resume(): void {
    this.#flush();
    if (!this.#over && this.#kept.size === 0) this.#source.wanted?.();
  }

  #flush(): void {
    while (this.#kept.size > 0 && this.hasRoom()) {
      const item = this.#kept.shift();
      this.#send(item);
      this.#letGo(item);
    }
    if (this.#over || this.#ending === undefined || this.#kept.size > 0) return;
    const { error } = this.#ending;
    this.#close();
    if (error === undefined) this.#call.answer();
    else this.#call.fail(error);
  }

  #send(item: Item): void {
    const { link } = this.session;
    this.session.lendNamed(item);
    const start = link.begin(ToClient.ITEM);
    link.writer.u32(this.#call.id);
    link.writer.u32(this.#missed);
    link.writer.item(item);
    const size = link.writer.length - start + link.writer.outside;
    try {
      link.end(start);
    } catch (error) {
      // Too large for a message: the reader is told, and there is nothing to go on with.
      this.#leave();
      this.#call.fail(error);
      return;
    }
    this.#missed = 0;
    this.#unread.push(size);
    this.#unreadBytes += size;
  }

  #tooMuch(): boolean {
    return this.#kept.size > KEPT || this.#keptBytes > KEPT_BYTES || this.session.feeds.kept > SESSION_BYTES;
  }

  #keep(bytes: number): void {
    this.#keptBytes += bytes;
    this.session.feeds.kept += bytes;
  }

  /** It is kept no longer. */
  #letGo(item: Item): void {
    this.#keep(-sizeOf(item));
    eachNamed(item, (object) => this.session.manager.release(object));
  }

  #leave(): void {
    if (!this.#over) this.#close();
  }

  #close(): void {
    this.#over = true;
    for (const item of this.#kept) this.#letGo(item);
    this.#kept.clear();
    const { open } = this.session.feeds;
    if (open.get(this.#call.id) === this) open.delete(this.#call.id);
    this.#source.left();
  }
}

function sizeOf(item: Item): number {
  if (typeof item === 'string') return OVERHEAD + 2 * item.length;
  if (item instanceof Packed) return OVERHEAD + item.bytes.length;
  if (!Array.isArray(item)) return OVERHEAD;
  let size = OVERHEAD;
  for (const part of item as readonly Item[]) size += sizeOf(part);
  return size;
}
