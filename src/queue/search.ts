/**
 * The search for the cell that a taker gets a task from. A request for amounts that is passed over too often reserves:
 * what comes after it in the order and would use the same waits until it fits.
 */
import type { Cell } from './cells.ts';
import type { Offer } from './demands.ts';
import type { Gates } from './gates.ts';
import type { Task } from './task.ts';
import { type ByHead, Walk } from './views.ts';

/** A request passed over so often reserves what it waits for, where the rules do not say. */
const RESERVE_AFTER = 100;

export class Search {
  /** Cells that reserve: whoever they hold up may go on with any change of the order, and has to be told. */
  readonly reserving = new Set<Cell>();
  reserveAfter = RESERVE_AFTER;
  /** Cells that are shown and ask for a worker by its name. */
  named = 0;
  /** Likewise, that need their taker to themselves. */
  alone = 0;
  readonly #gates: Gates;
  readonly #before: ByHead;
  readonly #walk: Walk;

  constructor(gates: Gates, before: ByHead) {
    this.#gates = gates;
    this.#before = before;
    this.#walk = new Walk(before);
  }

  configure(reserveAfter = RESERVE_AFTER): void {
    this.reserveAfter = reserveAfter;
  }

  /** The first task of the cell is `head`, another one than before: all views show it so. */
  show(cell: Cell, head: Task | undefined): void {
    const { views, worker, alone } = cell.demand;
    if (head === undefined) {
      for (const view of views) view.remove(cell, this.#before);
      cell.shown = undefined;
      if (worker !== undefined) this.named--;
      if (alone) this.alone--;
    } else if (cell.shown === undefined) {
      cell.shown = head;
      for (const view of views) view.add(cell, this.#before);
      if (worker !== undefined) this.named++;
      if (alone) this.alone++;
    } else {
      for (const view of views) view.lift(cell, this.#before);
      cell.shown = head;
      for (const view of views) view.place(cell, this.#before);
    }
  }

  /**
   * Nothing was found for it: whether nothing would be for all that offer the same. That is so, but for tasks that ask for
   * a worker by name or for itself, and for own amounts, of which another one may have more free, or may reserve.
   */
  speaksForKind({ amounts, isolated }: Offer): boolean {
    if (this.named + this.alone + isolated > 0) return false;
    return amounts.empty || (amounts.idle && this.reserving.size === 0);
  }

  /** The first cell in the order of admission whose demand is met, or whose first task's key or run has closed. */
  find(offer: Offer, now: number): Cell | undefined {
    const walk = this.#walk;
    // Made where somebody is passed over, which is rare.
    let passed: Cell[] | undefined;
    let blocked: string[] | undefined;
    walk.start(offer);
    for (let cell = walk.next(); cell !== undefined; cell = walk.next()) {
      const { demand, shown } = cell;
      if (shown !== undefined && this.#gates.closed(shown, now) !== undefined) return cell;
      // The view of the offer's tags shows what these suffice for; that of its name does not look at tags.
      if (demand.open) return given(cell, passed);
      if (!demand.possible(offer)) continue;
      if (blocked !== undefined && demand.asksFor(blocked)) continue;
      if (demand.fits(offer)) return given(cell, passed);
      (passed ??= []).push(cell);
      if (cell.passed < this.reserveAfter) continue;
      if (cell.reserved === undefined || cell.reserved.gone) cell.reserved = offer;
      this.reserving.add(cell);
      if (demand.alone && cell.reserved === offer) return undefined;
      for (const { name, host } of demand.needs) {
        if (host !== undefined || cell.reserved === offer) (blocked ??= []).push(name);
      }
    }
    return undefined;
  }
}

/** Those that were passed over for it remember that. */
function given(cell: Cell, passed: readonly Cell[] | undefined): Cell {
  if (passed === undefined) return cell;
  for (const other of passed) if (other.demand.competes(cell.demand)) other.passed++;
  return cell;
}
