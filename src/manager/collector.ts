/**
 * Which unnamed objects nobody can reach any more, and their end.
 *
 * An object counts its references: those of sessions (handles, loans, calls under way) and those of values that other
 * objects store. Nothing ends in the middle of a turn: what leaves one place is in its next by the end of it.
 *
 *     named, or referred to by a session     alive
 *     referred to by nothing                 ends with the turn; what its values named is looked at next
 *     referred to by stored values alone     alive, or part of a cycle that nothing leads to: a suspect
 *
 * Suspects are looked at together, in a turn of their own (D. F. Bacon and V. T. Rajan, "Concurrent Cycle Collection in
 * Reference Counted Systems", 2001): from them along what their values name, through objects that no session refers to.
 * Whoever has more references than come from in there is alive, and so is what it leads to; the rest ends. Every cycle
 * that became unreachable has a suspect in it or before it, so nothing else needs to be looked at. Passes take a
 * twentieth of the time at most; one comes at once when the manager has no room for another object.
 */
import type { SharedObject } from './shared-object.ts';

/** The shortest time (ms) from the first suspect to a pass. */
const PAUSE = 50;
/** A pass waits so many times as long as the last one took. */
const SHARE = 20;

export class Collector {
  readonly #later: (work: () => void) => void;
  readonly #end: (object: SharedObject) => void;
  /** Lost a reference in this turn. */
  readonly #doubtful: SharedObject[] = [];
  readonly #suspects = new Set<SharedObject>();
  #timer: NodeJS.Timeout | undefined;
  #pause = PAUSE;
  #closed = false;

  /** `later` runs something once the turn is over; `end` takes an object out of the manager. */
  constructor(later: (work: () => void) => void, end: (object: SharedObject) => void) {
    this.#later = later;
    this.#end = end;
  }

  /** The object has lost a reference. */
  doubt(object: SharedObject): void {
    if (!endable(object) || this.#closed) return;
    if (this.#doubtful.length === 0) this.#later(this.#settle);
    this.#doubtful.push(object);
  }

  /** Ends all that can end now, cycles too. */
  collect(): void {
    this.#settle();
    if (this.#suspects.size === 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const began = performance.now();
    this.#endCycles();
    this.#settle();
    this.#pause = Math.max(PAUSE, SHARE * (performance.now() - began));
  }

  /** Nothing ends any more but with the manager. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#doubtful.length = 0;
    this.#suspects.clear();
  }

  /** However long the chain: what an object that ends had named is put on the list. */
  readonly #settle = (): void => {
    for (let object = this.#doubtful.pop(); object !== undefined; object = this.#doubtful.pop()) {
      if (!endable(object)) continue;
      if (object.stored === 0) this.#finish(object);
      else this.#suspects.add(object);
    }
    if (this.#suspects.size > 0) this.#timer ??= setTimeout(() => this.#passed(), this.#pause).unref();
  };

  #passed(): void {
    this.#timer = undefined;
    this.collect();
  }

  #finish(object: SharedObject): void {
    object.gone = true;
    this.#suspects.delete(object);
    for (const [named, times] of object.forget()) {
      named.stored -= times;
      if (endable(named)) this.#doubtful.push(named);
    }
    this.#end(object);
  }

  #endCycles(): void {
    const reached = [...this.#suspects].filter(endable);
    this.#suspects.clear();
    /** How many references each has from the others. */
    const inside = new Map<SharedObject, number>(reached.map((object) => [object, 0]));
    // The list grows while it is walked.
    for (const object of reached) {
      for (const [named, times] of object.names) {
        if (!endable(named)) continue;
        const counted = inside.get(named);
        if (counted === undefined) reached.push(named);
        inside.set(named, (counted ?? 0) + times);
      }
    }
    const alive = reached.filter((object) => object.stored > (inside.get(object) as number));
    for (const object of alive) inside.delete(object);
    for (const object of alive) for (const [named] of object.names) if (inside.delete(named)) alive.push(named);
    for (const object of inside.keys()) if (!object.gone) this.#finish(object);
  }
}

/** Neither a name nor a session keeps it. */
function endable(object: SharedObject): boolean {
  return object.references === 0 && object.name === undefined && !object.gone;
}
