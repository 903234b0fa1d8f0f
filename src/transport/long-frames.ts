/**
 * Long frames on their way out, and what waits behind them.
 *
 *     push ──▶ [long | short | short | long | …] ──▶ transport, in this order
 *               └ in parts, only as many as the transport takes without piling them up
 *
 * What is not pushed goes to the transport directly, and so between the parts. Nothing is copied: parts are views.
 */
import { LONG, PART_BYTES } from '../protocol/parts.ts';
import type { Order, Track } from '../protocol/order.ts';
import type { Reader } from '../protocol/wire.ts';
import type { Transport } from './transport.ts';

/**
 * The transport is given more while less than this (bytes) is pending there: what a short frame may have to wait for.
 * More than any medium's high-water mark, so that it tells when it is drained.
 */
const AHEAD = 256 * 1024;
/** Bytes after which a turn of the event loop is left to others, however fast the transport is. */
const TURN = 1024 * 1024;
/** Bytes in front of a frame that its parts do without. */
const LENGTH_WORD = 4;
/** Entries in front of the queue that have left, before it is cut. */
const CUT = 1024;

/** How long frames go in parts, from one side of a connection. */
export interface Side {
  readonly sends: PartKinds;
  readonly takes: PartKinds;
  /** The place of a frame that this side sends. */
  order(kind: number, reader: Reader): Order;
}

/** ToManager's or ToClient's. */
export interface PartKinds {
  readonly LONG: number;
  readonly PART: number;
}

interface Waiting {
  readonly pieces: readonly Buffer[];
  /** Without the length word. */
  readonly size: number;
  readonly before: Order['before'];
}

export class LongFrames {
  readonly #transport: Transport;
  readonly #kinds: PartKinds;
  readonly #progressed: () => void;
  #queue: Waiting[] = [];
  #head = 0;
  /** Of the first in the queue: bytes that have left, the piece that comes next, and where in it. */
  #sent = 0;
  #piece = 0;
  #at = 0;
  #bytes = 0;
  /** How many of those that wait are on each track; and how many let nothing pass. */
  readonly #tracks = new Map<Track, number>();
  #barriers = 0;
  #scheduled = false;
  readonly #sendSoon = (): void => {
    this.#scheduled = false;
    this.send();
  };

  /** `progressed` is called when frames have left that waited. */
  constructor(transport: Transport, kinds: PartKinds, progressed: () => void) {
    this.#transport = transport;
    this.#kinds = kinds;
    this.#progressed = progressed;
  }

  /** Nothing waits. */
  get idle(): boolean {
    return this.#head === this.#queue.length;
  }

  /** Bytes that wait behind the first frame. */
  get waiting(): number {
    return this.#bytes - (this.#queue[this.#head]?.size ?? 0);
  }

  mayPass({ after }: Order): boolean {
    if (this.idle || after === 'none') return true;
    if (after === 'all' || this.#barriers > 0) return false;
    return !after.some((track) => this.#tracks.has(track));
  }

  /** A frame of `size` bytes, with its length word in front; it and all that it waits for leave in this order. */
  push(pieces: readonly Buffer[], size: number, { before }: Order): void {
    this.#queue.push({ pieces, size, before });
    this.#bytes += size;
    if (before === 'all') this.#barriers++;
    else for (const track of before) this.#tracks.set(track, (this.#tracks.get(track) ?? 0) + 1);
  }

  /** The transport has nothing left to send. The next turn gives it more: it may ask as often as it likes. */
  drained(): void {
    if (!this.idle) this.#schedule();
  }

  /** Sends what the transport takes now. */
  send(): void {
    const bytes = this.#bytes;
    this.#sendUntil(AHEAD, TURN);
    // Where enough is pending, the transport tells when it is drained.
    if (!this.idle && this.#transport.pending < AHEAD) this.#schedule();
    if (this.#bytes < bytes) this.#progressed();
  }

  /** Sends all of it: the connection ends behind it. */
  sendAll(): void {
    this.#sendUntil(Infinity, Infinity);
  }

  /** Nothing will be sent any more. */
  drop(): void {
    this.#queue = [];
    this.#head = this.#sent = this.#piece = this.#at = this.#bytes = this.#barriers = 0;
    this.#tracks.clear();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#sendSoon);
  }

  #sendUntil(pending: number, bytes: number): void {
    let left = bytes;
    while (!this.idle && left > 0 && this.#transport.pending < pending) {
      const next = this.#queue[this.#head] as Waiting;
      left -= next.size > LONG ? this.#sendPart(next) : this.#sendWhole(next);
    }
  }

  #sendWhole({ pieces, size }: Waiting): number {
    for (const piece of pieces) this.#transport.send(piece);
    this.#shift();
    return size;
  }

  #sendPart({ pieces, size }: Waiting): number {
    const first = this.#sent === 0;
    const bytes = Math.min(PART_BYTES, size - this.#sent);
    this.#transport.send(this.#header(first ? size : undefined, bytes));
    if (first) this.#at = LENGTH_WORD;
    for (let left = bytes; left > 0;) {
      const piece = pieces[this.#piece] as Buffer;
      const end = Math.min(this.#at + left, piece.length);
      if (end > this.#at) this.#transport.send(piece.subarray(this.#at, end));
      left -= end - this.#at;
      this.#at = end;
      if (end < piece.length) break;
      this.#piece++;
      this.#at = 0;
    }
    this.#sent += bytes;
    if (this.#sent === size) this.#shift();
    return bytes;
  }

  /** What stands before the bytes of a part, and before the first part the length of the whole. */
  #header(length: number | undefined, bytes: number): Buffer {
    const header = Buffer.allocUnsafe(length === undefined ? 5 : 14);
    let at = 0;
    if (length !== undefined) {
      header.writeUInt32LE(5);
      header.writeUInt8(this.#kinds.LONG, 4);
      at = header.writeUInt32LE(length, 5);
    }
    header.writeUInt32LE(bytes + 1, at);
    header.writeUInt8(this.#kinds.PART, at + 4);
    return header;
  }

  /** The first in the queue has left. */
  #shift(): void {
    const { size, before } = this.#queue[this.#head] as Waiting;
    this.#bytes -= size;
    if (before === 'all') this.#barriers--;
    else for (const track of before) this.#release(track);
    this.#sent = this.#piece = this.#at = 0;
    this.#head++;
    if (!this.idle && this.#head < CUT) {
      // What has left must not be kept alive by the queue.
      this.#queue[this.#head - 1] = left;
      return;
    }
    this.#queue = this.#queue.slice(this.#head);
    this.#head = 0;
  }

  #release(track: Track): void {
    const count = this.#tracks.get(track) as number;
    if (count === 1) this.#tracks.delete(track);
    else this.#tracks.set(track, count - 1);
  }
}

const left: Waiting = { pieces: [], size: 0, before: [] };
