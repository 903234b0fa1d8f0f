/** A flag that many wait for. */
import { DeadlockError } from '../../errors.ts';
import type { Item } from '../../protocol/wire.ts';
import { checkOptions } from '../arguments.ts';
import type { Answer, Call } from '../call.ts';
import { type Made, SharedObject } from '../shared-object.ts';
import { WaitList } from '../wait-list.ts';

export class SharedEvent extends SharedObject {
  readonly #waiters = new WaitList<Call>();
  #flag = false;

  constructor(made: Made, options: ReadonlyMap<string, Item>) {
    super(made);
    this.attach(options);
  }

  attach(options: ReadonlyMap<string, Item>): void {
    checkOptions('an event', options, []);
  }

  /** Whoever waits goes on, whether it is cleared again right after or not. */
  set(): Answer {
    this.#flag = true;
    for (let call = this.#waiters.shift(); call !== undefined; call = this.#waiters.shift()) call.answer();
  }

  clear(): Answer {
    this.#flag = false;
  }

  isSet(): Answer {
    return this.#flag;
  }

  wait(call: Call): Answer {
    if (this.#flag) return undefined;
    if (call.held) throw new DeadlockError(`${this.title} is not set, and a held object must not wait`);
    return call.park(this.#waiters.add(call));
  }

  snapshot(): Answer {
    return this.#flag;
  }

  override dropped(reason: Error): void {
    for (let call = this.#waiters.shift(); call !== undefined; call = this.#waiters.shift()) call.fail(reason);
  }
}
