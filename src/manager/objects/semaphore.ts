/**
 * So many permits, and never one more. A permit belongs to the grant that took it, so that it comes back when its session
 * ends; `free` gives back permits for whoever took them: the caller's own first, then the oldest.
 */
import { TypeMismatchError } from '../../errors.ts';
import type { Item } from '../../protocol/wire.ts';
import { checkOptions, countOf } from '../arguments.ts';
import type { Answer, Call } from '../call.ts';
import type { Made } from '../shared-object.ts';
import { Grantor } from './grantor.ts';

export class Semaphore extends Grantor {
  #permits: number | undefined;

  constructor(made: Made, options: ReadonlyMap<string, Item>) {
    super(made);
    this.attach(options);
  }

  attach(options: ReadonlyMap<string, Item>): void {
    checkOptions('a semaphore', options, ['permits']);
    const given = options.get('permits');
    if (given === undefined) return;
    const permits = countOf(given, 'permits', 1);
    if (this.#permits !== undefined && this.#permits !== permits) {
      throw new TypeMismatchError(`${this.title} has ${this.#permits} permits, not ${permits}`);
    }
    this.#permits = permits;
    this.pass();
  }

  acquire(call: Call, [weight, lease]: readonly Item[]): Answer {
    return this.ask(call, this.#weightOf(weight), lease);
  }

  tryAcquire(call: Call, [weight, lease]: readonly Item[]): Answer {
    return this.askNow(call, this.#weightOf(weight), lease);
  }

  available(): Answer {
    return this.free;
  }

  /** All of them or none. */
  give(call: Call, [count]: readonly Item[]): Answer {
    let left = countOf(count, 'permits to release', 1);
    const taken = this.capacity - this.free;
    if (left > taken) {
      throw new RangeError(
        `${this.title} has ${this.capacity} permits, ${taken} of them taken: ${left} cannot be released`,
      );
    }
    const grants = [...this.owners()];
    const own = grants.filter((grant) => grant.session === call.session);
    for (const grant of new Set([...own, ...grants])) {
      if (left === 0) break;
      const weight = Math.min(left, grant.weight);
      left -= weight;
      this.end(grant, weight);
    }
  }

  snapshot(): Answer {
    return [this.capacity, this.free, this.waiting];
  }

  protected get capacity(): number {
    return this.#permits ?? 1;
  }

  #weightOf(item: Item): number {
    const weight = countOf(item, 'the weight', 1);
    if (weight <= this.capacity) return weight;
    throw new RangeError(`${this.title} has ${this.capacity} permits: ${weight} at once can never be had`);
  }
}
