/**
 * What a task belongs to that may have as many leases as it may have: its key, and its run. While one of them is closed
 * the task is not in the ready index but in a line beside it, where the next one steps back in for each that is taken.
 */
import type { Cell } from './cells.ts';
import { Key, type Keys } from './keys.ts';
import type { Lanes } from './lanes.ts';
import type { Lines } from './lines.ts';
import { Order } from './order.ts';
import type { TaskRun } from './run.ts';
import type { Task } from './task.ts';

type Gate = Key | TaskRun;

export class Gates {
  readonly #keys: Keys;
  #order = new Order();
  /** Runs with tasks that wait beside the index. */
  readonly #held = new Set<Lines>();

  constructor(keys: Keys) {
    this.#keys = keys;
  }

  /** Another order from here on: nobody waits beside a cell any more. */
  configure(order: Order): void {
    this.#order = order;
    for (const run of this.#held) run.clear();
    this.#held.clear();
  }

  /** Which of them is closed to the task; undefined where it may be taken. */
  closed({ rules, job }: Task, now: number): Gate | undefined {
    const key = rules?.key;
    if (key !== undefined && !this.#keys.open(key, now)) return key;
    return job?.run.open === false ? job.run : undefined;
  }

  /** Moves those at the head of a cell's lanes out of the way that may not be taken. Returns who is first then. */
  clear(cell: Cell, now: number): Task | undefined {
    for (let head = cell.lanes.head(); head !== undefined; head = cell.lanes.head()) {
      const by = this.closed(head, now);
      if (by === undefined) return head;
      cell.lanes.shift();
      this.#park(head, cell, by);
      // It may have been there for what else it belongs to, which is open: the next of that steps in.
      const other = by === head.job?.run ? head.rules?.key : head.job?.run;
      if (other !== undefined) this.stepIn(other, cell, now);
    }
    return undefined;
  }

  /** The first of the gate's line beside the cell is in the cell again, if the gate is open. */
  stepIn(gate: Gate, cell: Cell, now: number): void {
    if (gate.lines.length > 0 && this.#open(gate, now)) this.return(gate, cell, now);
  }

  /** The same of a gate that is open: the first that nothing else is closed to. */
  return(gate: Gate, cell: Cell, now: number): void {
    for (let first = gate.firstOf(cell); first !== undefined; first = gate.firstOf(cell)) {
      const by = this.closed(first, now);
      if (by === undefined) {
        cell.lanes.push(first);
        break;
      }
      this.#park(first, cell, by);
    }
    this.#tidied(gate);
  }

  /** A task of that key has been taken out of the cell: its next one steps in, or waits for the key's rate. */
  begins(key: Key, cell: Cell, now: number): void {
    key.running++;
    key.bucket?.take(now);
    if (key.lines.length === 0) return;
    if (this.#keys.open(key, now)) this.return(key, cell, now);
    else if (key.running < this.#keys.limit) this.#keys.schedule(key);
  }

  /** The task is in none of the lines any more. */
  left({ rules, job }: Task, cell: Cell, now: number): void {
    for (const gate of [rules?.key, job?.run]) {
      if (gate === undefined || gate.lines.length === 0) continue;
      gate.tidy();
      this.#tidied(gate);
      this.stepIn(gate, cell, now);
    }
  }

  /** For validation: the lanes of all that wait. */
  *waiting(): IterableIterator<Lanes> {
    for (const key of this.#keys.values()) for (const { lanes } of key.lines) yield lanes;
    for (const run of this.#held) for (const { lanes } of run.lines) yield lanes;
  }

  #open(gate: Gate, now: number): boolean {
    return gate instanceof Key ? this.#keys.open(gate, now) : gate.open;
  }

  #park(task: Task, cell: Cell, by: Gate): void {
    by.park(task, cell, this.#order);
    if (!(by instanceof Key)) this.#held.add(by);
    else if (by.running < this.#keys.limit) this.#keys.schedule(by);
  }

  #tidied(gate: Gate): void {
    if (gate.lines.length === 0) this.#held.delete(gate);
  }
}
