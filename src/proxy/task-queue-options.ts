/** What a task queue is made with, checked at the caller, as it crosses. */
import type { Item } from '../protocol/wire.ts';
import type { PolicyName } from '../scheduling.ts';
import type { TaskQueueOptions } from '../tasks.ts';
import { amountItems, atLeast, backoffItem, checkNames, moreThanZero } from './scheduling-items.ts';

const policies: readonly PolicyName[] = ['fifo', 'lifo', 'fair', 'critical-path'];

type Kept = 'keepRecords' | 'keepDeadLetters';
type Given<K extends keyof TaskQueueOptions> = Exclude<TaskQueueOptions[K], undefined>;
type Check<K extends keyof TaskQueueOptions> = (value: Given<K>) => Item;

function count(name: string, least: number): (value: number) => number {
  return (value) => {
    if (value === Infinity || (Number.isInteger(value) && value >= least)) return value;
    throw new RangeError(`${name} must be a whole number of at least ${least}, not ${String(value)}`);
  };
}

function time(name: string): (value: number) => number {
  return (value) => moreThanZero(value, name);
}

/** Items by the names under which they cross. */
const items: { readonly [K in Exclude<keyof TaskQueueOptions, Kept | 'policy'>]-?: Check<K> } = {
  maxSize: count('maxSize', 1),
  maxBytes: count('maxBytes', 1),
  retries: count('retries', 0),
  poisonAfter: count('poisonAfter', 1),
  leaseTimeout: time('leaseTimeout'),
  ageing: time('ageing'),
  weights: (value) => amountItems(value, 'weights'),
  concurrency: count('concurrency', 1),
  keyConcurrency: count('keyConcurrency', 1),
  rateLimit(value) {
    checkNames('rateLimit', value, ['max', 'per', 'keyed']);
    return [count('rateLimit.max', 1)(value.max), time('rateLimit.per')(value.per), value.keyed === true];
  },
  backoff: backoffItem,
  runTimeout: time('runTimeout'),
  cancelGrace: (value) => atLeast(0, value, 'cancelGrace'),
};

/** How what is kept of what has ended is named, and crosses. */
const kept: readonly (readonly [Kept, string])[] = [
  ['keepRecords', 'keep'],
  ['keepDeadLetters', 'keepDead'],
];

/** [name, item] of every option that says something. A policy of one's own is not among them: it cannot cross. */
export function taskQueueItems(options: TaskQueueOptions): [name: string, item: Item][] {
  checkNames('a task queue', options, [...Object.keys(items), ...kept.map(([name]) => name), 'policy']);
  const list: [string, Item][] = [];
  for (const [name, check] of Object.entries(items) as [keyof typeof items, (value: never) => Item][]) {
    const value = options[name];
    const item = value === undefined ? undefined : check(value as never);
    if (item !== undefined) list.push([name, item]);
  }
  const { policy } = options;
  for (const [name, prefix] of kept) {
    const keep = options[name];
    if (keep === undefined) continue;
    checkNames(name, keep, ['count', 'age', 'bytes']);
    if (keep.count !== undefined) list.push([`${prefix}Count`, count(`${name}.count`, 0)(keep.count)]);
    if (keep.age !== undefined) list.push([`${prefix}Age`, time(`${name}.age`)(keep.age)]);
    if (keep.bytes !== undefined) list.push([`${prefix}Bytes`, count(`${name}.bytes`, 0)(keep.bytes)]);
  }
  if (typeof policy === 'string') {
    if (!policies.includes(policy)) {
      throw new TypeError(`there is no policy '${String(policy)}'; there are ${policies.join(', ')}`);
    }
    list.push(['policy', policy]);
  }
  return list;
}
