import { ToManager } from '../protocol/messages.ts';
import { Leased } from './leased-task.ts';
import type { LeasedRange } from './leased-range.ts';
import type { TaskTaker } from './task-taker.ts';

const nothing = Buffer.alloc(0);

/** The lease of one input of a range, for a handler that asks for more than its input. */
export class ItemLease extends Leased {
  /** The manager knows it as a task of its own. */
  isApart = false;
  readonly #range: LeasedRange;
  readonly #of: TaskTaker;

  constructor(
    taker: TaskTaker,
    range: LeasedRange,
    lease: number,
    number: number,
    name: string,
    attempt: number,
    flags: number,
  ) {
    super(taker, lease, number, undefined, name, attempt, nothing, 0, 0, false, undefined, flags);
    this.#of = taker;
    this.#range = range;
  }

  override get ofRange(): boolean {
    return true;
  }

  /** Itself, as a task like any other. Once it has ended, or was lost, there is nothing to set apart. */
  override apart(): this {
    if (this.isApart || this.over) return this;
    this.isApart = true;
    this.#range.setApart();
    this.#of.keep(this);
    return this;
  }

  /** While it waits for other tasks, those behind it are for others. */
  override tell(kind: number): void {
    super.tell(kind);
    if (kind === ToManager.LEND) this.#range.giveBackRest();
  }
}
