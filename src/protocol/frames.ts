/**
 * Frames out of a stream of bytes, however it was cut.
 *
 *     u32 little-endian: length of the rest | u8 kind | body
 *
 * A frame that lies inside one chunk is decoded where it lies. One that spans chunks is copied together once, into
 * memory that grows with the bytes that have come: at most sixteen times them (and at least 4 KiB), never the length
 * that was merely claimed. Growing copies at most a third of the frame a second time. So the cost is linear in the bytes
 * for any cut, and a claim of 4 GiB costs its sender a closed connection and us nothing. Parts of long frames are put
 * together elsewhere (parts.ts): they are handed over as they come and not gathered first.
 */
import { FrameTooLargeError, ProtocolError } from '../errors.ts';
import { Reader } from './wire.ts';

/** What an assembled frame starts with, in bytes: also the most that a connection before its handshake can make us hold. */
const MIN_ASSEMBLY = 4096;
/** How far memory runs ahead of the bytes; and how near to the whole frame it takes the whole. */
const GROWTH = 4;

const nothing: Buffer = Buffer.alloc(0);

/** Memory for at least `needed` of `length` bytes, with the first `used` of `assembly`. */
export function grown(assembly: Buffer, used: number, needed: number, length: number): Buffer {
  const wanted = Math.max(needed * GROWTH, MIN_ASSEMBLY);
  const memory = Buffer.allocUnsafe(wanted * GROWTH < length ? wanted : length);
  assembly.copy(memory, 0, 0, used);
  return memory;
}

export class FrameDecoder {
  /** The longest frame that is taken, in bytes after the length word. It may be changed between frames. */
  limit: number;
  /** The kind of which one that spans chunks is handed over piece by piece, as if each piece were one. None: -1. */
  piecemeal = -1;
  readonly #onFrame: (kind: number, reader: Reader) => void;
  readonly #reader = new Reader(nothing);
  #stopped = false;
  /** A length word that a chunk's end has cut: its bytes so far, and how many. */
  #word = 0;
  #wordBytes = 0;
  /** The length of the frame that is being assembled; 0 while there is none. */
  #length = 0;
  #assembly: Buffer = nothing;
  #filled = 0;
  /** Bytes of a frame that is handed over piece by piece, still to come. */
  #owed = 0;

  /**
   * The `Reader` that `onFrame` gets, and every view from it, are valid until `onFrame` returns. What
   * `onFrame` throws comes out of `push()`, and nothing is decoded after it.
   */
  constructor(limit: number, onFrame: (kind: number, reader: Reader) => void) {
    this.limit = limit;
    this.#onFrame = onFrame;
  }

  /** A frame has begun and is not complete: its sender owes us bytes. */
  get partial(): boolean {
    return this.#length > 0 || this.#wordBytes > 0 || this.#owed > 0;
  }

  /** Nothing is decoded any more, not even the rest of the chunk in hand. */
  stop(): void {
    this.#stopped = true;
    this.#wordBytes = 0;
    this.#owed = 0;
    this.#begin(0);
  }

  /** Decodes the frames that `chunk` completes. Throws `FrameTooLargeError` or `ProtocolError` from a header alone. */
  push(chunk: Buffer): void {
    if (this.#stopped) return;
    let sound = false;
    try {
      this.#decode(chunk, this.partial ? this.#resume(chunk) : 0);
      sound = true;
    } finally {
      if (!sound) this.stop(); // the place in the stream is lost
    }
  }

  #decode(chunk: Buffer, from: number): void {
    const size = chunk.length;
    let at = from;
    while (size - at >= 4 && !this.#stopped) {
      const length = this.#checked(
        ((chunk[at] as number) |
          ((chunk[at + 1] as number) << 8) |
          ((chunk[at + 2] as number) << 16) |
          ((chunk[at + 3] as number) << 24)) >>>
          0,
      );
      at += 4;
      if (length > size - at) {
        this.#start(chunk, at, length);
        return;
      }
      const end = at + length;
      this.#onFrame(chunk[at] as number, this.#reader.reset(chunk, at + 1, end));
      at = end;
    }
    if (at < size && !this.#stopped) this.#readWord(chunk, at);
  }

  /** Goes on with the frame that the last chunk left unfinished. Returns where the next one starts. */
  #resume(chunk: Buffer): number {
    let at = 0;
    if (this.#owed > 0) return this.#handOver(chunk, 0);
    if (this.#length > 0 && this.#filled === 0) return this.#start(chunk, 0, this.#length);
    if (this.#length === 0) {
      at = this.#readWord(chunk, 0);
      if (this.#wordBytes < 4) return at;
      const length = this.#checked(this.#word);
      this.#word = 0;
      this.#wordBytes = 0;
      if (length <= chunk.length - at) {
        // Only the length was cut: the rest is whole.
        this.#onFrame(chunk[at] as number, this.#reader.reset(chunk, at + 1, at + length));
        return at + length;
      }
      return this.#start(chunk, at, length);
    }
    return this.#gather(chunk, at);
  }

  /** A frame that this chunk may not complete. Returns where it ended. */
  #start(chunk: Buffer, at: number, length: number): number {
    if (at < chunk.length && chunk[at] === this.piecemeal && length > 1) {
      this.#begin(0);
      this.#owed = length - 1;
      return this.#handOver(chunk, at + 1);
    }
    this.#begin(length);
    return this.#gather(chunk, at);
  }

  #handOver(chunk: Buffer, from: number): number {
    const end = Math.min(from + this.#owed, chunk.length);
    this.#owed -= end - from;
    if (end > from) this.#onFrame(this.piecemeal, this.#reader.reset(chunk, from, end));
    return end;
  }

  #readWord(chunk: Buffer, from: number): number {
    let at = from;
    for (; this.#wordBytes < 4 && at < chunk.length; at++) {
      this.#word += (chunk[at] as number) * 2 ** (8 * this.#wordBytes++);
    }
    return at;
  }

  #checked(length: number): number {
    if (length === 0) throw new ProtocolError('a frame without even a kind');
    if (length > this.limit) {
      throw new FrameTooLargeError(
        `a message of ${length} bytes; at most ${this.limit} are allowed (limits.frameBytes)`,
      );
    }
    return length;
  }

  #begin(length: number): void {
    this.#length = length;
    this.#filled = 0;
    this.#assembly = nothing;
  }

  /** Takes what belongs to the frame under assembly, and hands it over once it is whole. Returns where it ended. */
  #gather(chunk: Buffer, from: number): number {
    const end = Math.min(from + this.#length - this.#filled, chunk.length);
    if (end === from) return from;
    const filled = this.#filled + end - from;
    if (filled > this.#assembly.length) this.#assembly = grown(this.#assembly, this.#filled, filled, this.#length);
    chunk.copy(this.#assembly, this.#filled, from, end);
    this.#filled = filled;
    if (filled === this.#length) {
      const frame = this.#assembly;
      this.#begin(0);
      // A reader of its own, which goes with it: this one would keep its memory alive.
      this.#onFrame(frame[0] as number, new Reader(frame, 1, filled, true));
    }
    return end;
  }
}
