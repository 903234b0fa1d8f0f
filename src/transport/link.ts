/**
 * Frames over a transport: what both the client's connection and the manager's session stand on.
 *
 * Everything written in one turn of the event loop leaves in one write: at the end of the chunk that is being received,
 * or, outside of one, as soon as the code that runs now has run (process.nextTick, which comes after the promise
 * callbacks that are ready). A turn that writes more than FLUSH_AT sends what it has and goes on. Entries, as those of
 * puts, outside of a chunk begin to leave at EARLY, with twice as much each time: others can begin with them, but a write
 * costs both sides a wake-up. Long frames leave in parts, as fast as the transport takes them (long-frames.ts); what must
 * not pass them waits behind them.
 */
import { FrameTooLargeError, ProtocolError } from '../errors.ts';
import { FrameDecoder } from '../protocol/frames.ts';
import { Assembly, LONG } from '../protocol/parts.ts';
import { type Reader, Writer } from '../protocol/wire.ts';
import { LongFrames, type Side } from './long-frames.ts';
import type { Transport } from './transport.ts';

/** Bytes after which a turn does not wait for its end. */
const FLUSH_AT = 60_000;
/** The same for entries, at first: they are work for others, who can begin with it. */
const EARLY = 4_000;
/** A frame of several entries takes no more of them from this size (bytes) on. */
const FULL = 16_000;
/** What is said aside leaves after so long (ms) where nothing else does. */
const ASIDE = 5;
/** Length, kind. */
const FRAME_HEADER = 5;
/** Length, kind, handle. */
const ENTRIES_HEADER = 9;

export interface LinkHandlers {
  frame(kind: number, reader: Reader): void;
  /** All frames of a chunk have been handled; what is written now still leaves with the answers. */
  turnEnded?(): void;
  drained?(): void;
  /** What was written in a turn, or in a long part of it, has been handed to the transport. */
  flushed?(): void;
  closed(error?: Error): void;
}

export class Link {
  readonly transport: Transport;
  readonly writer = new Writer();
  readonly decoder: FrameDecoder;
  #sendLimit: number;
  /** A frame longer than this (bytes) cannot simply stay in the writer: too long, to go in parts, or something waits. */
  #plain: number;
  #side: Side | undefined;
  /** No kind, until long frames are carried. */
  #longKind = -1;
  #partKind = -1;
  #long: LongFrames | undefined;
  readonly #assembly = new Assembly();
  /** When the last bytes arrived, on the monotonic clock (ms). */
  lastReceived = performance.now();
  bytesReceived = 0;
  #handlers: LinkHandlers;
  #receiving = false;
  #scheduled = false;
  /** Something has been sent since nothing waited: asked for every task, so the transport is not. */
  #sent = false;
  #closed = false;
  /** The last frame that holds several entries: what follows it at once may still go into it. */
  #shared = { kind: 0, handle: 0, start: 0, end: -1, generation: -1, entry: 0 };
  /** Bytes at which entries leave. */
  #flushAt = EARLY;
  /** What writes frames that nobody waits for. */
  #asides: (() => void)[] = [];
  #asideTimer: NodeJS.Timeout | undefined;
  #flushSoon = (): void => {
    this.#scheduled = false;
    this.flush();
    this.#flushAt = EARLY;
  };

  constructor(transport: Transport, limit: number, handlers: LinkHandlers) {
    this.transport = transport;
    this.#sendLimit = this.#plain = limit;
    this.#handlers = handlers;
    this.decoder = new FrameDecoder(limit, (kind, reader) => {
      if (kind === this.#partKind) this.#takePart(reader);
      else if (kind === this.#longKind) this.#assembly.begin(reader, this.decoder.limit);
      else this.#handlers.frame(kind, reader);
    });
    transport.receive({
      data: (chunk) => this.#received(chunk),
      drained: () => {
        this.#long?.drained();
        this.#handlers.drained?.();
      },
      closed: (error) => this.#ended(error),
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Longest frame that the other side takes (bytes). */
  get sendLimit(): number {
    return this.#sendLimit;
  }

  set sendLimit(bytes: number) {
    this.#sendLimit = bytes;
    this.#sort();
  }

  /** A frame has begun and is not complete: the other side owes us bytes. */
  get partial(): boolean {
    return this.decoder.partial || this.#assembly.partial;
  }

  /** Bytes that wait to be sent. The long frame that is under way does not count. */
  get pending(): number {
    return this.#sent || this.#plain === 0 ? this.#unsent() : 0;
  }

  #unsent(): number {
    const pending = this.transport.pending + (this.#long?.waiting ?? 0);
    if (pending === 0) this.#sent = false;
    return pending;
  }

  /** From here on long frames go in parts, both ways: not before the other side is known. */
  carryLong(side: Side): void {
    this.#side = side;
    this.#longKind = side.takes.LONG;
    this.#partKind = this.decoder.piecemeal = side.takes.PART;
    this.#long = new LongFrames(this.transport, side.sends, () => {
      this.#sent = true;
      this.#sort();
      this.#handlers.drained?.();
    });
    this.writer.attachFrom(LONG);
    this.#sort();
  }

  /** Lets other handlers take over: the handshake gives way to the session. */
  handOver(handlers: LinkHandlers): void {
    this.#handlers = handlers;
  }

  /** Starts a frame; write the body to `writer`, then `end`. */
  begin(kind: number): number {
    if (!this.#scheduled && !this.#receiving) {
      this.#scheduled = true;
      process.nextTick(this.#flushSoon);
    }
    return this.writer.startFrame(kind);
  }

  /** Starts a frame that begins with a call's number and a handle. */
  beginCall(kind: number, call: number, handle: number): number {
    if (!this.#scheduled && !this.#receiving) {
      this.#scheduled = true;
      process.nextTick(this.#flushSoon);
    }
    return this.writer.startCall(kind, call, handle);
  }

  /** Ends the frame; one that the other side would refuse is dropped and thrown here. */
  end(start: number): void {
    const size = this.writer.endFrame(start) - 4;
    if (size > this.#plain) {
      if (size > this.#sendLimit) {
        this.writer.abandonFrame(start);
        throw tooLarge(size, this.#sendLimit);
      }
      this.#place(start, size);
    }
    if (this.writer.length > FLUSH_AT) this.flush();
  }

  #sort(): void {
    if (this.#side === undefined) this.#plain = this.#sendLimit;
    else this.#plain = this.#long?.idle === false ? 0 : Math.min(this.#sendLimit, LONG);
  }

  /** The frame in hand, of `size` bytes, is long, or something waits: it may have to wait too. */
  #place(start: number, size: number): void {
    const long = this.#long;
    if (this.#side === undefined || long === undefined) return;
    const { writer } = this;
    const order = this.#side.order(writer.kindAt(start), writer.readerAt(start + FRAME_HEADER));
    if (size <= LONG && long.mayPass(order)) return;
    this.#sent = true;
    if (start > 0) this.transport.send(writer.takeUntil(start));
    long.push(writer.takePieces(), size, order);
    this.#plain = 0;
  }

  /**
   * Starts an entry of a frame that holds several of a kind for one handle: of the frame before it, where that is such a
   * one and has not left. Write the entry to `writer`, then `endEntry` or `dropEntry`.
   */
  beginEntry(kind: number, handle: number): void {
    const { writer } = this;
    const shared = this.#shared;
    if (
      this.#plain === 0 ||
      writer.length !== shared.end ||
      kind !== shared.kind ||
      handle !== shared.handle ||
      writer.generation !== shared.generation ||
      shared.end - shared.start > Math.min(FULL, this.#flushAt)
    ) {
      if (writer.length > this.#flushAt) {
        this.#flush(!this.#receiving);
        this.#flushAt = Math.min(FLUSH_AT, 2 * this.#flushAt);
      }
      shared.start = this.begin(kind);
      writer.u32(handle);
      shared.kind = kind;
      shared.handle = handle;
      shared.generation = writer.generation;
    }
    shared.entry = writer.length;
    writer.u32(0);
  }

  /** Ends the entry; one that the other side would refuse even in a frame of its own is dropped and thrown here. */
  endEntry(): void {
    const { writer } = this;
    const shared = this.#shared;
    writer.patchU32(writer.length - shared.entry - 4 + writer.outside, shared.entry);
    let size = writer.endFrame(shared.start) - 4;
    if (size > this.#plain) {
      if (size > this.#sendLimit) size = this.#partEntry();
      if (size > this.#plain) this.#place(shared.start, size);
    }
    shared.end = writer.length;
  }

  /** The entry was not to be: nothing of it is sent. */
  dropEntry(): void {
    const shared = this.#shared;
    if (shared.entry === shared.start + ENTRIES_HEADER) {
      this.writer.abandonFrame(shared.start);
      shared.end = -1;
    } else {
      this.writer.cut(shared.entry);
      this.writer.endFrame(shared.start);
    }
  }

  /** With those before it the entry is too long: it goes into a frame of its own, unless it was alone. Returns its size. */
  #partEntry(): number {
    const { writer } = this;
    const shared = this.#shared;
    const alone = shared.entry === shared.start + ENTRIES_HEADER;
    const size = writer.length - shared.entry + writer.outside + ENTRIES_HEADER - 4;
    if (alone || size > this.#sendLimit) {
      this.dropEntry();
      throw tooLarge(size, this.#sendLimit);
    }
    const excerpt = writer.copySince(shared.entry);
    this.dropEntry();
    shared.start = writer.startFrame(shared.kind);
    writer.u32(shared.handle);
    shared.entry = writer.length;
    writer.rewrite(excerpt);
    return writer.endFrame(shared.start) - 4;
  }

  /**
   * `write` writes frames for which nobody waits: with the next bytes that leave, or after 5 ms. So it wakes no process
   * by itself while others are under way, and never comes into the middle of a frame.
   */
  aside(write: () => void): void {
    if (this.#closed || this.#asides.push(write) > 1) return;
    this.#asideTimer ??= setTimeout(() => {
      this.#asideTimer = undefined;
      this.#sayAsides();
      this.flush();
    }, ASIDE).unref();
  }

  /** The caller flushes. */
  #sayAsides(): void {
    const scheduled = this.#scheduled;
    this.#scheduled = true;
    const due = this.#asides;
    this.#asides = [];
    for (const write of due) write();
    this.#scheduled = scheduled;
  }

  flush(): void {
    this.#flush(false);
  }

  /** `on`: in a turn that goes on writing. */
  #flush(on: boolean): void {
    if (this.#asides.length > 0 && this.writer.length > 0) this.#sayAsides();
    if (this.writer.length > 0) {
      this.#sent = true;
      if (on) this.transport.sendNow(this.writer.take());
      else this.transport.send(this.writer.take());
    }
    if (this.#plain === 0) this.#long?.send();
    this.#handlers.flushed?.();
  }

  /** Sends what was written and ends the connection. */
  close(error?: Error): void {
    if (this.#closed) return;
    this.flush();
    this.#long?.sendAll();
    this.decoder.stop();
    this.transport.close(error);
  }

  #takePart(reader: Reader): void {
    const frame = this.#assembly.add(reader);
    if (frame === undefined) return;
    const kind = frame.u8();
    if (kind === this.#partKind || kind === this.#longKind) throw new ProtocolError('a part inside of a long message');
    this.#handlers.frame(kind, frame);
  }

  #received(chunk: Buffer): void {
    this.lastReceived = performance.now();
    this.bytesReceived += chunk.length;
    this.#receiving = true;
    this.#flushAt = FLUSH_AT;
    try {
      this.decoder.push(chunk);
    } finally {
      this.#receiving = false;
    }
    this.#handlers.turnEnded?.();
    this.flush();
    this.#flushAt = EARLY;
  }

  #ended(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#asideTimer);
    this.#asides = [];
    this.decoder.stop();
    this.#assembly.drop();
    this.#long?.drop();
    this.#handlers.closed(error);
  }
}

function tooLarge(size: number, limit: number): FrameTooLargeError {
  return new FrameTooLargeError(
    `a message of ${size} bytes is over the limit of ${limit}; send less at once, or raise limits.frameBytes`,
  );
}
