/**
 * The plain form in which values cross: what the manager reads of them, and no more.
 *
 *     Item = scalar            undefined, null, boolean, number, string, bigint: the manager compares and adds these
 *          | Packed            opaque bytes of the codec, with the proxies and jobs inside listed beside the bytes
 *          | Item[]            a list: arguments, keys(), entries()
 *
 * In the place of packed bytes a frame may say where in an arena they lie (see `Region`): a task's input or output only.
 *
 * One tag byte, then the data, little-endian. `Reader` checks every bound: a length is compared with what is left in
 * the frame before anything is allocated for it.
 */
import { ProtocolError } from '../errors.ts';

export type Scalar = undefined | null | boolean | number | string | bigint;

/** A shared object named inside packed bytes. On the way in, `id` is what the session calls it; on the way out, the manager's id. */
export interface ProxyRef {
  readonly id: number;
  /** True where `id` is a handle that the sending session chose itself; false where it is the manager's object id. */
  readonly local: boolean;
  readonly typeId: string;
  readonly name: string | undefined;
}

/** A task named inside packed bytes: the queue's name and the task's id. */
export interface JobRefInfo {
  readonly queue: string;
  readonly id: string;
}

/** A value encoded by the codec. `bytes` is never read by the manager, only stored, compared and forwarded. */
export class Packed {
  readonly bytes: Uint8Array;
  readonly proxies: readonly ProxyRef[];
  readonly jobs: readonly JobRefInfo[];

  constructor(bytes: Uint8Array, proxies: readonly ProxyRef[] = none, jobs: readonly JobRefInfo[] = none) {
    this.bytes = bytes;
    this.proxies = proxies;
    this.jobs = jobs;
  }
}
const none: readonly never[] = [];

/**
 * An item that the manager read as bytes and sends on as it came, without looking inside. Small ones are kept as a string
 * whose characters stand for bytes: the most compact way there is, and nothing for the garbage collector to trace.
 */
export class Verbatim {
  readonly bytes: string | Uint8Array;
  constructor(bytes: string | Uint8Array) {
    this.bytes = bytes;
  }
}

export type Item = Scalar | Packed | Verbatim | readonly Item[];

/** Where packed bytes without references lie: a part of an arena (transport/arena-file.ts). */
export interface Region {
  readonly arena: number;
  readonly offset: number;
  readonly length: number;
}

/** Where a writer puts packed bytes that need not be in a frame. */
export interface Storage {
  /** Undefined where there is no room: the bytes go into the frame. The region is the frame's receiver's from then on. */
  put(pieces: readonly Uint8Array[], length: number): Region | undefined;
  /** The frame that was to name it is not sent. */
  takeBack(region: Region): void;
}

const UNDEFINED = 0;
const NULL = 1;
const FALSE = 2;
const TRUE = 3;
const INT32 = 4;
const FLOAT64 = 5;
/** ASCII of up to 255 characters. */
const ASCII = 6;
const UTF8 = 7;
/** Strings with lone surrogates, which UTF-8 cannot carry. */
const UTF16 = 8;
/** Sign byte, u32 length, hexadecimal digits. */
const BIGINT = 9;
const PACKED = 10;
const PACKED_WITH_REFS = 11;
const LIST = 12;
/** u32 arena, u48 offset, u32 length: packed bytes without references that lie elsewhere. */
const REGION = 13;
const REGION_BYTES = 15;
/** The head of packed bytes without references: its tag, u32 length. */
export const PACKED_HEAD = 5;

/** Payloads up to this size (bytes) are kept as strings. */
const KEPT_AS_STRING = 4096;
/** A value of this size (bytes) or more is not copied out of memory that holds little else and is its reader's own. */
const KEPT_IN_PLACE = 1 << 16;

/** Lists inside lists end here: deeper ones are no message of ours. Answers wrap what was kept in a few lists more. */
export const MAX_LISTS = 8;
const MAX_DEPTH = 2 * MAX_LISTS;

/**
 * Memory is asked for in pieces and dealt out to one `take()` after the other: small ones at first, so that an idle
 * connection costs little, larger ones the more is written (a 16th of it). Running out of a piece is thus nothing new
 * when the engine compiles what writes.
 */
const FIRST_SLAB = 1 << 10;
const SLAB = 1 << 16;
/** Bytes that are copied one by one. */
const SHORT = 40;
/** What is left of a slab below this part of it is not worth starting in. */
const SCRAP = 1 / 16;
/** Memory that a large frame has asked for (bytes) goes with it: a connection would keep it for ever. */
const KEPT = 4 * SLAB;

interface Attachment {
  readonly at: number;
  readonly bytes: Buffer;
}

interface Placed {
  readonly at: number;
  readonly region: Region;
}

/** What `copySince` gives: bytes, and the payloads between them. */
export interface Excerpt {
  readonly bytes: Buffer;
  readonly attached: readonly Attachment[];
  readonly placed: readonly Placed[];
}

/** Where frames are written. What `take()` has given away is never written again, so the taker owns it. */
export class Writer {
  #buffer: Buffer = Buffer.alloc(0);
  // One call for a number of several bytes: much less code for the engine to compile than a store for each of them.
  data = viewOf(this.#buffer);
  #size = 0;
  #from = 0;
  #at = 0;
  #generation = 0;
  #written = 0;
  #attachFrom = Infinity;
  /** Payloads that belong into the frame in hand without having been copied, and before which byte of it since `take()`. */
  #attached: Attachment[] = [];
  #outside = 0;
  #storage: Storage | undefined;
  /** What was put into `#storage` for frames that have not left. */
  #placed: Placed[] = [];

  constructor() {
    // V8 compiles a field that was assigned once as a constant, and everything that reads it again when it changes.
    this.#renew();
  }

  /** Bytes written since the last `take()`. */
  get length(): number {
    return this.#at - this.#from;
  }

  /** Bytes of the frame in hand that stand outside of the writer's memory: `length` does not count them. */
  get outside(): number {
    return this.#outside;
  }

  /**
   * From that size (bytes) on payloads are not copied: a frame with one leaves by `takePieces()`, and by nothing else.
   * Whoever writes them changes them no more.
   */
  attachFrom(bytes: number): void {
    this.#attachFrom = bytes;
  }

  /** Packed bytes from the size of `attachFrom` on go there. */
  storeIn(storage: Storage): void {
    this.#storage = storage;
  }

  /** Grows with every `take()`: what was written at a place is still there only while this is the same. */
  get generation(): number {
    return this.#generation;
  }

  /** The bytes since the last `take()`. */
  take(): Buffer {
    return this.takeUntil(this.length);
  }

  /** The bytes that were written before `length` was `at`. */
  takeUntil(end: number): Buffer {
    this.#generation++;
    const taken = this.#buffer.subarray(this.#from, this.#from + end);
    this.#written += taken.length;
    this.#from += end;
    if (this.#outside > 0) this.#attached = this.#attached.map(({ at, bytes }) => ({ at: at - end, bytes }));
    if (this.#placed.length > 0) {
      this.#placed = this.#placed.filter(({ at }) => at >= end).map(({ at, region }) => ({ at: at - end, region }));
    }
    if (this.#from < this.#at) return taken;
    if (this.#size - this.#at < SCRAP * this.#size || this.#size > KEPT) this.#renew();
    return taken;
  }

  /** All since the last `take()`, one frame, in pieces: those that were copied here and those that were not. */
  takePieces(): Buffer[] {
    const attached = this.#attached;
    this.#dropAttached(0);
    const own = this.take();
    const pieces: Buffer[] = [];
    let from = 0;
    for (const { at, bytes } of attached) {
      pieces.push(own.subarray(from, at), bytes);
      from = at;
    }
    if (from < own.length) pieces.push(own.subarray(from));
    return pieces;
  }

  #dropAttached(from: number): void {
    this.#attached = this.#attached.filter(({ at }) => at < from);
    this.#outside = this.#attached.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  #renew(): void {
    this.#use(Buffer.allocUnsafeSlow(this.#slab()));
    this.#from = this.#at = 0;
  }

  #slab(): number {
    return Math.min(SLAB, Math.max(FIRST_SLAB, this.#written >>> 4));
  }

  #use(buffer: Buffer): void {
    this.#buffer = buffer;
    this.data = viewOf(buffer);
    this.#size = buffer.length;
  }

  #grow(bytes: number): void {
    const used = this.#at - this.#from;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#slab(), (used + bytes) * (used === 0 ? 1 : 2)));
    this.#buffer.copy(grown, 0, this.#from, this.#at);
    this.#use(grown);
    this.#from = 0;
    this.#at = used;
  }

  /** Drops the frame that was begun at `start`: one that turned out not to be encodable leaves no trace. */
  abandonFrame(start: number): void {
    this.cut(start);
    if (start === 0 && this.#size > KEPT) this.#renew();
  }

  /** Back to where it was when `length` was `at`: what came after is not sent. */
  cut(at: number): void {
    this.#at = this.#from + at;
    if (this.#outside > 0) this.#dropAttached(at);
    if (this.#placed.length > 0) {
      for (const { region } of this.#unplace(at)) this.#storage?.takeBack(region);
    }
  }

  /** Those from `at` on, which the writer knows no more. */
  #unplace(from: number): Placed[] {
    const gone = this.#placed.filter(({ at }) => at >= from);
    this.#placed = this.#placed.filter(({ at }) => at < from);
    return gone;
  }

  /** A copy of what was written since `length` was `at`, to be cut here and written again by `rewrite`. */
  copySince(at: number): Excerpt {
    const attached = this.#attached.filter((one) => one.at >= at);
    return {
      bytes: copyOf(this.#buffer, this.#from + at, this.#at),
      attached: attached.map((one) => ({ at: one.at - at, bytes: one.bytes })),
      placed: this.#unplace(at).map((one) => ({ at: one.at - at, region: one.region })),
    };
  }

  rewrite({ bytes, attached, placed }: Excerpt): void {
    const start = this.length;
    this.raw(bytes);
    for (const one of attached) this.#attach(one.bytes, start + one.at);
    for (const { at, region } of placed) this.#placed.push({ at: start + at, region });
  }

  #attach(bytes: Uint8Array, at: number): void {
    this.#attached.push({ at, bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length) });
    this.#outside += bytes.length;
  }

  /** Starts a frame: room for its length, then the kind. Returns the position that `endFrame` wants back. */
  startFrame(kind: number): number {
    if (this.#at + 5 > this.#size) this.#grow(5);
    const at = this.#at;
    this.data.setUint8(at + 4, kind);
    this.#at = at + 5;
    return at - this.#from;
  }

  /** Starts a frame that begins with two numbers, as nearly all do. */
  startCall(kind: number, call: number, handle: number): number {
    if (this.#at + 13 > this.#size) this.#grow(13);
    const at = this.#at;
    const { data } = this;
    data.setUint8(at + 4, kind);
    data.setUint32(at + 5, call, true);
    data.setUint32(at + 9, handle, true);
    this.#at = at + 13;
    return at - this.#from;
  }

  /** The kind of the frame started at `start`. */
  kindAt(start: number): number {
    return this.data.getUint8(this.#from + start + 4);
  }

  /** Reads again what was written since `length` was `at`, as far as it stands here. */
  readerAt(at: number): Reader {
    return new Reader(this.#buffer, this.#from + at, this.#at);
  }

  /** Makes room for `bytes` bytes, which the caller writes to `data` from the position on that is returned. */
  claim(bytes: number): number {
    if (this.#at + bytes > this.#size) this.#grow(bytes);
    const at = this.#at;
    this.#at = at + bytes;
    return at;
  }

  /** Gives back the last so many bytes that were claimed. */
  unclaim(bytes: number): void {
    this.#at -= bytes;
  }

  /** Ends the frame started at `start` and returns its size with the length word. */
  endFrame(start: number): number {
    const at = this.#from + start;
    const size = this.#at - at + this.#outside;
    this.data.setUint32(at, size - 4, true);
    return size;
  }

  u8(value: number): void {
    if (this.#at + 1 > this.#size) this.#grow(1);
    this.data.setUint8(this.#at++, value);
  }

  u16(value: number): void {
    if (this.#at + 2 > this.#size) this.#grow(2);
    this.data.setUint16(this.#at, value, true);
    this.#at += 2;
  }

  u32(value: number): void {
    if (this.#at + 4 > this.#size) this.#grow(4);
    this.data.setUint32(this.#at, value, true);
    this.#at += 4;
  }

  /** Counters that may pass 2^32 (task numbers, lease sequences): 48 bits last 8 years at a million a second. */
  u48(value: number): void {
    if (this.#at + 6 > this.#size) this.#grow(6);
    setU48(this.data, this.#at, value);
    this.#at += 6;
  }

  f64(value: number): void {
    if (this.#at + 8 > this.#size) this.#grow(8);
    this.data.setFloat64(this.#at, value, true);
    this.#at += 8;
  }

  /** Bytes as they are, without a length. */
  raw(bytes: Uint8Array, from = 0, to = bytes.length): void {
    const size = to - from;
    if (this.#at + size > this.#size) this.#grow(size);
    if (size < SHORT) {
      const buffer = this.#buffer;
      let at = this.#at;
      for (let i = from; i < to; i++) buffer[at++] = bytes[i] as number;
    } else {
      this.#buffer.set(from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to), this.#at);
    }
    this.#at += size;
  }

  /** A string whose characters stand for bytes, as they are. */
  latin1(bytes: string): void {
    const { length } = bytes;
    if (this.#at + length > this.#size) this.#grow(length);
    if (length < SHORT) {
      // Cheaper than a call into the engine's own code.
      const buffer = this.#buffer;
      let at = this.#at;
      for (let i = 0; i < length; i++) buffer[at++] = bytes.charCodeAt(i);
      this.#at = at;
    } else {
      this.#at += this.#buffer.write(bytes, this.#at, 'latin1');
    }
  }

  /** Overwrites a byte that was written when `length` was `at`. */
  patchU8(value: number, at: number): void {
    this.data.setUint8(this.#from + at, value);
  }

  /** Overwrites a u32 that was written when `length` was `at`. */
  patchU32(value: number, at: number): void {
    this.data.setUint32(this.#from + at, value, true);
  }

  /** An item's bytes, as they came. */
  verbatim(bytes: string | Uint8Array): void {
    if (typeof bytes === 'string') this.latin1(bytes);
    else this.#payload(bytes);
  }

  /** Bytes that are changed no more. */
  #payload(bytes: Uint8Array): void {
    if (bytes.length < this.#attachFrom) this.raw(bytes);
    else this.#attach(bytes, this.length);
  }

  /** A short text of the protocol itself (a type id, a method's name): u16 length and UTF-8. */
  text(value: string): void {
    const size = Buffer.byteLength(value);
    if (size > 0xffff) throw new RangeError(`a name of ${size} bytes is too long; at most 65,535 are allowed`);
    this.u16(size);
    if (this.#at + size > this.#size) this.#grow(size);
    this.#at += this.#buffer.write(value, this.#at, 'utf8');
  }

  item(value: Item): void {
    switch (typeof value) {
      case 'number':
        if ((value | 0) === value && !Object.is(value, -0)) {
          this.u8(INT32);
          this.u32(value);
        } else {
          this.u8(FLOAT64);
          this.f64(value);
        }
        return;
      case 'string':
        this.#string(value);
        return;
      case 'undefined':
        this.u8(UNDEFINED);
        return;
      case 'boolean':
        this.u8(value ? TRUE : FALSE);
        return;
      case 'bigint':
        this.#bigint(value);
        return;
      default:
        if (value === null) this.u8(NULL);
        else if (value instanceof Packed) this.#packed(value);
        else if (value instanceof Verbatim) this.verbatim(value.bytes);
        else if (Array.isArray(value)) this.#list(value as readonly Item[]);
        else
          throw new TypeError(
            `an argument is of type ${typeof value}: only strings, numbers, bigints and booleans cross as they are`,
          );
    }
  }

  #string(value: string): void {
    const length = value.length;
    if (length < 256) {
      if (this.#at + 2 + length > this.#size) this.#grow(2 + length);
      const buffer = this.#buffer;
      const start = this.#at;
      let at = start + 2;
      let i = 0;
      for (; i < length; i++) {
        const c = value.charCodeAt(i);
        if (c > 0x7f) break;
        buffer[at++] = c;
      }
      if (i === length) {
        buffer[start] = ASCII;
        buffer[start + 1] = length;
        this.#at = at;
        return;
      }
    }
    if (value.isWellFormed()) {
      const size = Buffer.byteLength(value);
      this.u8(UTF8);
      this.u32(size);
      if (this.#at + size > this.#size) this.#grow(size);
      this.#at += this.#buffer.write(value, this.#at, 'utf8');
    } else {
      this.u8(UTF16);
      this.u32(length * 2);
      if (this.#at + length * 2 > this.#size) this.#grow(length * 2);
      this.#at += this.#buffer.write(value, this.#at, 'ucs2');
    }
  }

  #bigint(value: bigint): void {
    const digits = (value < 0n ? -value : value).toString(16);
    this.u8(BIGINT);
    this.u8(value < 0n ? 1 : 0);
    this.u32(digits.length);
    this.latin1(digits);
  }

  /** Packed bytes without references, from wherever they stand. */
  packedBytes(bytes: Uint8Array): void {
    this.u8(PACKED);
    this.u32(bytes.length);
    this.raw(bytes);
  }

  /**
   * Packed bytes without references into the writer's storage, from wherever the pieces stand. False, and nothing done,
   * where they are too few or there is no room.
   */
  store(pieces: readonly Uint8Array[], length: number): boolean {
    if (this.#storage === undefined || length < this.#attachFrom) return false;
    const region = this.#storage.put(pieces, length);
    if (region === undefined) return false;
    this.#placed.push({ at: this.length, region });
    this.region(region);
    return true;
  }

  /** Says where packed bytes lie. */
  region({ arena, offset, length }: Region): void {
    const at = this.claim(REGION_BYTES);
    const { data } = this;
    data.setUint8(at, REGION);
    data.setUint32(at + 1, arena, true);
    setU48(data, at + 5, offset);
    data.setUint32(at + 11, length, true);
  }

  /** Starts packed bytes without references, which the caller writes here. Returns the position that `endPacked` wants back. */
  startPacked(): number {
    const at = this.claim(5);
    this.data.setUint8(at, PACKED);
    return at - this.#from;
  }

  endPacked(start: number): void {
    const at = this.#from + start;
    this.data.setUint32(at + 1, this.#at - at - 5, true);
  }

  #packed(value: Packed): void {
    const { bytes, proxies, jobs } = value;
    if (proxies.length === 0 && jobs.length === 0) {
      this.u8(PACKED);
    } else {
      this.u8(PACKED_WITH_REFS);
      this.u32(proxies.length);
      for (const ref of proxies) {
        this.u8(ref.local ? 1 : 0);
        this.u48(ref.id);
        this.text(ref.typeId);
        this.item(ref.name);
      }
      this.u32(jobs.length);
      for (const ref of jobs) {
        this.item(ref.queue);
        this.item(ref.id);
      }
    }
    this.u32(bytes.length);
    this.#payload(bytes);
  }

  #list(items: readonly Item[]): void {
    this.u8(LIST);
    this.u32(items.length);
    for (const item of items) this.item(item);
  }
}

/** Reads one frame's body; every read past its end is a `ProtocolError`. */
export class Reader {
  #buffer: Buffer;
  data: DataView;
  #at: number;
  #end: number;
  /** The frame has its memory for itself and nobody else writes there: of a large value no copy is needed. */
  readonly #owns: boolean;

  constructor(buffer: Buffer, from = 0, to = buffer.length, owns = false) {
    this.#owns = owns;
    this.#buffer = buffer;
    this.data = viewOf(buffer);
    this.#at = from;
    this.#end = to;
  }

  /** Points the reader at another frame: a connection keeps one reader for all of them. */
  reset(buffer: Buffer, from: number, to: number): this {
    if (buffer !== this.#buffer) {
      this.#buffer = buffer;
      this.data = viewOf(buffer);
    }
    this.#at = from;
    this.#end = to;
    return this;
  }

  get position(): number {
    return this.#at;
  }

  get buffer(): Buffer {
    return this.#buffer;
  }

  get left(): number {
    return this.#end - this.#at;
  }

  get owns(): boolean {
    return this.#owns;
  }

  #need(bytes: number): number {
    const at = this.#at;
    if (bytes > this.#end - at) throw this.#short(bytes);
    this.#at = at + bytes;
    return at;
  }

  #short(bytes: number): ProtocolError {
    return new ProtocolError(`a message ends ${bytes - (this.#end - this.#at)} bytes too early`);
  }

  /** The message must end here. */
  end(): void {
    if (this.#at !== this.#end) throw new ProtocolError(`a message has ${this.#end - this.#at} bytes too many`);
  }

  /** Starts an entry of a frame that holds several; returns the position at which it ends. */
  entry(): number {
    const size = this.u32();
    if (size > this.#end - this.#at) throw this.#short(size);
    return this.#at + size;
  }

  /** The entry must end here. */
  endEntry(end: number): void {
    if (this.#at !== end) throw new ProtocolError(`a part of a message ends at ${this.#at}, not at ${end}`);
  }

  /** Passes what is left of an entry. */
  skipTo(end: number): void {
    this.#at = end;
  }

  /** Passes `bytes` bytes, which the caller reads from `data` from the position on that is returned. */
  claim(bytes: number): number {
    const at = this.#at;
    if (at + bytes > this.#end) throw this.#short(bytes);
    this.#at = at + bytes;
    return at;
  }

  u8(): number {
    const at = this.#at;
    if (at + 1 > this.#end) throw this.#short(1);
    this.#at = at + 1;
    return this.data.getUint8(at);
  }

  u16(): number {
    const at = this.#at;
    if (at + 2 > this.#end) throw this.#short(2);
    this.#at = at + 2;
    return this.data.getUint16(at, true);
  }

  u32(): number {
    const at = this.#at;
    if (at + 4 > this.#end) throw this.#short(4);
    this.#at = at + 4;
    return this.data.getUint32(at, true);
  }

  u48(): number {
    const at = this.#at;
    if (at + 6 > this.#end) throw this.#short(6);
    this.#at = at + 6;
    return getU48(this.data, at);
  }

  f64(): number {
    return this.data.getFloat64(this.#need(8), true);
  }

  /** A view into the frame: valid only until the reader's owner goes on; copy what is kept. */
  view(bytes: number): Buffer {
    const at = this.#need(bytes);
    return this.#buffer.subarray(at, at + bytes);
  }

  /** The rest of the frame as an item's bytes, see `Verbatim`. */
  rest(): string | Buffer {
    return this.itemUntil(this.#end);
  }

  /** The same of an entry that ends at `end`. */
  itemUntil(end: number): string | Buffer {
    const at = this.#at;
    if (at >= end) throw new ProtocolError('a message ends where a value belongs');
    if (!this.#endsWith(at, end)) {
      if (named(this.item())) throw new ProtocolError('a message names objects or tasks where it must not');
      this.endEntry(end);
    }
    this.#at = end;
    return end - at <= KEPT_AS_STRING ? this.#buffer.toString('latin1', at, end) : this.#kept(at, end);
  }

  /** What ends at `end`, where it is no item but says where one lies; undefined, and nothing passed, otherwise. */
  regionUntil(end: number): Region | undefined {
    if (this.#buffer[this.#at] !== REGION || this.#at >= end) return undefined;
    if (end - this.#at !== REGION_BYTES) throw new ProtocolError('a message names a region where it must not');
    const at = this.claim(REGION_BYTES);
    const { data } = this;
    return { arena: data.getUint32(at + 1, true), offset: getU48(data, at + 5), length: data.getUint32(at + 11, true) };
  }

  /** Bytes that outlive the frame. Most of the memory that a view keeps alive is what it shows. */
  #kept(at: number, end: number): Buffer {
    const size = end - at;
    if (this.#owns && size >= KEPT_IN_PLACE && size * 2 > this.#buffer.length) return this.#buffer.subarray(at, end);
    return copyOf(this.#buffer, at, end);
  }

  /** Whether the commonest kinds of items, by their length alone, end where the frame does: whoever reads it must not find it cut. */
  #endsWith(at: number, end: number): boolean {
    const tag = this.#buffer[at];
    if (tag === ASCII) return this.#buffer[at + 1] === end - at - 2;
    return (tag === PACKED || tag === UTF8) && end - at >= 5 && this.data.getUint32(at + 1, true) === end - at - 5;
  }

  text(): string {
    const size = this.u16();
    const at = this.#need(size);
    return this.#buffer.toString('utf8', at, at + size);
  }

  scalar(): Scalar {
    const item = this.item();
    if (typeof item === 'object' && item !== null)
      throw new ProtocolError('a message has a value where a scalar belongs');
    return item;
  }

  string(): string {
    const item = this.item();
    if (typeof item !== 'string') throw new ProtocolError('a message has another value where a string belongs');
    return item;
  }

  /**
   * Where the next item is packed bytes without references: their size, and only what stands before them is passed. -1,
   * and nothing passed, for any other item.
   */
  packedSize(): number {
    if (this.#end - this.#at < 5 || this.#buffer[this.#at] !== PACKED) return -1;
    this.#at++;
    return this.u32();
  }

  /** Packed bytes in it are copied where they would keep much else alive, such as a whole chunk of the socket. */
  item(depth = 0): Item {
    switch (this.u8()) {
      case UNDEFINED:
        return undefined;
      case NULL:
        return null;
      case FALSE:
        return false;
      case TRUE:
        return true;
      case INT32:
        return this.data.getInt32(this.#need(4), true);
      case FLOAT64:
        return this.f64();
      case ASCII: {
        const size = this.u8();
        const at = this.#need(size);
        return this.#buffer.toString('latin1', at, at + size);
      }
      case UTF8: {
        const size = this.u32();
        const at = this.#need(size);
        return this.#buffer.toString('utf8', at, at + size);
      }
      case UTF16: {
        const size = this.u32();
        const at = this.#need(size);
        return this.#buffer.toString('ucs2', at, at + size);
      }
      case BIGINT:
        return this.#bigint();
      case PACKED: {
        const size = this.u32();
        const at = this.#need(size);
        return new Packed(this.#kept(at, at + size));
      }
      case PACKED_WITH_REFS:
        return this.#packedWithRefs();
      case LIST: {
        const count = this.u32();
        if (depth >= MAX_DEPTH) throw new ProtocolError(`a message nests lists deeper than ${MAX_DEPTH}`);
        // Each item takes at least its tag byte: a count beyond the bytes that are left is a lie.
        if (count > this.left) throw new ProtocolError(`a message claims ${count} items in ${this.left} bytes`);
        const items: Item[] = [];
        for (let i = 0; i < count; i++) items.push(this.item(depth + 1));
        return items;
      }
      default:
        throw new ProtocolError(`a message has an unknown tag ${this.#buffer[this.#at - 1]}`);
    }
  }

  /** Passes an item without looking inside. One that names objects or tasks is refused. */
  skip(): void {
    const tag = this.#buffer[this.#at] as number;
    if (this.#at >= this.#end) throw this.#short(1);
    if (tag <= TRUE) this.#need(1);
    else if (tag === INT32) this.#need(5);
    else if (tag === FLOAT64) this.#need(9);
    else if (tag === ASCII) this.#need(2 + (this.#buffer[this.#at + 1] as number));
    else if (tag === PACKED || tag === UTF8) {
      this.#need(5);
      this.#need(this.data.getUint32(this.#at - 4, true));
    } else if (named(this.item())) {
      throw new ProtocolError('a message names objects or tasks where it must not');
    }
  }

  #bigint(): bigint {
    const negative = this.u8() === 1;
    const size = this.u32();
    const at = this.#need(size);
    const digits = this.#buffer.toString('latin1', at, at + size);
    if (!/^[0-9a-f]+$/.test(digits)) throw new ProtocolError('a message has a bigint that is none');
    const value = BigInt(`0x${digits}`);
    return negative ? -value : value;
  }

  /** A count of things that take at least a byte each. */
  #count(): number {
    const count = this.u32();
    if (count > this.left) throw new ProtocolError(`a message claims ${count} references in ${this.left} bytes`);
    return count;
  }

  #packedWithRefs(): Packed {
    const proxies: ProxyRef[] = [];
    for (let count = this.#count(); count > 0; count--) {
      const local = this.u8() === 1;
      const id = this.u48();
      const typeId = this.text();
      const name = this.scalar();
      proxies.push({ id, local, typeId, name: typeof name === 'string' ? name : undefined });
    }
    const jobs: JobRefInfo[] = [];
    for (let count = this.#count(); count > 0; count--) jobs.push({ queue: this.string(), id: this.string() });
    const size = this.u32();
    const at = this.#need(size);
    return new Packed(this.#kept(at, at + size), proxies, jobs);
  }
}

/** Whether the item, kept as bytes, would carry references that nobody has looked at. */
function named(item: Item): boolean {
  if (item instanceof Packed) return item.proxies.length + item.jobs.length > 0;
  return Array.isArray(item) && (item as readonly Item[]).some(named);
}

/** What stands before packed bytes without references. */
export function writePackedHead(buffer: Buffer, length: number): void {
  buffer[0] = PACKED;
  buffer.writeUInt32LE(length, 1);
}

/** Takes it modulo 2^48. */
export function setU48(data: DataView, at: number, value: number): void {
  data.setUint32(at, value, true);
  data.setUint16(at + 4, value / 0x1_0000_0000, true);
}

export function getU48(data: DataView, at: number): number {
  const low = data.getUint32(at, true);
  const high = data.getUint16(at + 4, true);
  // A product with 2^32 is a double to V8, and so would be every field that it is assigned to.
  return high === 0 ? low : high * 0x1_0000_0000 + low;
}

function viewOf(buffer: Buffer): DataView {
  return new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
}

/** A copy that owns its memory where it is large, and shares Node's small pool where it is not. */
function copyOf(buffer: Buffer, from: number, to: number): Buffer {
  const copy = Buffer.allocUnsafe(to - from);
  buffer.copy(copy, 0, from, to);
  return copy;
}
