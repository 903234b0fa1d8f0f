/**
 * Long frames, carried in parts so that others pass between them.
 *
 *     LONG   u32 length        of the frame: its kind and body
 *     PART   bytes             … until there are as many as were claimed
 *
 * One long frame at a time is under way in each direction of a connection: there is nothing to tell parts apart by, and
 * what a peer can make us assemble is one frame.
 */
import { FrameTooLargeError, ProtocolError } from '../errors.ts';
import { grown } from './frames.ts';
import { Reader } from './wire.ts';

/** Frames longer than this (bytes) go in parts. */
export const LONG = 256 * 1024;
/** Bytes of a long frame in one part. */
export const PART_BYTES = 128 * 1024;

const nothing: Buffer = Buffer.alloc(0);

/** Puts the parts of long frames together, in memory that grows with what has come (see frames.ts). */
export class Assembly {
  /** Length of the frame that is under way; 0 while there is none. */
  #length = 0;
  #memory: Buffer = nothing;
  #filled = 0;

  /** A frame has begun and is not complete: its sender owes us parts. */
  get partial(): boolean {
    return this.#length > 0;
  }

  /** A long frame begins. `limit`: the longest that is taken. */
  begin(reader: Reader, limit: number): void {
    if (this.partial) throw new ProtocolError('a long message begins inside of another one');
    const length = reader.u32();
    reader.end();
    if (length > limit) {
      throw new FrameTooLargeError(`a message of ${length} bytes; at most ${limit} are allowed (limits.frameBytes)`);
    }
    if (length === 0) throw new ProtocolError('a long message without even a kind');
    this.#length = length;
  }

  /** The next bytes of it. Returns its kind and body once it is whole. */
  add(reader: Reader): Reader | undefined {
    if (!this.partial) throw new ProtocolError('a part of a message that has not begun');
    const bytes = reader.left;
    const filled = this.#filled + bytes;
    if (bytes === 0) throw new ProtocolError('a part of a message has no bytes');
    if (filled > this.#length) {
      throw new ProtocolError(`a long message of ${this.#length} bytes has ${filled - this.#length} too many`);
    }
    if (filled > this.#memory.length) this.#memory = grown(this.#memory, this.#filled, filled, this.#length);
    const { position } = reader;
    reader.buffer.copy(this.#memory, this.#filled, position, position + bytes);
    this.#filled = filled;
    if (filled < this.#length) return undefined;
    const frame = this.#memory;
    this.drop();
    return new Reader(frame, 0, filled, true);
  }

  /** The parts that have come are of no use any more. */
  drop(): void {
    this.#length = 0;
    this.#filled = 0;
    this.#memory = nothing;
  }
}
