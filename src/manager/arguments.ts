/** What methods of shared objects expect of their arguments; anything else is the caller's mistake and is told so. */
import type { Item, Scalar } from '../protocol/wire.ts';
import { Packed } from '../protocol/wire.ts';

export function keyOf(item: Item, what = 'a key'): Exclude<Scalar, null | undefined> {
  const kind = typeof item;
  if (kind === 'string' || kind === 'number' || kind === 'bigint' || kind === 'boolean') {
    return item as Exclude<Scalar, null | undefined>;
  }
  throw new TypeError(`${what} must be a string, number, bigint or boolean`);
}

export function textOf(item: Item, what: string): string {
  if (typeof item === 'string') return item;
  throw new TypeError(`${what} must be a string`);
}

export function numberOf(item: Item, what: string): number {
  if (typeof item === 'number') return item;
  throw new TypeError(`${what} must be a number`);
}

export function countOf(item: Item, what: string, least = 0): number {
  if (typeof item === 'number' && Number.isInteger(item) && item >= least) return item;
  throw new RangeError(`${what} must be a whole number of at least ${least}`);
}

export function listOf(item: Item, what: string): readonly Item[] {
  if (Array.isArray(item)) return item as readonly Item[];
  throw new TypeError(`${what} must be a list`);
}

/** Of [key, value, …]. */
export function optionMap(options: Item): Map<string, Item> {
  const map = new Map<string, Item>();
  if (Array.isArray(options)) {
    for (let i = 0; i + 1 < options.length; i += 2) map.set(String(options[i]), options[i + 1] as Item);
  }
  return map;
}

/** SameValueZero for scalars, the same bytes for the rest. */
export function same(a: Item, b: Item): boolean {
  if (a === b) return true;
  if (typeof a === 'number' && typeof b === 'number') return Number.isNaN(a) && Number.isNaN(b);
  return a instanceof Packed && b instanceof Packed && sameBytes(a, b);
}

function sameBytes(a: Packed, b: Packed): boolean {
  return a.bytes.length === b.bytes.length && Buffer.compare(a.bytes, b.bytes) === 0 && sameRefs(a, b);
}

function sameRefs(a: Packed, b: Packed): boolean {
  return (
    a.proxies.length === b.proxies.length &&
    a.jobs.length === b.jobs.length &&
    a.proxies.every((ref, i) => ref.id === b.proxies[i]?.id) &&
    a.jobs.every((ref, i) => ref.id === b.jobs[i]?.id && ref.queue === b.jobs[i]?.queue)
  );
}

/**
 * The answer of a `compareAndSet` that found another value. Two packed values of other bytes may still be the same
 * value with its keys in another order; only the caller can decode, so it is given the current one to look at.
 */
export function differs(current: Item, expected: Item): Item {
  return current instanceof Packed && expected instanceof Packed ? [current] : false;
}

/** Refuses options that the type does not have, at its making and at every later ask. */
export function checkOptions(title: string, options: ReadonlyMap<string, Item>, known: readonly string[]): void {
  for (const key of options.keys()) {
    if (!known.includes(key)) {
      const has = known.length === 0 ? 'it takes none' : `it takes ${known.join(', ')}`;
      throw new TypeError(`${title} has no option '${key}'; ${has}`);
    }
  }
}
