/**
 * Tasks that wait beside the ready index, because what they belong to (a key, a run) has as many leases as it may have:
 * one line for each cell of the index that they have left.
 */
import type { Cell } from './cells.ts';
import { Lanes } from './lanes.ts';
import type { Order } from './order.ts';
import type { Task } from './task.ts';

/** The tasks that have left one cell of the index. */
export interface Line {
  readonly cell: Cell;
  readonly lanes: Lanes;
}

const none: readonly Line[] = [];

export class Lines {
  #lines: Line[] | undefined = undefined;

  /** None for most: made for the first task that waits. */
  get lines(): readonly Line[] {
    return this.#lines ?? none;
  }

  /** The lines are dropped, and who stands in them. */
  clear(): void {
    this.#lines = undefined;
  }

  /** The task waits beside its cell. */
  park(task: Task, cell: Cell, order: Order): void {
    let line = this.lines.find((one) => one.cell === cell);
    if (line === undefined) {
      line = { cell, lanes: new Lanes(order) };
      (this.#lines ??= []).push(line);
    }
    line.lanes.push(task);
  }

  /** The first of the line beside that cell, which is out of it by that. */
  firstOf(cell: Cell): Task | undefined {
    const at = this.lines.findIndex((line) => line.cell === cell);
    if (at < 0) return undefined;
    const { lanes } = this.lines[at] as Line;
    const task = lanes.shift();
    if (lanes.size === 0) this.#lines?.splice(at, 1);
    return task;
  }

  /** Lines without a task are dropped. */
  tidy(): void {
    this.#lines = this.#lines?.filter(({ lanes }) => lanes.size > 0);
  }
}
