/** What a task's history keeps when the times of its record are about to be overwritten. */
import { type Change, type Failure, NEVER, State, type Task } from './task.ts';

/** Why a blocked task became ready. */
export const RELEASED = 'all it comes after have succeeded';

/** Most changes of one task that are kept: of more, the first few and the newest. */
export const MOST_CHANGES = 200;
const FIRST_CHANGES = 20;
/** Characters that stay of a text in a history. */
const LONGEST_WHY = 2_000;

/** A change that the record's own times do not tell. */
export function noteChange(task: Task, at: number, from: State, to: State, why: string, failure?: Failure): void {
  const changes = (task.changes ??= released(task));
  changes.push({ at, from, to, why: cut(why), error: failure && errorOf(failure) });
  if (changes.length > MOST_CHANGES) leaveOut(changes);
}

/** Two of them become one, so that the history stays a chain. */
function leaveOut(changes: Change[]): void {
  const [first, second] = changes.slice(FIRST_CHANGES, FIRST_CHANGES + 2) as [Change, Change];
  const before = Number(/^(\d+) changes are left out$/.exec(first.why)?.[1] ?? 1);
  const why = `${before + 1} changes are left out`;
  changes.splice(FIRST_CHANGES, 2, { at: second.at, from: first.from, to: second.to, why });
}

function errorOf({ code, message, fields, stack }: Failure): Change['error'] {
  return { code, message: cut(message), fields, stack };
}

function cut(text: string): string {
  return text.length > LONGEST_WHY ? `${text.slice(0, LONGEST_WHY)}…` : text;
}

/** Its attempt has ended without an outcome: it began when it began, and goes on to `to`. */
export function noteAttempt(task: Task, now: number, to: State, why: string, failure?: Failure): void {
  noteChange(task, task.startedAt, State.ready, State.leased, `attempt ${task.attempt}`);
  noteChange(task, now, State.leased, to, why, failure);
}

/** It has ended, and is to be run anew: the outcome becomes part of its history. */
export function noteOutcome(task: Task, now: number, to: State, run: number): void {
  const leased = task.startedAt !== NEVER;
  if (leased) noteChange(task, task.startedAt, State.ready, State.leased, `attempt ${task.attempt}`);
  const from = leased ? State.leased : stateBefore(task);
  noteChange(task, task.endedAt, from, task.state, task.failure?.message ?? 'completed', task.failure);
  noteChange(task, now, task.state, to, `run ${run}: asked for again`);
}

/** Where a task that ended without a lease stood before. */
function stateBefore(task: Task): State {
  const last = task.changes?.at(-1);
  if (last !== undefined) return last.to;
  if (task.after !== undefined && task.readyAt === NEVER) return State.blocked;
  return (task.rules?.asked.delay ?? 0) > 0 && task.readyAt === NEVER ? State.delayed : State.ready;
}

/** What its history began with, if that was told by its times so far. */
function released(task: Task): Change[] {
  if (task.after === undefined || task.readyAt === NEVER) return [];
  return [{ at: task.readyAt, from: State.blocked, to: State.ready, why: RELEASED }];
}

const endings: Readonly<Partial<Record<State, string>>> = {
  [State.failed]: 'failed',
  [State.cancelled]: 'was cancelled',
  [State.expired]: 'expired',
};

/** Why `task` is skipped: `failed`, which it comes after, did not succeed. */
export function skippedBecauseOf(task: Task, failed: Task): Failure {
  const root = failed.failure?.ancestor ?? failed.failure;
  const ancestor = failed.state === State.skipped ? String(failed.failure?.fields[1]) : failed.key;
  return {
    code: 'QM_DEPENDENCY_FAILED',
    message: `task '${task.key}' was skipped: '${ancestor}', which it comes after, ${endings[failed.state === State.skipped ? State.failed : failed.state] ?? 'did not succeed'}`,
    fields: ['ancestor', ancestor],
    cause: undefined,
    ...(root === undefined ? {} : { ancestor: root }),
  };
}

/** Why `task` is skipped: `failed` has stopped its run. */
export function stoppedBecauseOf(task: Task, failed: Task): Failure {
  return {
    code: 'QM_DEPENDENCY_FAILED',
    message: `task '${task.key}' was skipped: its run stopped when '${failed.key}' ${endings[failed.state] ?? 'did not succeed'}`,
    fields: ['ancestor', failed.key],
    cause: undefined,
    ...(failed.failure === undefined ? {} : { ancestor: failed.failure }),
  };
}

/** Why `task` has expired. */
export function expiredAfter(task: Task): Failure {
  const message = `task '${task.key}' (${task.name}) has waited for more than ${task.rules?.asked.expires} ms`;
  return { code: 'QM_TASK_EXPIRED', message, fields: [], cause: undefined };
}
