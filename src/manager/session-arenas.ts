/** The arenas of a session: the one that its client writes to, those it may read, and what it is copying from them. */
import { ProtocolError } from '../errors.ts';
import { ToClient, ToManager } from '../protocol/messages.ts';
import { Packed, type Reader, type Region, type Writer } from '../protocol/wire.ts';
import { type Arena, StoredPayload } from './arenas.ts';
import type { Session } from './session.ts';

/** While there are no more arenas than this, all who have one are told of each other's before anything comes from there. */
const FEW = 32;
/** While there are fewer than this, a client is given one before it has anything to put there. */
const EARLY = 8;

export class SessionArenas {
  readonly #session: Session;
  #own: Arena | undefined;
  #made = false;
  /** Arenas that the client has been told of, and whether it has them open: undefined while it has not said. */
  readonly #told = new Map<number, boolean | undefined>();
  /** What it has been named and has not copied yet, by arena and offset; and how often. */
  readonly #loans = new Map<string, { readonly payload: StoredPayload; times: number }>();
  /** Frames about arenas that leave when what is being written is whole. */
  #due: (() => void)[] = [];

  constructor(session: Session) {
    this.#session = session;
  }

  frame(kind: number, reader: Reader): void {
    switch (kind) {
      case ToManager.WANT_ARENA:
        return this.#create(reader.u8() === 1);
      case ToManager.OPENED: {
        const arena = reader.u32();
        const open = reader.u8() === 1;
        // It may have gone meanwhile.
        if (this.#told.has(arena)) this.#told.set(arena, open);
        if (!open && arena === this.#own?.id) this.#disown();
        return;
      }
      case ToManager.COPIED:
        return this.#copied(`${reader.u32()} ${reader.u48()}`);
    }
  }

  /** What the client says lies in its arena. */
  accept(region: Region): StoredPayload {
    if (this.#own === undefined) throw new ProtocolError('a region was named by a client that has no arena');
    return this.#own.accept(region);
  }

  /** Writes where the payload lies, or itself where the client cannot see it there. */
  write(writer: Writer, payload: StoredPayload): void {
    const { home } = payload;
    if (home === undefined || this.#session.ended || !this.#sees(home)) {
      writer.item(new Packed(payload.read()));
      return;
    }
    payload.lend();
    const key = `${payload.arena} ${payload.offset}`;
    const loan = this.#loans.get(key);
    if (loan === undefined) this.#loans.set(key, { payload, times: 1 });
    else loan.times++;
    writer.region(payload);
  }

  /** The session has ended: nothing of it will be copied any more. */
  end(): void {
    for (const { payload, times } of this.#loans.values()) for (let i = 0; i < times; i++) payload.returned();
    this.#loans.clear();
    this.#told.clear();
    this.#disown();
  }

  /** It has been closed: no region of it will be named any more. */
  gone(arena: number): void {
    if (!this.#told.delete(arena)) return;
    this.#send(() => {
      const { link } = this.#session;
      const start = link.begin(ToClient.ARENA_GONE);
      link.writer.u32(arena);
      link.end(start);
    });
  }

  /** `early`: nobody waits for it. */
  #create(early: boolean): void {
    const { manager, link } = this.#session;
    // One that the client could not open is not made anew.
    if (this.#made || (early && manager.arenas.size >= EARLY)) return;
    const freed = (offset: number): void =>
      link.aside(() => {
        const start = link.begin(ToClient.FREED);
        link.writer.u48(offset);
        link.end(start);
      });
    const own = manager.arenas.create({ freed }, (id) => manager.arenaGone(id));
    if (own === undefined) return;
    this.#made = true;
    this.#own = own;
    this.#tell(own, own.capacity);
    if (manager.arenas.size > FEW) return;
    for (const { arenas } of manager.sessionsWithArenas()) {
      if (arenas === this || arenas.#own === undefined) continue;
      arenas.#introduce(own);
      this.#introduce(arenas.#own);
    }
  }

  /** What is about to come from there need not come by the socket even the first time. */
  #introduce(arena: Arena): void {
    if (!this.#told.has(arena.id)) this.#tell(arena, 0);
  }

  /** Whether the client has it open. It is told of it the first time, and what is meant for it then goes as it is. */
  #sees(arena: Arena): boolean {
    if (this.#told.has(arena.id)) return this.#told.get(arena.id) === true;
    this.#tell(arena, 0);
    return false;
  }

  #tell(arena: Arena, capacity: number): void {
    this.#told.set(arena.id, undefined);
    this.#send(() => {
      if (arena.closed) return;
      const { link } = this.#session;
      const start = link.begin(ToClient.ARENA);
      link.writer.u32(arena.id);
      link.writer.u32(arena.file);
      link.writer.u48(capacity);
      link.writer.raw(arena.nonce);
      link.end(start);
    });
  }

  #send(write: () => void): void {
    if (this.#due.push(write) > 1) return;
    this.#session.manager.later(() => {
      const due = this.#due;
      this.#due = [];
      if (!this.#session.ended) for (const each of due) each();
    });
  }

  #copied(key: string): void {
    const loan = this.#loans.get(key);
    if (loan === undefined) throw new ProtocolError('a client copied a region that was not named to it');
    if (--loan.times === 0) this.#loans.delete(key);
    loan.payload.returned();
  }

  #disown(): void {
    const own = this.#own;
    this.#own = undefined;
    own?.disown();
  }
}
