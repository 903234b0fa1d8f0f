/** A list. Values are kept as they came; positions count from 0, negative ones from the end, as in an Array. */
import type { Item } from '../../protocol/wire.ts';
import { checkOptions, listOf, numberOf, same } from '../arguments.ts';
import type { Answer, Call } from '../call.ts';
import { type Made, SharedObject } from '../shared-object.ts';

/** Values that are handed to one call: each takes a place on the stack. */
const SPREAD = 10_000;

export class List extends SharedObject {
  readonly #values: Item[] = [];

  constructor(made: Made, options: ReadonlyMap<string, Item>) {
    super(made);
    this.attach(options);
  }

  attach(options: ReadonlyMap<string, Item>): void {
    checkOptions('a list', options, []);
  }

  at(_call: Call, [index]: readonly Item[]): Answer {
    return this.#values.at(numberOf(index, 'a position'));
  }

  push(_call: Call, [value]: readonly Item[]): Answer {
    this.keep(value);
    return this.#values.push(value);
  }

  pop(): Answer {
    return this.#taken(this.#values.pop());
  }

  shift(): Answer {
    return this.#taken(this.#values.shift());
  }

  unshift(_call: Call, [value]: readonly Item[]): Answer {
    this.keep(value);
    return this.#values.unshift(value);
  }

  slice(_call: Call, [start, end]: readonly Item[]): Answer {
    return this.#values.slice(positionOf(start), positionOf(end));
  }

  /** The values that were taken out. Undefined as the count: all from there on. */
  splice(_call: Call, [start, count, items]: readonly Item[]): Answer {
    const from = numberOf(start, 'a position');
    const values = listOf(items, 'the values');
    const many = count === undefined ? this.#values.length : numberOf(count, 'a count');
    const removed = this.#values.splice(from, many);
    const { length } = this.#values;
    let at = from < 0 ? Math.max(0, length + removed.length + from) : Math.min(from, length);
    for (let i = 0; i < values.length; i += SPREAD) {
      const part = values.slice(i, i + SPREAD);
      this.#values.splice(at, 0, ...part);
      at += part.length;
    }
    this.keep(values);
    this.letGo(removed);
    return removed;
  }

  length(): Answer {
    return this.#values.length;
  }

  clear(): Answer {
    this.letGoOfAll();
    this.#values.length = 0;
  }

  /** Of scalars and equal bytes. Whether other bytes are the same value, only the caller can tell. */
  indexOf(_call: Call, [value, from]: readonly Item[]): Answer {
    const { length } = this.#values;
    const start = positionOf(from) ?? 0;
    for (let i = start < 0 ? Math.max(0, length + start) : start; i < length; i++) {
      if (same(this.#values[i], value)) return i;
    }
    return -1;
  }

  snapshot(): Answer {
    return [...this.#values];
  }

  #taken(value: Item): Item {
    this.letGo(value);
    return value;
  }
}

function positionOf(item: Item): number | undefined {
  return item === undefined ? undefined : numberOf(item, 'a position');
}
