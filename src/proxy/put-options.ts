/** The options of a put, checked at the caller: what is wrong is named before anything is sent. */
import { isJobRef, jobRef } from '../job-ref.ts';
import { PutKey } from '../protocol/messages.ts';
import type { Item } from '../protocol/wire.ts';
import { isOwnId } from '../queue/task.ts';
import type { ChildOptions, OnFailure, PutOptions } from '../tasks.ts';
import type { WaitOptions } from '../waiting.ts';
import { amountItems, atLeast, backoffItem, checkNames, moreThanZero, tagItems, word } from './scheduling-items.ts';

/** Options of every task that is put, and how far ahead to read. */
export interface PutManyOptions extends Omit<PutOptions, 'id'>, WaitOptions {
  /** How many puts may be on their way at once. Default 1,000. */
  inFlight?: number | undefined;
}

/** How a task is queued and run: all but which task it is, and what it comes after. */
export type TaskSettings = Omit<PutOptions, 'id' | 'after'>;

type Given<K extends keyof PutOptions> = Exclude<PutOptions[K], undefined>;

/** How each option is checked, and what crosses for it: undefined for what says no more than its absence. */
const items: { readonly [K in keyof PutOptions]-?: (value: Given<K>, queue: string) => Item } = {
  id: chosenId,
  priority(value) {
    if (typeof value === 'number' && !Number.isNaN(value)) return value;
    throw new TypeError('priority must be a number; higher runs sooner');
  },
  after(value, queue) {
    const ids = idsOf(value, queue);
    return ids.length === 0 ? undefined : ids;
  },
  retries(value) {
    if (Number.isInteger(value) && value >= 0) return value;
    throw new RangeError(`retries must be a whole number of 0 or more, not ${String(value)}`);
  },
  atMostOnce(value) {
    if (typeof value !== 'boolean') throw new TypeError('atMostOnce must be a boolean');
    return value ? true : undefined;
  },
  tags: (value) => tagItems(value),
  resources: (value) => amountItems(value, 'resources'),
  key: (value) => word(value, 'key'),
  group: (value) => word(value, 'group'),
  worker: (value) => word(value, 'worker'),
  delay: (value) => atLeast(0, value, 'delay') || undefined,
  runAt(value) {
    if (value instanceof Date && !Number.isNaN(value.getTime())) return value.getTime();
    throw new TypeError('runAt must be a Date that is one');
  },
  expires: (value) => atLeast(0, value, 'expires'),
  backoff: backoffItem,
  runTimeout: (value) => moreThanZero(value, 'runTimeout'),
};

const names = Object.keys(items) as readonly (keyof PutOptions)[];
const known = [...names, 'signal', 'timeout'];

/** The names of the settings. */
export const settingNames = names.filter(
  (name) => name !== 'id' && name !== 'after',
) as readonly (keyof TaskSettings)[];

const failureRules: readonly string[] = ['skip', 'fail', 'ignore'] satisfies OnFailure[];

export function checkOnFailure(value: unknown, of = ''): void {
  if (failureRules.includes(value as string)) return;
  const what = typeof value === 'string' ? `'${value}'` : kindName(value);
  throw new TypeError(`onFailure${of} must be 'skip', 'fail' or 'ignore', not ${what}`);
}

function kindName(value: unknown): string {
  return value === null ? 'null' : `a ${typeof value}`;
}

/** The options of what a task puts, as they cross. */
export function childItems({ onFailure, ...options }: ChildOptions & WaitOptions, queue: string): Item[] | undefined {
  const list = putItems(options, queue);
  if (onFailure === undefined) return list;
  checkOnFailure(onFailure);
  return [...(list ?? []), PutKey.onFailure, onFailure];
}

/** The options as they cross; undefined where there are none. */
export function putItems(options: PutOptions & WaitOptions, queue: string): Item[] | undefined {
  checkNames('put()', options, known);
  return itemsOf(options, names, queue);
}

/** The settings of a job as they cross: the same as of a put. What else is in `settings` is left out. */
export function settingItems(settings: TaskSettings): Item[] | undefined {
  return itemsOf(settings, settingNames, '');
}

function itemsOf(options: PutOptions, these: readonly (keyof PutOptions)[], queue: string): Item[] | undefined {
  if (options.delay !== undefined && options.runAt !== undefined) {
    throw new TypeError('delay and runAt both say when the task may run; give one of them');
  }
  let list: Item[] | undefined;
  for (const name of these) {
    const value = options[name];
    const check = items[name] as (value: unknown, queue: string) => Item;
    const item = value === undefined ? undefined : check(value, queue);
    if (item !== undefined) (list ??= []).push(PutKey[name], item);
  }
  return list;
}

function chosenId(id: string): string {
  if (typeof id !== 'string' || id === '') throw new TypeError('id must be a string that is not empty');
  if (!isOwnId(id)) return id;
  throw new RangeError(`ids like '${id}' are the manager's own; choose one of another form`);
}

function idsOf(after: NonNullable<PutOptions['after']>, queue: string): string[] {
  if (!Array.isArray(after)) throw new TypeError('after must be a list of task ids, handles or job references');
  return after.map((before: unknown) => {
    if (typeof before === 'string') return before;
    if (!isJobRef(before)) throw new TypeError('after must hold task ids, handles or job references only');
    const target = before[jobRef];
    if (target.queue === undefined) {
      throw new TypeError(`job '${target.id}' is part of a graph that is not running: only its own jobs come after it`);
    }
    if (target.queue !== queue) {
      throw new TypeError(`task '${target.id}' is in queue '${target.queue}', and this is queue '${queue}'`);
    }
    return target.id;
  });
}
