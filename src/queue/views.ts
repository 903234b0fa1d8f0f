/**
 * What a taker sees of the ready tasks: the cells that it may take from, by group in the order of their use, in each by
 * their first tasks. Takers with the same tags have the same view; tasks that ask for a worker by name are in a view of
 * that name alone.
 *
 *     view ─▶ shares (a group each, least used first) ─▶ cells (a class each, by their first tasks)
 *
 * A cell whose first task changes moves in every view that shows it: that costs the number of distinct tag sets among
 * takers times finding a place among the cells of its group.
 */
import type { Cell } from './cells.ts';
import type { Demand, Offer } from './demands.ts';
import { type Group, lessUsed } from './groups.ts';
import { put, take } from './sorted.ts';

/** The order of cells that are shown. */
export type ByHead = (a: Cell, b: Cell) => boolean;

/** One group in one view. */
export interface Share {
  readonly view: View;
  readonly group: Group;
  readonly cells: Cell[];
}

export class View {
  readonly signature: string;
  readonly tags: ReadonlySet<string>;
  readonly worker: string | undefined;
  readonly shares: Share[] = [];
  /** Offers that look at it. */
  offers = 0;

  constructor(signature: string, tags: readonly string[], worker: string | undefined) {
    this.signature = signature;
    this.tags = new Set(tags);
    this.worker = worker;
  }

  sees(demand: Demand): boolean {
    return this.worker === undefined
      ? demand.worker === undefined && demand.within(this.tags)
      : demand.worker === this.worker;
  }

  add(cell: Cell, before: ByHead): void {
    const { group } = cell;
    let share = this.#shareOf(group);
    if (share === undefined) {
      share = { view: this, group, cells: [] };
      group.shares.push(share);
      put(this.shares, share, lessUsed);
    }
    put(share.cells, cell, before);
  }

  remove(cell: Cell, before: ByHead): void {
    const { group } = cell;
    const share = this.#shareOf(group);
    if (share === undefined) return;
    take(share.cells, cell, before);
    if (share.cells.length > 0) return;
    take(this.shares, share, lessUsed);
    group.shares.splice(group.shares.indexOf(share), 1);
  }

  /** Its first task is about to be another one: it leaves its place, until `place`. Alone it has nowhere to go. */
  lift(cell: Cell, before: ByHead): void {
    const cells = this.#shareOf(cell.group)?.cells;
    if (cells !== undefined && cells.length > 1) take(cells, cell, before);
  }

  /** Its first task is another one since `lift`. */
  place(cell: Cell, before: ByHead): void {
    const cells = this.#shareOf(cell.group)?.cells;
    if (cells !== undefined && cells[0] !== cell) put(cells, cell, before);
  }

  #shareOf({ shares }: Group): Share | undefined {
    for (const share of shares) if (share.view === this) return share;
    return undefined;
  }
}

/** Goes through the cells of two views as if they were one. */
export class Walk {
  readonly #before: ByHead;
  readonly #one = new Cursor();
  readonly #other = new Cursor();

  constructor(before: ByHead) {
    this.#before = before;
  }

  start({ view, named }: Offer): void {
    this.#one.start(view);
    this.#other.start(named);
  }

  /** The next cell; undefined at the end. */
  next(): Cell | undefined {
    const one = this.#one.cell;
    const other = this.#other.cell;
    if (other === undefined || (one !== undefined && this.#first(one, other))) {
      this.#one.advance();
      return one;
    }
    this.#other.advance();
    return other;
  }

  #first(a: Cell, b: Cell): boolean {
    if (a.group === b.group) return this.#before(a, b);
    return a.group.use === b.group.use ? a.group.number < b.group.number : a.group.use < b.group.use;
  }
}

class Cursor {
  #shares: readonly Share[] = [];
  #share = 0;
  #cell = 0;

  start(view: View | undefined): void {
    this.#shares = view?.shares ?? [];
    this.#share = this.#cell = 0;
  }

  get cell(): Cell | undefined {
    return this.#shares[this.#share]?.cells[this.#cell];
  }

  advance(): void {
    this.#cell++;
    if (this.#cell < (this.#shares[this.#share]?.cells.length ?? 0)) return;
    this.#share++;
    this.#cell = 0;
  }
}
