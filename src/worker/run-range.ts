/** A range, run: its inputs one after the other, for each of them what run-task.ts does for a task. */
import type { ItemLease } from '../proxy/item-lease.ts';
import type { LeasedRange } from '../proxy/leased-range.ts';
import type { LeasedTask } from '../tasks.ts';
import { isPromise } from '../waiting.ts';
import { enterHandler, leaveHandler } from './attribution.ts';
import type { Flows } from './flows.ts';
import { complete, Context, fail, handlerOf, isHandle, type Runner } from './run-task.ts';

type Handler = (input: unknown, context: Context) => unknown;

/** One input of it, as its context knows it: what is asked of its lease makes one. */
class Item {
  readonly #range: LeasedRange;
  readonly #lease: number;

  constructor(range: LeasedRange) {
    this.#range = range;
    this.#lease = range.current;
  }

  get leased(): ItemLease {
    return this.#range.leased(this.#lease);
  }

  apart(): ItemLease {
    return this.leased.apart();
  }

  get id(): string {
    return this.#range.idOf(this.#lease);
  }

  get name(): string {
    return this.#range.name;
  }

  get token(): LeasedTask['token'] {
    return this.#range.tokenOf(this.#lease);
  }
}

/** Runs what it can. Undefined where nothing of it is left; otherwise resolves when that is so. Never rejects. */
export function runRange(range: LeasedRange, runner: Runner, flows: Flows): Promise<void> | undefined {
  const waits = advance(range, runner, flows);
  return waits === undefined ? undefined : goOn(range, runner, flows, waits);
}

async function goOn(range: LeasedRange, runner: Runner, flows: Flows, first: Promise<unknown>): Promise<void> {
  for (let waits: Promise<unknown> | undefined = first; waits !== undefined; waits = advance(range, runner, flows)) {
    await waits;
  }
}

/** Runs inputs until one does not end when its handler returns, which is returned; undefined where none is left. */
function advance(range: LeasedRange, runner: Runner, flows: Flows): Promise<unknown> | undefined {
  for (;;) {
    if (flows.tooMany) range.giveBackRest();
    if (range.turnIsOver) return new Promise((resolve) => setImmediate(resolve)).then(() => range.goesOn());
    if (!range.next()) {
      range.close();
      return undefined;
    }
    const item = new Item(range);
    try {
      const handler: Handler = handlerOf(range.name, runner);
      enterHandler(item);
      const result = handler(range.input(), new Context(item, runner));
      leaveHandler();
      if (isPromise(result) || isHandle(result)) {
        range.waits();
        return settle(range, item, result, runner);
      }
      succeed(range, item, result, runner);
    } catch (error) {
      leaveHandler();
      failItem(range, item, error, runner);
    }
  }
}

async function settle(range: LeasedRange, item: Item, result: unknown, runner: Runner): Promise<void> {
  try {
    const output = isHandle(result) ? result : await (result as PromiseLike<unknown>);
    succeed(range, item, isHandle(output) ? await output.result() : output, runner);
  } catch (error) {
    failItem(range, item, error, runner);
  }
  range.goesOn();
}

function succeed(range: LeasedRange, item: Item, output: unknown, runner: Runner): void {
  try {
    if (range.succeeded(output)) return;
    complete(item.apart(), output, runner);
  } catch (error) {
    // An output that cannot be sent.
    runner.refused(item.apart(), error);
  }
  range.endedApart();
}

function failItem(range: LeasedRange, item: Item, error: unknown, runner: Runner): void {
  fail(item.apart(), error, runner);
  range.endedApart();
}
