/**
 * The check that nearly every value passes: is it plain MessagePack as it stands? No path, no copy; a no sends the
 * value to `take-apart.ts`, which either finds the form that it needs or refuses it with the path.
 */
import { inspect, types } from 'node:util';
import { isExactText, isPlainKey, MAX_DEPTH } from './form.ts';

const { isProxy } = types;
const { getPrototypeOf, getOwnPropertyDescriptor, getOwnPropertySymbols, keys: keysOf } = Object;
const objectPrototype = Object.prototype;
const arrayPrototype = Array.prototype;

/**
 * True where the library carries the value exactly: plain objects and arrays without holes, getters, symbols, extra
 * properties or shared references, made of null, booleans, strings and numbers but -0.
 */
export function isPlain(value: object): boolean {
  return passes(value, new Visited(value), 1);
}

function passes(value: object, visited: Visited, depth: number): boolean {
  // First of all: any other question to a JavaScript Proxy would run its traps.
  if (isProxy(value)) return false;
  const prototype: unknown = getPrototypeOf(value);
  if (prototype === objectPrototype) {
    for (const key of keysOf(value)) {
      if (!isPlainKey(key)) return false;
      // By descriptor, so that no getter runs: one shows as undefined here, which does not pass.
      if (!partPasses(getOwnPropertyDescriptor(value, key)?.value, visited, depth)) return false;
    }
    return getOwnPropertySymbols(value).length === 0;
  }
  if (prototype !== arrayPrototype || !Array.isArray(value)) return false;
  for (let i = 0; i < value.length; i++) {
    if (!partPasses(value[i], visited, depth)) return false;
  }
  return hasOnlyIndices(value);
}

function partPasses(part: unknown, visited: Visited, depth: number): boolean {
  switch (typeof part) {
    case 'number':
      return part !== 0 || 1 / part > 0;
    case 'string':
      return isExactText(part);
    case 'boolean':
      return true;
    case 'object':
      return part === null || (depth < MAX_DEPTH && visited.isNew(part) && passes(part, visited, depth + 1));
    default:
      return false;
  }
}

/** Up to this length `Object.keys` is faster than asking `inspect` (which takes about 2 µs whatever the length). */
const FEW_KEYS = 64;

/**
 * Whether an array or typed array has nothing but elements: no `array.extra`, no symbol. `Object.keys` makes a string
 * of every index (165 ms for a million); `inspect` told to show no element shows only what is beside them.
 * Where its text is not what is expected, the keys themselves decide.
 */
export function hasOnlyIndices(value: readonly unknown[] | (ArrayBufferView & { readonly length: number })): boolean {
  const { length } = value;
  if (length > FEW_KEYS) {
    const text = inspect(value, { maxArrayLength: 0, depth: 0, customInspect: false, breakLength: Infinity });
    if (text.endsWith(` [ ... ${length} more items ]`) || text === `[ ... ${length} more items ]`) return true;
  }
  for (const symbol of getOwnPropertySymbols(value)) {
    if (getOwnPropertyDescriptor(value, symbol)?.enumerable === true) return false;
  }
  const keys = keysOf(value);
  // Indices come first, in order: with the last key an index, all are.
  return keys.length === 0 || isIndex(keys[keys.length - 1] as string);
}

/** Whether a key names an element of an array (the language's own definition). */
export function isIndex(key: string): boolean {
  const number = Number(key) >>> 0;
  return String(number) === key && number !== 0xffffffff;
}

const FEW_OBJECTS = 8;

/** The objects met so far: a handful is searched in a row, more of them through a Set. */
class Visited {
  readonly #few: object[];
  #many: Set<object> | undefined;

  constructor(root: object) {
    this.#few = [root];
  }

  isNew(value: object): boolean {
    if (this.#many !== undefined) {
      const { size } = this.#many;
      return this.#many.add(value).size > size;
    }
    const few = this.#few;
    for (let i = 0; i < few.length; i++) if (few[i] === value) return false;
    if (few.length < FEW_OBJECTS) few.push(value);
    else this.#many = new Set(few).add(value);
    return true;
  }
}
