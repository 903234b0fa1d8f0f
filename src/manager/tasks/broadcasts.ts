/**
 * Broadcasts: one task for each worker loop that is there at the moment of the call, for that worker alone. It runs once
 * or not at all: where its worker ends, or takes no more, before it has run, it has lost its worker. Loops that come
 * later get none.
 */
import type { Item } from '../../protocol/wire.ts';
import { type Failure, State, type Task } from '../../queue/task.ts';
import type { Call } from '../call.ts';
import type { ProcessEnd } from '../vouchers.ts';
import type { Outcomes } from './outcomes.ts';
import { outcomeItem } from './payload.ts';
import type { Taker } from './taker.ts';

export class Broadcasts {
  readonly #outcomes: Outcomes;
  readonly #cancel: (task: Task, failure: Failure) => void;
  /** Of worker loops: what they are to run and have not ended. */
  readonly #waiting = new Map<Taker, Set<Task>>();

  constructor(outcomes: Outcomes, cancel: (task: Task, failure: Failure) => void) {
    this.#outcomes = outcomes;
    this.#cancel = cancel;
  }

  /** Reports each outcome with its place as it comes, and answers the call after the last. Where it is left, tasks go on. */
  begin(call: Call, tasks: readonly (readonly [Taker, Task])[]): () => void {
    let open = tasks.length;
    const leaves = tasks.map(([taker, task], place) => {
      const waiting = this.#waiting.get(taker) ?? new Set();
      this.#waiting.set(taker, waiting.add(task));
      const ended = this.#outcomes.watch(task, (each) => {
        call.report([place, ...(outcomeItem(each) as readonly Item[])]);
        if (--open === 0) call.answer();
      });
      this.#outcomes.watch(task, () => {
        waiting.delete(task);
        if (waiting.size === 0 && this.#waiting.get(taker) === waiting) this.#waiting.delete(taker);
      });
      return ended;
    });
    return () => {
      for (const leave of leaves) leave();
    };
  }

  /** The worker takes no more: what it has not begun it will never run. */
  left(taker: Taker, how?: ProcessEnd): void {
    const waiting = this.#waiting.get(taker);
    this.#waiting.delete(taker);
    const { name, pid } = taker.worker;
    for (const task of waiting ?? []) {
      if (task.state === State.leased) continue;
      this.#cancel(task, {
        code: 'QM_WORKER_LOST',
        message: `worker ${name} (pid ${pid}) took no more tasks before it ran '${task.key}' (${task.name}), which was broadcast`,
        fields: ['pid', pid, 'exitCode', how?.exitCode, 'signal', how?.signal, 'reason', how?.reason],
        cause: undefined,
      });
    }
  }
}
