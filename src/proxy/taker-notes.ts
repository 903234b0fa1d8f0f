/** What a taker tells the manager unasked, and when it leaves. */
import { ToManager } from '../protocol/messages.ts';
import type { Connection } from './connection.ts';

/** Ends of tasks are sent at least this often (ms) while the main thread goes from one to the next. */
const FLUSH_EVERY = 4;
/** Names of tasks that are remembered. */
const REMEMBERED = 1000;

export class TakerNotes {
  readonly #connection: Connection;
  readonly #handle: number;
  /** Something runs here. */
  readonly #runs: () => boolean;
  /** The newest lease that has started, and the newest that was reported. */
  #started = 0;
  #reported = 0;
  #scheduled = false;
  /** What the link holds that has not left, and since when there is an end among it. */
  #unsent = -1;
  #unsentSince = 0;
  /** How many ends it holds. */
  ends = 0;
  /** Names of tasks that have started here, and the last of them. */
  readonly #names = new Set<string>();
  #name: string | undefined;

  constructor(connection: Connection, handle: number, runs: () => boolean) {
    this.#connection = connection;
    this.#handle = handle;
    this.#runs = runs;
  }

  /** A worker loop takes here, which may be given ranges, or none does any more. */
  loops(any: boolean, ranges: boolean): void {
    const { link } = this.#connection;
    const start = link.begin(ToManager.LOOP);
    link.writer.u32(this.#handle);
    link.writer.u8(any ? (ranges ? 3 : 1) : 0);
    link.end(start);
  }

  /** So many leased tasks are wanted. */
  window(size: number): void {
    const { link } = this.#connection;
    const start = link.begin(ToManager.WINDOW);
    link.writer.u32(this.#handle);
    link.writer.u16(size);
    link.end(start);
  }

  /** What was done under a lease that the manager took is over. */
  ended(lease: number): void {
    this.#tell(ToManager.ENDED, lease);
  }

  /** The input of that lease is a task by itself from here on. */
  apart(lease: number): void {
    this.#tell(ToManager.APART, lease);
  }

  /** That lease starts, and the manager hears of it first. False where the socket did not take all that was said. */
  starts(lease: number): boolean {
    const { link } = this.#connection;
    this.#started = lease;
    this.#report();
    link.flush();
    return link.pending === 0;
  }

  /** No task of that name has started here: nobody knows for how long it keeps what was said before it. */
  isNew(name: string): boolean {
    if (name === this.#name) return false;
    this.#name = name;
    if (this.#names.has(name)) return false;
    if (this.#names.size === REMEMBERED) this.#names.clear();
    this.#names.add(name);
    return true;
  }

  /** That lease starts. The manager hears of it after this turn, unless it has ended by then and said so. */
  startsSoon(lease: number): void {
    this.#started = lease;
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (this.#runs() && !this.#connection.closed && this.#started > this.#reported) this.#report();
    });
  }

  sessionEnded(): void {
    this.#started = this.#reported = 0;
  }

  /** A task has ended at `now`: whether ends have waited long enough. */
  mustSend(now: number): boolean {
    const { generation } = this.#connection.link.writer;
    if (generation === this.#unsent) {
      this.ends++;
      return now - this.#unsentSince > FLUSH_EVERY;
    }
    this.#unsent = generation;
    this.#unsentSince = now;
    this.ends = 1;
    return false;
  }

  #report(): void {
    this.#reported = this.#started;
    this.#tell(ToManager.STARTED, this.#started);
  }

  #tell(kind: number, lease: number): void {
    const { link } = this.#connection;
    const start = link.begin(kind);
    link.writer.u32(this.#handle);
    link.writer.u48(lease);
    link.end(start);
  }
}
