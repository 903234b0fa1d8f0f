/** What a task queue is made with. */
import type { QueueLimits } from '../../queue/queue.ts';
import { TypeMismatchError } from '../../errors.ts';
import type { Item } from '../../protocol/wire.ts';
import { checkOptions, countOf, numberOf } from '../arguments.ts';

export interface TaskDefaults {
  readonly maxSize: number;
  readonly maxBytes: number;
  readonly retries: number;
  readonly poisonAfter: number;
  /** ms */
  readonly leaseTimeout: number;
  readonly keepCount: number;
  /** ms */
  readonly keepAge: number;
}

const names = ['maxSize', 'maxBytes', 'retries', 'poisonAfter', 'leaseTimeout', 'keepCount', 'keepAge'] as const;

/** `options` where they say something, `defaults` where they do not. */
export function queueOptions(defaults: TaskDefaults, options: ReadonlyMap<string, Item>): TaskDefaults {
  checkOptions('a task queue', options, names);
  const count = (name: keyof TaskDefaults, least: number): number => {
    const value = options.get(name) ?? defaults[name];
    return value === Infinity ? Infinity : countOf(value, name, least);
  };
  const time = (name: keyof TaskDefaults): number => {
    const value = numberOf(options.get(name) ?? defaults[name], name);
    if (!(value > 0)) throw new RangeError(`${name} must be more than 0 ms`);
    return value;
  };
  return {
    maxSize: count('maxSize', 1),
    maxBytes: count('maxBytes', 1),
    retries: count('retries', 0),
    poisonAfter: count('poisonAfter', 1),
    leaseTimeout: time('leaseTimeout'),
    keepCount: count('keepCount', 0),
    keepAge: time('keepAge'),
  };
}

/** A later ask with options must be for the same ones. */
export function checkSameOptions(title: string, are: TaskDefaults, asked: TaskDefaults): void {
  for (const name of names) {
    if (asked[name] === are[name]) continue;
    throw new TypeMismatchError(
      `${title} exists with ${name} ${are[name]}, not ${asked[name]}; ask for it with the same options, or with none`,
    );
  }
}

/** What of the options the queue's core keeps to. */
export function limitsOf({ maxSize, maxBytes, keepCount, keepAge }: TaskDefaults): QueueLimits {
  return { maxSize, maxBytes, keepRecords: { count: keepCount, age: keepAge } };
}
