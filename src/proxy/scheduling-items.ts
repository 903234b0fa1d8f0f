/** Parts of options that puts, task queues and takers share: checked, and in the form in which they cross. */
import type { Item } from '../protocol/wire.ts';
import type { Backoff } from '../scheduling.ts';

/** Most tags of a task or worker, and most resources. */
const MANY = 100;
/** Longest key, group, tag, or name of a resource or worker. */
const LONG = 1000;

/** Refuses options that do not exist: a misspelt one would be silently left out. */
export function checkNames(title: string, options: object, known: readonly string[]): void {
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) throw new TypeError(`${title} has no option '${name}'; it takes ${known.join(', ')}`);
  }
}

export function word(value: unknown, what: string): string {
  if (typeof value !== 'string' || value === '') throw new TypeError(`${what} must be a string that is not empty`);
  if (value.length <= LONG) return value;
  throw new RangeError(`${what} has ${value.length} characters; ${LONG.toLocaleString('en')} are allowed`);
}

export function atLeast(least: number, value: unknown, what: string): number {
  if (typeof value === 'number' && value >= least) return value;
  throw new RangeError(`${what} must be a number of at least ${least}, not ${String(value)}`);
}

/** ms; Infinity for no limit. */
export function moreThanZero(value: unknown, what: string): number {
  if (typeof value === 'number' && value > 0) return value;
  throw new RangeError(`${what} must be more than 0 ms, not ${String(value)}`);
}

/** Each once; undefined for none. */
export function tagItems(tags: readonly string[]): string[] | undefined {
  if (!Array.isArray(tags)) throw new TypeError('tags must be a list of strings');
  const words = [...new Set(tags)].map((tag: unknown) => word(tag, 'a tag'));
  if (words.length > MANY) throw new RangeError(`${words.length} tags are too many; ${MANY} are allowed`);
  return words.length === 0 ? undefined : words;
}

/** [name, amount, …] of amounts of more than 0; undefined for none. */
export function amountItems(amounts: Readonly<Record<string, number>>, what: string): Item[] | undefined {
  if (typeof amounts !== 'object' || Array.isArray(amounts))
    throw new TypeError(`${what} must be an object of numbers`);
  const entries = Object.entries(amounts).sort(([a], [b]) => (a < b ? -1 : 1));
  if (entries.length > MANY) throw new RangeError(`${entries.length} ${what} are too many; ${MANY} are allowed`);
  const items = entries.flatMap(([name, amount]): Item[] => {
    word(name, `a name in ${what}`);
    if (!Number.isFinite(amount) || amount < 0) {
      throw new RangeError(`${what}.${name} must be a number of 0 or more, not ${String(amount)}`);
    }
    return amount === 0 ? [] : [name, amount];
  });
  return items.length === 0 ? undefined : items;
}

/** The same amounts, checked. */
export function checkAmounts(amounts: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  amountItems(amounts, 'resources');
  return amounts;
}

export function backoffItem(backoff: Backoff): Item {
  if (typeof backoff !== 'object') throw new TypeError('backoff must be an object: { base, factor?, max?, jitter? }');
  checkNames('backoff', backoff, ['base', 'factor', 'max', 'jitter']);
  const { base, factor, max, jitter } = backoff;
  atLeast(0, base, 'backoff.base');
  if (factor !== undefined) atLeast(1, factor, 'backoff.factor');
  if (max !== undefined) atLeast(0, max, 'backoff.max');
  if (jitter !== undefined && jitter !== 'full' && jitter !== 'none') {
    throw new TypeError(`backoff.jitter must be 'full' or 'none', not ${String(jitter)}`);
  }
  return [base, factor, max, jitter];
}
