/**
 * A place where so many wait for each other. One that leaves before all have come (timeout, abort, end of its session)
 * breaks it: the others would wait for somebody who does not come.
 */
import { BrokenBarrierError, DeadlockError, TypeMismatchError } from '../../errors.ts';
import type { Item } from '../../protocol/wire.ts';
import { checkOptions, countOf } from '../arguments.ts';
import type { Answer, Call } from '../call.ts';
import { type Made, SharedObject } from '../shared-object.ts';

export class Barrier extends SharedObject {
  #parties: number | undefined;
  /** In the order in which they came. */
  #waiting: Call[] = [];
  #broken = false;

  constructor(made: Made, options: ReadonlyMap<string, Item>) {
    super(made);
    this.attach(options);
  }

  attach(options: ReadonlyMap<string, Item>): void {
    checkOptions('a barrier', options, ['parties']);
    const given = options.get('parties');
    if (given === undefined) return;
    const parties = countOf(given, 'parties', 1);
    if (this.#parties !== undefined && this.#parties !== parties) {
      throw new TypeMismatchError(`${this.title} has ${this.#parties} parties, not ${parties}`);
    }
    this.#parties = parties;
  }

  /** Answers, when all have come, with the place in the order in which they did. */
  wait(call: Call): Answer {
    const parties = this.#known();
    if (this.#broken) throw this.#brokenError();
    if (this.#waiting.length + 1 < parties) {
      if (call.held) throw new DeadlockError(`${this.title} waits for others, and a held object must not wait`);
      this.#waiting.push(call);
      return call.park(() => this.#left(call));
    }
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const [index, other] of waiting.entries()) other.answer(index);
    return waiting.length;
  }

  /** As new: whoever waits is told that it broke. */
  reset(): Answer {
    this.#breakUp();
    this.#broken = false;
  }

  abort(): Answer {
    this.#breakUp();
  }

  parties(): Answer {
    return this.#known();
  }

  waiting(): Answer {
    return this.#waiting.length;
  }

  broken(): Answer {
    return this.#broken;
  }

  snapshot(): Answer {
    return [this.#parties, this.#waiting.length, this.#broken];
  }

  override dropped(reason: Error): void {
    for (const call of this.#waiting.splice(0)) call.fail(reason);
  }

  #known(): number {
    if (this.#parties !== undefined) return this.#parties;
    throw new TypeError(`nobody has said for how many ${this.title} is: ask for it with { parties }`);
  }

  #left(call: Call): void {
    this.#waiting = this.#waiting.filter((other) => other !== call);
    this.#breakUp();
  }

  #breakUp(): void {
    this.#broken = true;
    for (const call of this.#waiting.splice(0)) call.fail(this.#brokenError());
  }

  #brokenError(): BrokenBarrierError {
    return new BrokenBarrierError(`${this.title} is broken: somebody left it, or broke it; reset() makes it anew`);
  }
}
