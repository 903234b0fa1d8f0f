/** Named values: an object whose properties are shared. */
import type { Item } from '../../protocol/wire.ts';
import { checkOptions, textOf } from '../arguments.ts';
import type { Answer, Call } from '../call.ts';
import { type Made, SharedObject } from '../shared-object.ts';

export class Namespace extends SharedObject {
  readonly #values = new Map<string, Item>();

  constructor(made: Made, options: ReadonlyMap<string, Item>) {
    super(made);
    this.attach(options);
  }

  attach(options: ReadonlyMap<string, Item>): void {
    checkOptions('a namespace', options, []);
  }

  get(_call: Call, [name]: readonly Item[]): Answer {
    return this.#values.get(textOf(name, 'a property'));
  }

  set(_call: Call, [name, value]: readonly Item[]): Answer {
    const at = textOf(name, 'a property');
    this.keep(value);
    if (this.keepsObjects) this.letGo(this.#values.get(at));
    this.#values.set(at, value);
  }

  delete(_call: Call, [name]: readonly Item[]): Answer {
    const at = textOf(name, 'a property');
    if (this.keepsObjects) this.letGo(this.#values.get(at));
    return this.#values.delete(at);
  }

  /** [name, value] of all. */
  all(): Answer {
    return [...this.#values];
  }

  snapshot(): Answer {
    return this.all();
  }
}
