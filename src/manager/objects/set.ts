/** A set of scalars, which compare as in a Set, in the order in which they were added. */
import type { Item, Scalar } from '../../protocol/wire.ts';
import { checkOptions, keyOf } from '../arguments.ts';
import type { Answer, Call } from '../call.ts';
import { type Made, SharedObject } from '../shared-object.ts';

export class SharedSet extends SharedObject {
  readonly #members = new Set<Scalar>();

  constructor(made: Made, options: ReadonlyMap<string, Item>) {
    super(made);
    this.attach(options);
  }

  attach(options: ReadonlyMap<string, Item>): void {
    checkOptions('a set', options, []);
  }

  /** Whether it is new. */
  add(_call: Call, [member]: readonly Item[]): Answer {
    const before = this.#members.size;
    return this.#members.add(keyOf(member, 'a member')).size > before;
  }

  has(_call: Call, [member]: readonly Item[]): Answer {
    return this.#members.has(keyOf(member, 'a member'));
  }

  delete(_call: Call, [member]: readonly Item[]): Answer {
    return this.#members.delete(keyOf(member, 'a member'));
  }

  size(): Answer {
    return this.#members.size;
  }

  clear(): Answer {
    this.#members.clear();
  }

  values(): Answer {
    return [...this.#members];
  }

  snapshot(): Answer {
    return this.values();
  }
}
