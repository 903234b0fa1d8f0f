/**
 * Arenas as a client sees them: its own, in which it puts large inputs and outputs instead of sending them, and those of
 * others, out of which it copies what it is given. One for each session: what is open ends with it.
 *
 *     WANT_ARENA ──▶            at once; where that gives none, at the first large value, which goes in parts
 *                ◀── ARENA      with room for this client: opened to write
 *     PUT, COMPLETE with a region ──▶ … ◀── FREED       once nobody needs it
 *                ◀── ARENA      of somebody else
 *     OPENED ──▶ … ◀── TASK, OUTCOME, ITEMS with a region of it
 *     COPIED ──▶
 */
import { closeSync } from 'node:fs';
import { ProtocolError } from '../errors.ts';
import { Outcome, TaskFlags, ToClient, ToManager } from '../protocol/messages.ts';
import { PACKED_HEAD, Reader, type Region, type Storage, writePackedHead } from '../protocol/wire.ts';
import { ARENA_NONCE_BYTES, openArenaFile, readAll } from '../transport/arena-file.ts';
import { ArenaWriter } from '../transport/arena-writer.ts';
import type { Link } from '../transport/link.ts';

/** Of a frame that holds one payload: what is beside it. */
const BESIDE = 1024;

export class Arenas implements Storage {
  readonly #link: Link;
  readonly #pid: number;
  #own: { readonly arena: number; readonly writer: ArenaWriter } | undefined;
  /** For what was there to be put. Once: a manager that has none to give will have none later either. */
  #asked = false;
  #closed = false;
  #copied: Region[] = [];
  /** Descriptors, by arena. */
  readonly #files = new Map<number, number>();

  /** `pid`: the manager's. */
  constructor(link: Link, pid: number) {
    this.#link = link;
    this.#pid = pid;
  }

  put(pieces: readonly Uint8Array[], length: number): Region | undefined {
    if (this.#own === undefined) {
      // Not into the middle of the frame in hand.
      if (!this.#asked) setImmediate(() => this.#ask());
      this.#asked = true;
      return undefined;
    }
    // What is over the limit on messages is refused where it is sent.
    if (length > this.#link.sendLimit - BESIDE) return undefined;
    const { arena, writer } = this.#own;
    const offset = writer.put(pieces, length);
    return offset === undefined ? undefined : { arena, offset, length };
  }

  takeBack({ offset }: Region): void {
    this.#own?.writer.free(offset);
  }

  frame(kind: number, reader: Reader): void {
    switch (kind) {
      case ToClient.ARENA:
        return this.#told(reader);
      case ToClient.FREED: {
        const offset = reader.u48();
        if (this.#own?.writer.free(offset) !== true) throw new ProtocolError(`no region at ${offset} could be freed`);
        return;
      }
      case ToClient.ARENA_GONE: {
        const arena = reader.u32();
        const file = this.#files.get(arena);
        if (file === undefined || arena === this.#own?.arena) return;
        this.#files.delete(arena);
        closeSync(file);
      }
    }
  }

  /** The item that lies there, in memory of its own. */
  copy(region: Region): Buffer {
    const { arena, offset, length } = region;
    const file = this.#files.get(arena);
    if (file === undefined) throw new ProtocolError(`a region of arena ${arena}, which is not open`);
    const item = Buffer.allocUnsafeSlow(PACKED_HEAD + length);
    writePackedHead(item, length);
    // One that its writer has cut off since is zeros from there on, and cannot be decoded.
    readAll(file, item, PACKED_HEAD, offset);
    this.skip(region);
    return item;
  }

  /** What lies there is needed no more. */
  skip(region: Region): void {
    if (this.#copied.push(region) > 1) return;
    this.#link.aside(() => {
      const copied = this.#copied;
      this.#copied = [];
      if (this.#closed) return;
      for (const { arena, offset } of copied) {
        const start = this.#link.begin(ToManager.COPIED);
        this.#link.writer.u32(arena);
        this.#link.writer.u48(offset);
        this.#link.end(start);
      }
    });
  }

  /** What follows in the frame to its end, from wherever it lies. */
  rest(reader: Reader): Reader {
    const region = reader.regionUntil(reader.position + reader.left);
    if (region === undefined) return reader;
    const item = this.copy(region);
    return new Reader(item, 0, item.length, true);
  }

  /** An ITEMS frame, behind the number of its call, which has been left. */
  skipItems(reader: Reader): void {
    reader.claim(8);
    if (reader.u8() !== Outcome.succeeded) return;
    const region = reader.regionUntil(reader.position + reader.left);
    if (region !== undefined) this.skip(region);
  }

  /** A TASK frame, behind its handle, which has been given up: the manager gives the tasks to others. */
  skipTasks(reader: Reader): void {
    while (reader.left > 0) {
      const end = reader.entry();
      const flags = reader.data.getUint8(reader.claim(17) + 12);
      if (flags & TaskFlags.id) reader.string();
      if (flags & TaskFlags.outputs) reader.item();
      const region = reader.regionUntil(end);
      if (region !== undefined) this.skip(region);
      reader.skipTo(end);
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const own = this.#own;
    for (const [arena, file] of this.#files) if (arena !== own?.arena) closeSync(file);
    this.#files.clear();
    own?.writer.close();
    this.#own = undefined;
  }

  /** Asks for one before there is anything to put there, so that the first large value finds it. */
  prepare(): void {
    this.#ask(true);
  }

  #ask(early = false): void {
    if (this.#closed || this.#own !== undefined || process.platform !== 'linux') return;
    const start = this.#link.begin(ToManager.WANT_ARENA);
    this.#link.writer.u8(early ? 1 : 0);
    this.#link.end(start);
  }

  #told(reader: Reader): void {
    const arena = reader.u32();
    const descriptor = reader.u32();
    const capacity = reader.u48();
    const file = openArenaFile(this.#pid, descriptor, reader.view(ARENA_NONCE_BYTES), capacity > 0);
    if (file !== undefined) {
      this.#files.set(arena, file);
      if (capacity > 0) this.#own = { arena, writer: new ArenaWriter(file, capacity) };
    }
    const start = this.#link.begin(ToManager.OPENED);
    this.#link.writer.u32(arena);
    this.#link.writer.u8(file === undefined ? 0 : 1);
    this.#link.end(start);
  }
}
