/**
 * The search for the cell that a taker gets a task from. A request for amounts that is passed over too often reserves:
 * what comes after it in the order and would use the same waits until it fits.
 */
import type { Cell } from './cells.ts';
import type { Offer } from './demands.ts';
import type { Keys } from './keys.ts';
import { type ByHead, Walk } from './views.ts';

/** A request passed over so often reserves what it waits for, where the rules do not say. */
const RESERVE_AFTER = 100;

export class Search {
  /** Cells that reserve: whoever they hold up may go on with any change of the order, and has to be told. */
  readonly reserving = new Set<Cell>();
  reserveAfter = RESERVE_AFTER;
  readonly #keys: Keys;
  readonly #walk: Walk;

  constructor(keys: Keys, before: ByHead) {
    this.#keys = keys;
    this.#walk = new Walk(before);
  }

  configure(reserveAfter = RESERVE_AFTER): void {
    this.reserveAfter = reserveAfter;
  }

  /** The first cell in the order of admission whose demand is met, or whose first task's key has closed. */
  find(offer: Offer, now: number): Cell | undefined {
    const walk = this.#walk;
    // Made where somebody is passed over, which is rare.
    let passed: Cell[] | undefined;
    let blocked: string[] | undefined;
    walk.start(offer);
    for (let cell = walk.next(); cell !== undefined; cell = walk.next()) {
      const { demand } = cell;
      const key = cell.shown?.rules?.key;
      if (key !== undefined && !this.#keys.open(key, now)) return cell;
      // The view of the offer's tags shows what these suffice for; that of its name does not look at tags.
      if (demand.needs.length === 0 && demand.worker === undefined) return cell;
      if (!demand.possible(offer)) continue;
      if (demand.needs.length === 0) return cell;
      if (blocked !== undefined && demand.asksFor(blocked)) continue;
      if (demand.fits(offer.amounts)) {
        for (const other of passed ?? []) if (other.demand.competes(demand)) other.passed++;
        return cell;
      }
      (passed ??= []).push(cell);
      if (cell.passed < this.reserveAfter) continue;
      if (cell.reserved === undefined || cell.reserved.gone) cell.reserved = offer;
      this.reserving.add(cell);
      for (const { name, host } of demand.needs) {
        if (host !== undefined || cell.reserved === offer) (blocked ??= []).push(name);
      }
    }
    return undefined;
  }
}
