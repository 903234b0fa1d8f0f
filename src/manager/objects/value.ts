/** One value. */
import type { Item } from '../../protocol/wire.ts';
import { checkOptions, differs, same } from '../arguments.ts';
import type { Answer, Call } from '../call.ts';
import { type Made, SharedObject } from '../shared-object.ts';
import { Watchers } from '../watchers.ts';

export class Value extends SharedObject {
  readonly #watchers = new Watchers();
  #value: Item;

  constructor(made: Made, options: ReadonlyMap<string, Item>) {
    super(made);
    this.attach(options);
    this.#value = options.get('initial');
    this.keep(this.#value);
  }

  /** `initial` counts for the maker only. */
  attach(options: ReadonlyMap<string, Item>): void {
    checkOptions('a value', options, ['initial']);
  }

  get(): Answer {
    return this.#value;
  }

  snapshot(): Answer {
    return this.#value;
  }

  set(call: Call, [value]: readonly Item[]): Answer {
    this.#replace(call, value);
  }

  compareAndSet(call: Call, [expected, next]: readonly Item[]): Answer {
    if (!same(this.#value, expected)) return differs(this.#value, expected);
    this.#replace(call, next);
    return true;
  }

  watch(call: Call): Answer {
    return this.#watchers.watch(call);
  }

  override dropped(reason: Error): void {
    this.#watchers.end(reason);
  }

  #replace(call: Call, value: Item): void {
    this.keep(value);
    this.letGo(this.#value);
    this.#value = value;
    this.#watchers.changed(call, undefined, value);
  }
}
