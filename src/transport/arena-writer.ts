/**
 * A client's own arena, from the side that writes: it alone decides which part is used for what. A part that was written
 * is its receiver's until that says that nobody needs it any more.
 */
import { closeSync, ftruncateSync } from 'node:fs';
import { ARENA_START, writeAll } from './arena-file.ts';
import { Extents } from './extents.ts';

/** How long (ms) nothing must have been written before memory that nobody needs goes back to the system. */
const IDLE = 1000;

export class ArenaWriter {
  readonly file: number;
  readonly #extents: Extents;
  /** How long the file may be. */
  #end = ARENA_START;
  #writes = 0;
  #trim: NodeJS.Timeout | undefined;

  /** Owns the descriptor `file` from here on. */
  constructor(file: number, capacity: number) {
    this.file = file;
    this.#extents = new Extents(ARENA_START, ARENA_START + capacity);
  }

  /** Where the pieces stand now, one after the other; undefined where there is no room. */
  put(pieces: readonly Uint8Array[], length: number): number | undefined {
    const offset = this.#extents.take(length);
    if (offset === undefined) return undefined;
    this.#writes++;
    this.#end = Math.max(this.#end, this.#extents.end);
    if (writeAll(this.file, pieces, offset)) return offset;
    this.free(offset);
    return undefined;
  }

  /** False where nothing lies there. */
  free(offset: number): boolean {
    if (!this.#extents.giveBack(offset)) return false;
    if (this.#extents.end < this.#end) this.#trim ??= this.#trimLater();
    return true;
  }

  close(): void {
    clearTimeout(this.#trim);
    closeSync(this.file);
  }

  #trimLater(): NodeJS.Timeout {
    const writes = this.#writes;
    return setTimeout(() => {
      if (this.#writes !== writes) {
        this.#trim = this.#trimLater();
        return;
      }
      this.#trim = undefined;
      this.#end = this.#extents.end;
      ftruncateSync(this.file, this.#end);
    }, IDLE).unref();
  }
}
