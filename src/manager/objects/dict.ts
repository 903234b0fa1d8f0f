/** A dictionary. Keys are scalars, which compare as in a Map; values are kept as they came. */
import { TypeMismatchError } from '../../errors.ts';
import type { Item, Scalar } from '../../protocol/wire.ts';
import { checkOptions, differs, keyOf, listOf, same } from '../arguments.ts';
import type { Answer, Call } from '../call.ts';
import { type Made, SharedObject } from '../shared-object.ts';
import { Watchers } from '../watchers.ts';

export class Dict extends SharedObject {
  readonly #entries = new Map<Scalar, Item>();
  readonly #watchers = new Watchers();

  constructor(made: Made, options: ReadonlyMap<string, Item>) {
    super(made);
    this.attach(options);
  }

  attach(options: ReadonlyMap<string, Item>): void {
    checkOptions('a dict', options, []);
  }

  get(_call: Call, [key]: readonly Item[]): Answer {
    return this.#entries.get(keyOf(key));
  }

  set(call: Call, [key, value]: readonly Item[]): Answer {
    this.#put(call, keyOf(key), value);
  }

  has(_call: Call, [key]: readonly Item[]): Answer {
    return this.#entries.has(keyOf(key));
  }

  delete(call: Call, [key]: readonly Item[]): Answer {
    return this.#remove(call, keyOf(key));
  }

  clear(call: Call): Answer {
    this.letGoOfAll();
    this.#watchers.cleared(call, this.#entries.keys(), this.#entries.size);
    this.#entries.clear();
  }

  size(): Answer {
    return this.#entries.size;
  }

  keys(): Answer {
    return [...this.#entries.keys()];
  }

  values(): Answer {
    return [...this.#entries.values()];
  }

  entries(): Answer {
    return [...this.#entries];
  }

  snapshot(): Answer {
    return this.entries();
  }

  getMany(_call: Call, [keys]: readonly Item[]): Answer {
    return listOf(keys, 'keys').map((key) => this.#entries.get(keyOf(key)));
  }

  /** All or none: every key is checked before the first is set. */
  setMany(call: Call, [entries]: readonly Item[]): Answer {
    const pairs = listOf(entries, 'entries').map((entry) => {
      const [key, value] = listOf(entry, 'an entry');
      return [keyOf(key), value] as const;
    });
    for (const [key, value] of pairs) this.#put(call, key, value);
  }

  getOrInsert(call: Call, [key, value]: readonly Item[]): Answer {
    const at = keyOf(key);
    if (!this.#entries.has(at)) this.#put(call, at, value);
    return this.#entries.get(at);
  }

  /** A missing value counts as zero of the kind that is added. */
  increment(call: Call, [key, by]: readonly Item[]): Answer {
    const at = keyOf(key);
    const next = sum(this.#entries.get(at), by, String(at));
    this.#entries.set(at, next);
    this.#watchers.changed(call, at, next);
    return next;
  }

  /** A missing value compares as undefined. */
  compareAndSet(call: Call, [key, expected, next]: readonly Item[]): Answer {
    const at = keyOf(key);
    const current = this.#entries.get(at);
    if (!same(current, expected)) return differs(current, expected);
    this.#put(call, at, next);
    return true;
  }

  pop(call: Call, [key]: readonly Item[]): Answer {
    const at = keyOf(key);
    const value = this.#entries.get(at);
    this.#remove(call, at);
    return value;
  }

  /** Of one key, or of all. */
  watch(call: Call, [key]: readonly Item[]): Answer {
    return this.#watchers.watch(call, key === undefined ? undefined : keyOf(key));
  }

  override dropped(reason: Error): void {
    this.#watchers.end(reason);
  }

  #put(call: Call, key: Scalar, value: Item): void {
    this.keep(value);
    if (this.keepsObjects) this.letGo(this.#entries.get(key));
    this.#entries.set(key, value);
    this.#watchers.changed(call, key, value);
  }

  #remove(call: Call, key: Scalar): boolean {
    if (this.keepsObjects) this.letGo(this.#entries.get(key));
    const was = this.#entries.delete(key);
    if (was) this.#watchers.deleted(call, key);
    return was;
  }
}

function sum(current: Item, by: Item, key: string): number | bigint {
  if (typeof by === 'bigint' && (current === undefined || typeof current === 'bigint')) return (current ?? 0n) + by;
  if (typeof by === 'number' && (current === undefined || typeof current === 'number')) return (current ?? 0) + by;
  if (typeof by !== 'number' && typeof by !== 'bigint') throw new TypeError('increment adds a number or a bigint');
  throw new TypeMismatchError(`the value at '${key}' is ${nameOf(current)}: ${nameOf(by)} cannot be added to it`);
}

function nameOf(item: Item): string {
  return item === null || typeof item === 'object' ? 'no number' : `a ${typeof item}`;
}
