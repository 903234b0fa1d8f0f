/** Parts of options that puts and task queues share, as they cross, checked: the client checks too, but is not trusted. */
import type { Item } from '../../protocol/wire.ts';
import type { Backoff, RateLimit } from '../../scheduling.ts';
import { countOf, listOf, numberOf, textOf } from '../arguments.ts';

/** Most tags of a task or worker, and most resources or weights. */
const MANY = 100;
/** Longest key, group, tag, or name of a resource or worker. */
const LONG = 1000;

export function wordOf(item: Item, what: string): string {
  const text = textOf(item, what);
  if (text !== '' && text.length <= LONG) return text;
  throw new RangeError(`${what} must have 1 to ${LONG} characters`);
}

export function tagsOf(item: Item): string[] {
  return few(listOf(item, 'tags'), 'tags', 1).map((tag) => wordOf(tag, 'a tag'));
}

/** From [name, amount, …]. */
export function amountsOf(item: Item, what: string): Readonly<Record<string, number>> {
  const list = few(listOf(item, what), what, 2);
  const entries: [string, number][] = [];
  for (let i = 0; i + 1 < list.length; i += 2) {
    entries.push([wordOf(list[i], `a name in ${what}`), timeOf(list[i + 1], `an amount in ${what}`)]);
  }
  return Object.fromEntries(entries);
}

/** A number from 0 up that is not infinite. */
export function timeOf(item: Item, what: string): number {
  const value = numberOf(item, what);
  if (value >= 0 && value < Infinity) return value;
  throw new RangeError(`${what} must be a number of 0 or more`);
}

/** ms; Infinity for no limit. */
export function durationOf(item: Item, what: string): number {
  const value = numberOf(item, what);
  if (value > 0) return value;
  throw new RangeError(`${what} must be more than 0 ms`);
}

/** Infinity for no limit. */
export function limitOf(item: Item, what: string, least: number): number {
  return item === Infinity ? Infinity : countOf(item, what, least);
}

/** From [base, factor, max, jitter]. */
export function backoffOf(item: Item): Backoff {
  const [base, factor, max, jitter] = listOf(item, 'backoff');
  if (factor !== undefined && !(numberOf(factor, 'backoff.factor') >= 1)) {
    throw new RangeError('backoff.factor must be at least 1');
  }
  if (jitter !== undefined && jitter !== 'full' && jitter !== 'none') {
    throw new TypeError("backoff.jitter must be 'full' or 'none'");
  }
  return {
    base: timeOf(base, 'backoff.base'),
    factor: factor as number | undefined,
    max: max === undefined || max === Infinity ? undefined : timeOf(max, 'backoff.max'),
    jitter,
  };
}

/** From [max, per, keyed]. */
export function rateLimitOf(item: Item): RateLimit {
  const [max, per, keyed] = listOf(item, 'rateLimit');
  const most = limitOf(max, 'rateLimit.max', 1);
  return { max: most, per: durationOf(per, 'rateLimit.per'), keyed: keyed === true };
}

function few(list: readonly Item[], what: string, size: number): readonly Item[] {
  if (list.length <= MANY * size) return list;
  throw new RangeError(`${list.length / size} ${what} are too many; ${MANY} are allowed`);
}
