/** The ready tasks of one group and one requirement class: whoever can run one of them can run all. */
import type { Demand, Offer } from './demands.ts';
import type { Group } from './groups.ts';
import { Lanes } from './lanes.ts';
import type { Order } from './order.ts';
import type { Task } from './task.ts';

export class Cell {
  readonly group: Group;
  readonly demand: Demand;
  lanes: Lanes;
  /** Unfinished tasks that belong here. */
  live = 0;
  /** Its first task as the views have it in their order; undefined while it is in none. */
  shown: Task | undefined = undefined;
  /** How often a later task has taken what its first waited for, since it was last served. */
  passed = 0;
  /** It was passed so often that it reserves: on this offer what its demand names, everywhere what of that is the host's. */
  reserved: Offer | undefined = undefined;

  constructor(group: Group, demand: Demand, order: Order) {
    this.group = group;
    this.demand = demand;
    this.lanes = new Lanes(order);
  }
}
