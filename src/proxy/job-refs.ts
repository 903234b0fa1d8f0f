/** Finds the references in an input: each is an edge of the graph. */
import { types } from 'node:util';
import { type BrandedJobRef, isJobRef } from '../job-ref.ts';

const none: readonly never[] = [];

/**
 * Every job reference and task handle in the plain objects and arrays of `input`, once each. Members of maps and sets
 * count too, since they cross with the input all the same. Nearest to the top first; values may contain themselves and
 * be of any depth.
 */
export function jobRefsIn(input: unknown): readonly BrandedJobRef[] {
  if (!isObject(input)) return none;
  let found: BrandedJobRef[] | undefined;
  // A set that grows while it is walked: what is in it twice is walked once.
  const values = new Set([input]);
  for (const value of values) {
    // Any question to a JavaScript Proxy would run its traps; it is no data.
    if (types.isProxy(value)) continue;
    if (isJobRef(value)) (found ??= []).push(value);
    else for (const part of partsOf(value)) if (isObject(part)) values.add(part);
  }
  return found ?? none;
}

function partsOf(value: object): Iterable<unknown> {
  const prototype: unknown = Object.getPrototypeOf(value);
  // Object.values() skips the holes of an array of any length.
  if (prototype === Object.prototype || prototype === null || Array.isArray(value)) return Object.values(value);
  if (types.isMap(value)) return [...value.keys(), ...value.values()];
  return types.isSet(value) ? value : none;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
