/** A number that many add to. */
import type { Item } from '../../protocol/wire.ts';
import { checkOptions, numberOf } from '../arguments.ts';
import type { Answer, Call } from '../call.ts';
import { type Made, SharedObject } from '../shared-object.ts';

export class Counter extends SharedObject {
  #value: number;

  constructor(made: Made, options: ReadonlyMap<string, Item>) {
    super(made);
    this.attach(options);
    this.#value = options.has('initial') ? numberOf(options.get('initial'), 'initial') : 0;
  }

  /** `initial` counts for the maker only. */
  attach(options: ReadonlyMap<string, Item>): void {
    checkOptions('a counter', options, ['initial']);
  }

  get(): Answer {
    return this.#value;
  }

  snapshot(): Answer {
    return this.#value;
  }

  add(_call: Call, [by]: readonly Item[]): Answer {
    this.#value += numberOf(by, 'what is added');
    return this.#value;
  }

  set(_call: Call, [value]: readonly Item[]): Answer {
    this.#value = numberOf(value, 'the value');
  }
}
