/**
 * Arenas: memory beside the sockets in which clients put large inputs and outputs of tasks (transport/arena-file.ts). The
 * manager makes one for each session that wants one, and holds it for as long as anybody may need what is in it.
 *
 *     a region is named in a frame ──▶ kept by a record, lent to those it was sent to ──▶ freed: its writer uses it again
 *     session and last region have ended ──▶ the file is closed
 *
 * The bytes are the manager's once the frame has been accepted. It does not read them, but for clients that cannot reach
 * the file, and to make room: what ended tasks have left behind moves into the manager's own memory when it fills most of
 * an arena, the oldest first.
 */
import { randomBytes } from 'node:crypto';
import { closeSync } from 'node:fs';
import { ProtocolError } from '../errors.ts';
import { PACKED_HEAD, type Region, writePackedHead } from '../protocol/wire.ts';
import {
  ARENA_NONCE_BYTES,
  ARENA_START,
  createArenaFile,
  reaches,
  readAll,
  roomForArenas,
} from '../transport/arena-file.ts';

const MIB = 1 << 20;
/** The most (bytes) that one arena may hold. */
const LARGEST = 256 * MIB;
/** Below this an arena is not worth it. */
const SMALLEST = 4 * MIB;
/** Of what is free, one arena may take this part. */
const SHARE = 1 / 4;
/** The part of an arena that ended tasks may fill. */
const RESTING = 3 / 4;

/** A payload that its sender put into an arena. */
export class StoredPayload implements Region {
  readonly arena: number;
  readonly offset: number;
  readonly length: number;
  #home: Arena | undefined;
  #bytes: Buffer | undefined;
  #kept = true;
  #loans = 0;
  #rests = false;

  constructor(home: Arena, { arena, offset, length }: Region) {
    this.#home = home;
    this.arena = arena;
    this.offset = offset;
    this.length = length;
  }

  /** As an item. */
  get itemBytes(): number {
    return PACKED_HEAD + this.length;
  }

  /** Where it lies; undefined once it is in the manager's own memory. */
  get home(): Arena | undefined {
    return this.#home;
  }

  /** The bytes; of a file that was cut off, zeros. */
  read(): Buffer {
    return this.#bytes ?? this.#homeOrThrow().read(this, 0);
  }

  /** The same as an item. */
  readItem(): Buffer {
    const item =
      this.#bytes === undefined
        ? this.#homeOrThrow().read(this, PACKED_HEAD)
        : Buffer.concat([Buffer.alloc(PACKED_HEAD), this.#bytes]);
    writePackedHead(item, this.length);
    return item;
  }

  /** Whoever kept it does not need it any more. */
  letGo(): void {
    this.#kept = false;
    this.#settle();
  }

  /** It is named to somebody, who will copy it. */
  lend(): void {
    this.#homeOrThrow();
    this.#loans++;
  }

  /** It has been copied, or never will be. */
  returned(): void {
    this.#loans--;
    this.#settle();
  }

  /** Its task has ended: the record has it, and hardly anybody will ask for it again. */
  rest(): void {
    if (this.#rests) return;
    this.#rests = true;
    this.#home?.rests(this);
  }

  /** Out of the arena, unless somebody is copying it. False where it stays. */
  move(): boolean {
    if (this.#loans > 0) return false;
    this.#bytes = this.read();
    this.#leave();
    return true;
  }

  #settle(): void {
    if (!this.#kept && this.#loans === 0) this.#leave();
  }

  #leave(): void {
    const home = this.#home;
    this.#home = undefined;
    home?.free(this);
  }

  #homeOrThrow(): Arena {
    if (this.#home === undefined) throw new Error('a payload is used that nobody has kept: a bug of quartermaster');
    return this.#home;
  }
}

/** What an arena tells whoever holds it. */
export interface ArenaOwner {
  /** A region may be used again. */
  freed(offset: number): void;
}

export class Arena {
  readonly id: number;
  readonly nonce: Buffer;
  readonly capacity: number;
  readonly file: number;
  #owner: ArenaOwner | undefined;
  /** Length by offset; and the offsets in their order. */
  readonly #regions = new Map<number, number>();
  readonly #offsets: number[] = [];
  /** Of ended tasks, by offset, the oldest first; and their bytes. */
  readonly #resting = new Map<number, WeakRef<StoredPayload>>();
  #restingBytes = 0;
  #sweeps = false;
  /** What is forgotten without having been let go of. */
  readonly #forgotten = new FinalizationRegistry((offset: number) => this.#freeAt(offset));
  readonly #ended: () => void;
  #closed = false;
  /** The file has been at least so long. What is cut off later reads as zeros, so nobody need look again. */
  #reached = 0;

  constructor(id: number, file: number, nonce: Buffer, capacity: number, owner: ArenaOwner, ended: () => void) {
    this.id = id;
    this.file = file;
    this.nonce = nonce;
    this.capacity = capacity;
    this.#owner = owner;
    this.#ended = ended;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Regions that somebody needs. */
  get regions(): number {
    return this.#regions.size;
  }

  /** The owner says that a payload lies there. Throws `ProtocolError` where none can. */
  accept(region: Region): StoredPayload {
    const { arena, offset, length } = region;
    const end = offset + length;
    if (arena !== this.id) throw new ProtocolError(`a region of arena ${arena}, which is not its sender's`);
    if (length === 0 || offset < ARENA_START || end > ARENA_START + this.capacity || !this.#reaches(end)) {
      throw new ProtocolError(`a region of ${length} bytes at ${offset}, which is not within its arena`);
    }
    const next = this.#placeOf(offset);
    const before = this.#offsets[next - 1];
    const over = before !== undefined && before + (this.#regions.get(before) as number) > offset;
    if (over || (this.#offsets[next] ?? Infinity) < end) {
      throw new ProtocolError(`a region of ${length} bytes at ${offset}, where another one is`);
    }
    const payload = new StoredPayload(this, region);
    this.#offsets.splice(next, 0, offset);
    this.#regions.set(offset, length);
    this.#forgotten.register(payload, offset, payload);
    return payload;
  }

  /** The bytes of the region, in memory of their own, `before` bytes from its beginning. */
  read({ offset, length }: Region, before: number): Buffer {
    if (this.#closed) throw new Error('an arena is read that has been closed: a bug of quartermaster');
    const bytes = Buffer.allocUnsafeSlow(before + length);
    readAll(this.file, bytes, before, offset);
    return bytes;
  }

  free(payload: StoredPayload): void {
    this.#forgotten.unregister(payload);
    this.#freeAt(payload.offset);
  }

  /** The payload's task has ended. */
  rests(payload: StoredPayload): void {
    this.#resting.set(payload.offset, new WeakRef(payload));
    this.#restingBytes += payload.length;
    if (this.#restingBytes <= RESTING * this.capacity || this.#sweeps) return;
    this.#sweeps = true;
    // Its outcome leaves first, and is copied meanwhile.
    setImmediate(() => this.#sweep());
  }

  /** Its owner's session has ended: it ends with the last region. */
  disown(): void {
    this.#owner = undefined;
    if (this.#regions.size === 0) this.close();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#regions.clear();
    this.#offsets.length = 0;
    closeSync(this.file);
    this.#ended();
  }

  #reaches(end: number): boolean {
    if (end > this.#reached && reaches(this.file, end)) this.#reached = end;
    return end <= this.#reached;
  }

  /** How many regions begin before it: busy arenas hold hundreds. */
  #placeOf(offset: number): number {
    let from = 0;
    let to = this.#offsets.length;
    while (from < to) {
      const middle = (from + to) >> 1;
      if ((this.#offsets[middle] as number) < offset) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  #freeAt(offset: number): void {
    const length = this.#regions.get(offset);
    if (this.#closed || length === undefined) return;
    this.#regions.delete(offset);
    this.#offsets.splice(this.#placeOf(offset), 1);
    if (this.#resting.delete(offset)) this.#restingBytes -= length;
    if (this.#owner !== undefined) this.#owner.freed(offset);
    else if (this.#regions.size === 0) this.close();
  }

  #sweep(): void {
    this.#sweeps = false;
    for (const payload of [...this.#resting.values()]) {
      if (this.#restingBytes <= RESTING * this.capacity || this.#closed) return;
      payload.deref()?.move();
    }
  }
}

/** All arenas of a manager. */
export class Arenas {
  readonly #all = new Map<number, Arena>();
  #ids = 0;
  /** Bytes that all of them may hold together. */
  #promised = 0;

  get size(): number {
    return this.#all.size;
  }

  /** Regions that somebody needs, of all of them. */
  get regions(): number {
    return [...this.#all.values()].reduce((sum, { regions }) => sum + regions, 0);
  }

  /** Undefined where there is no room, or no such memory. `ended` is called when it has been closed. */
  create(owner: ArenaOwner, ended: (arena: number) => void): Arena | undefined {
    const capacity = Math.min(LARGEST, Math.floor(SHARE * (roomForArenas() - this.#promised)));
    if (capacity < SMALLEST) return undefined;
    const nonce = randomBytes(ARENA_NONCE_BYTES);
    const file = createArenaFile(nonce);
    if (file === undefined) return undefined;
    this.#promised += capacity;
    const arena = new Arena(++this.#ids, file, nonce, capacity, owner, () => {
      this.#promised -= capacity;
      this.#all.delete(arena.id);
      ended(arena.id);
    });
    this.#all.set(arena.id, arena);
    return arena;
  }

  /** With the manager. */
  close(): void {
    for (const arena of [...this.#all.values()]) arena.close();
  }
}
