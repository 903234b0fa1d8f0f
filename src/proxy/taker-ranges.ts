/** The ranges that a taker runs, and what they need of it. */
import { Writer } from '../protocol/wire.ts';
import { Durations } from './durations.ts';
import type { ItemLease } from './item-lease.ts';
import type { LeasedRange } from './leased-range.ts';
import type { SharedWindow } from './shared-window.ts';
import type { TakerNotes } from './taker-notes.ts';
import type { TaskTaker } from './task-taker.ts';

/** Names of tasks whose durations are remembered. */
const REMEMBERED = 1000;

export class TakerRanges {
  readonly taker: TaskTaker;
  readonly notes: TakerNotes;
  readonly #window: () => SharedWindow | undefined;
  readonly #open = new Set<LeasedRange>();
  readonly #durations = new Map<string, Durations>();
  readonly #outboxes: Writer[] = [];

  constructor(taker: TaskTaker, notes: TakerNotes, window: () => SharedWindow | undefined) {
    this.taker = taker;
    this.notes = notes;
    this.#window = window;
  }

  /** Some of their inputs run. */
  get any(): boolean {
    return this.#open.size > 0;
  }

  /** The inputs that run and have not been set apart before: they are now. */
  apart(): ItemLease[] {
    return [...this.#open].flatMap((range) => range.running()?.apart() ?? []);
  }

  /** How long inputs of that name take here, lately. */
  durationsOf(name: string): Durations {
    let durations = this.#durations.get(name);
    if (durations === undefined) {
      if (this.#durations.size === REMEMBERED) this.#durations.clear();
      this.#durations.set(name, (durations = new Durations()));
    }
    return durations;
  }

  /** Whatever outputs are collected in; to be handed back empty. */
  outbox(): Writer {
    return this.#outboxes.pop() ?? new Writer();
  }

  opened(range: LeasedRange): void {
    this.#open.add(range);
  }

  closed(range: LeasedRange, outbox: Writer): void {
    this.#open.delete(range);
    this.#outboxes.push(outbox);
  }

  /** The manager took that lease, and what comes after it in its range. False where it is in none that runs. */
  lose(lease: number, reason: Error): boolean {
    for (const range of this.#open) {
      if (!range.has(lease)) continue;
      range.lose(reason, lease);
      return true;
    }
    return false;
  }

  /** A lease comes into the window: whoever still has its place is not seen by the helper from here on. */
  makeRoom(window: SharedWindow): void {
    for (const range of this.#open) {
      if (range.slot !== window.nextSlot) continue;
      range.giveBackRest();
      range.slot = -1;
    }
  }

  /** The next input of the range begins. False where the helper has given it back. */
  begins(slot: number, at: number): boolean {
    return slot < 0 || this.#window()?.startItem(slot, at) !== false;
  }

  /** The inputs from there on do not begin. False where the helper was faster. */
  ends(slot: number, at: number): boolean {
    return slot < 0 || this.#window()?.endItems(slot, at) !== false;
  }

  /** The thread is busy with what has begun at `now`. */
  busySince(now: number): void {
    this.#window()?.busySince(now);
  }

  sessionEnded(reason: Error): void {
    for (const range of this.#open) {
      range.slot = -1;
      range.lose(reason);
    }
  }
}
