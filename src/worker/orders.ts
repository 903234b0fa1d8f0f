/** What a worker group and its worker processes tell each other: lines of JSON on a pipe that both inherit. */

import type { TaskLogLine } from './task-log.ts';

/** Descriptors of the worker process. */
export const CONTROL_PIPE = 3;
export const PARENT_PIPE = 4;

/** To a worker that is started before there is a manager: what it can load meanwhile. */
export interface LoadOrder {
  /** URL of the tasks module. */
  readonly load: string;
}

/** The first line to the worker, but for a `LoadOrder`. */
export interface WorkerOrders {
  readonly address: string;
  /** Base64. */
  readonly authKey: string;
  readonly name: string;
  readonly ticket: string;
  /** URL of the tasks module. */
  readonly tasks: string;
  readonly queue: string;
  readonly concurrency: number;
  /** What it offers: see TakeOptions. */
  readonly tags?: readonly string[] | undefined;
  readonly resources?: Readonly<Record<string, number>> | undefined;
  /** Tasks after which it ends; undefined for any number. */
  readonly maxTasks?: number | undefined;
  /** Bytes of memory above which it ends after what it runs. */
  readonly maxMemory?: number | undefined;
  /** What its handlers say goes to its own stderr, or nowhere; default: to its group, as a report. */
  readonly logs?: 'inherit' | 'ignore' | undefined;
  /** It says so when it has had nothing to do for so long (ms). */
  readonly idle?: number | undefined;
}

/** A later line: finish what runs, take no more, end. */
export interface DrainOrder {
  readonly drain: true;
}

export type WorkerReport =
  | { readonly ready: true }
  /** It takes no more tasks: it ends what it runs, and then itself. */
  | { readonly retired: 'tasks' | 'memory' | 'signal' | 'error' }
  /** It has had nothing to do for as long as it was told to bear. */
  | { readonly idle: true }
  /** It could not start. */
  | { readonly failed: { readonly name: string; readonly message: string; readonly stack?: string } }
  /** An error outside of every promise is about to end it. */
  | { readonly crashed: string }
  /** Its handlers have said something. */
  | { readonly log: TaskLogLine }
  /** An error of a task that has its outcome already. */
  | { readonly late: LateError };

/** An error that a task left behind: thrown, or rejected, after the task had its outcome. */
export interface LateError {
  /** Id of the task. */
  readonly task: string;
  /** The handler's. */
  readonly taskName: string;
  /** Name and message of the error. */
  readonly error: string;
  /** The error's stack, where it is an error. */
  readonly stack?: string | undefined;
}

/** Calls `take` with each line of a stream of text. */
export function readLines(take: (line: string) => void): (chunk: string) => void {
  let text = '';
  return (chunk) => {
    text += chunk;
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n')) {
      const line = text.slice(0, end);
      text = text.slice(end + 1);
      take(line);
    }
  };
}
