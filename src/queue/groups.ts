/**
 * Fair share by start-time fair queueing (Goyal, Vin and Cheng, 1996): each lease adds 1/weight to its group's use, and
 * the group with the least use goes next. A group that comes back after having had nothing ready starts where the one
 * that was served last stood: time in which it asked for nothing is not saved up.
 *
 * Leases are counted, not the time that they last: what a lease costs is known when it is given. Given back un-started,
 * it costs nothing.
 */
import type { Cell } from './cells.ts';
import type { Demand } from './demands.ts';
import { put, take } from './sorted.ts';
import type { Share } from './views.ts';

export class Group {
  readonly name: string;
  /** Earlier ones first among those of the same use. */
  readonly number: number;
  cost: number;
  use = 0;
  /** Ready tasks of it. */
  ready = 0;
  /** Unfinished tasks of it. */
  live = 0;
  readonly cells = new Map<Demand, Cell>();
  /** Its part in each view. */
  readonly shares: Share[] = [];

  constructor(name: string, number: number, cost: number) {
    this.name = name;
    this.number = number;
    this.cost = cost;
  }
}

/** So many groups without a task are remembered, for what they have used. */
const REMEMBERED = 1000;

export class Groups {
  readonly #byName = new Map<string, Group>();
  readonly #idle = new Set<Group>();
  #weights: Readonly<Record<string, number>> = {};
  #numbers = 0;
  /** Where the group stood that was served last, or further. */
  #now = 0;
  readonly none: Group;

  constructor() {
    this.none = this.#make('');
  }

  configure(weights: Readonly<Record<string, number>> = {}): void {
    this.#weights = weights;
    for (const group of this.#byName.values()) group.cost = this.#costOf(group.name);
  }

  values(): IterableIterator<Group> {
    return this.#byName.values();
  }

  /** The group of a task; it counts as one more of it. */
  enter(name: string): Group {
    const group = this.#byName.get(name) ?? this.#make(name);
    if (group.live++ === 0) this.#idle.delete(group);
    return group;
  }

  /** A task of it has ended. */
  left(group: Group): void {
    if (--group.live > 0 || group === this.none) return;
    this.#idle.add(group);
    if (this.#idle.size <= REMEMBERED) return;
    for (const oldest of this.#idle) {
      this.#idle.delete(oldest);
      this.#byName.delete(oldest.name);
      return;
    }
  }

  /** One more task of it is ready. */
  arrived(group: Group): void {
    if (group.ready++ === 0 && group.use < this.#now) this.#setUse(group, this.#now);
  }

  /** A lease was given. */
  charge(group: Group): void {
    if (group.use > this.#now) this.#now = group.use;
    this.#setUse(group, group.use + group.cost);
  }

  /** A lease was given back un-started, or one for so many inputs. */
  refund(group: Group, leases = 1): void {
    this.#setUse(group, group.use - leases * group.cost);
  }

  #setUse(group: Group, use: number): void {
    const { shares } = group;
    if (shares.length === 0) {
      group.use = use;
      return;
    }
    for (const share of shares) take(share.view.shares, share, lessUsed);
    group.use = use;
    for (const share of shares) put(share.view.shares, share, lessUsed);
  }

  #make(name: string): Group {
    const group = new Group(name, ++this.#numbers, this.#costOf(name));
    this.#byName.set(name, group);
    return group;
  }

  #costOf(name: string): number {
    const { [name]: weight = 1 } = Object.hasOwn(this.#weights, name) ? this.#weights : {};
    return 1 / weight;
  }
}

/** The order of groups in a view. */
export function lessUsed({ group: a }: Share, { group: b }: Share): boolean {
  return a.use === b.use ? a.number < b.number : a.use < b.use;
}
