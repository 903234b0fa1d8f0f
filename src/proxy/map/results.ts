/** Outcomes that have come and have not been read: in the order of the inputs, or in that in which they came. */
import { Deque } from '../../queue/deque.ts';

/** Reads what is there: `none` where nothing is, an instance of `Failure` for what failed, otherwise an output. */
export interface Results {
  /** How many have been read. */
  readonly read: number;
  put(index: number, result: unknown): void;
  take(): unknown;
}

/** In the place of an outcome that is not there. */
export const none: unique symbol = Symbol('none');

/** An input that has no output, and why. */
export class Failure {
  readonly error: unknown;
  /** The inputs have failed, and not what was made of one. */
  readonly ends: boolean;
  constructor(error: unknown, ends = false) {
    this.error = error;
    this.ends = ends;
  }
}

/** In the order of the inputs. A ring of the unread, from the next one on. */
export class Ordered implements Results {
  #ring: unknown[] = new Array<unknown>(64).fill(none);
  read = 0;

  put(index: number, result: unknown): void {
    if (index - this.read >= this.#ring.length) this.#grow(index - this.read);
    this.#ring[index & (this.#ring.length - 1)] = result;
  }

  take(): unknown {
    const at = this.read & (this.#ring.length - 1);
    const result = this.#ring[at];
    if (result === none) return none;
    this.#ring[at] = none;
    this.read++;
    return result;
  }

  #grow(span: number): void {
    const before = this.#ring;
    let size = before.length;
    while (size <= span) size *= 2;
    this.#ring = new Array<unknown>(size).fill(none);
    for (let i = this.read; i < this.read + before.length; i++) {
      this.#ring[i & (size - 1)] = before[i & (before.length - 1)];
    }
  }
}

/** In the order in which they come. */
export class Unordered implements Results {
  readonly #queue = new Deque<{ readonly result: unknown }>();
  read = 0;

  put(_index: number, result: unknown): void {
    this.#queue.push({ result });
  }

  take(): unknown {
    const first = this.#queue.shift();
    if (first === undefined) return none;
    this.read++;
    return first.result;
  }
}
