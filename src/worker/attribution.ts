/**
 * Whose error is it? What a handler leaves behind (timers, promises, emitters' callbacks) may throw long after its task
 * has ended, while another one runs. So whatever is asynchronous is marked, when it is made, with the task that made it.
 *
 *     handler runs: its task is `current` ──init──▶ promise, timer, socket …: marked ──init──▶ what those make: marked
 *
 * Between handlers nothing is current, and nothing is marked. A handler that leaves nothing asynchronous behind costs
 * two stores; the hook is called for asynchronous resources alone.
 */
import { createHook, executionAsyncResource } from 'node:async_hooks';

/** A task as what it left behind knows it; holds nothing of the task itself, because a socket may live for ever. */
export interface Author {
  readonly id: string;
  readonly name: string;
  readonly token: bigint;
}

type Marked = { [author]?: Author | undefined };

const author = Symbol('author');

/** The task whose handler is being called. */
let current: Author | undefined;
/** Its mark, made with the first thing that it makes. */
let mark: Author | undefined;

/** The handler of `task` is called next, in this turn. */
export function enterHandler(task: Author): void {
  current = task;
}

/** It has returned or thrown. */
export function leaveHandler(): void {
  current = mark = undefined;
}

/** From here on what tasks leave behind is marked. */
export function attribute(): void {
  createHook({
    init(_id, _type, _trigger, resource: Marked) {
      if (current !== undefined) {
        mark ??= { id: current.id, name: current.name, token: current.token };
        resource[author] = mark;
        return;
      }
      const maker = (executionAsyncResource() as Marked)[author];
      if (maker !== undefined) resource[author] = maker;
    },
  }).enable();
}

/** The task that an error belongs to: of `promise` where that was rejected, of what is running now otherwise. */
export function authorOf(promise?: Promise<unknown>): Author | undefined {
  return (promise as Marked | undefined)?.[author] ?? (executionAsyncResource() as Marked)[author];
}
