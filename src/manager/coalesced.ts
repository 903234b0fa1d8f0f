/** Frames that say the same of one call after another: one frame for all of them, while it has not left. */
import type { Link } from '../transport/link.ts';

/** Answers that follow each other (calls counting up, and numbers with them) share one frame while it is unsent. */
export class Coalesced {
  readonly #kind: number;
  #generation = -1;
  #end = -1;
  #countAt = 0;
  #next = 0;
  #nextNumber = 0;
  #count = 0;

  constructor(kind: number) {
    this.#kind = kind;
  }

  add(link: Link, call: number, number: number): void {
    const { writer } = link;
    if (
      writer.length === this.#end &&
      writer.generation === this.#generation &&
      call === this.#next &&
      (number === 0 || number === this.#nextNumber)
    ) {
      writer.patchU32(++this.#count, this.#countAt);
    } else {
      const start = link.begin(this.#kind);
      writer.u32(call);
      this.#countAt = writer.length;
      writer.u32(1);
      if (number !== 0) writer.u48(number);
      this.#count = 1;
      this.#generation = writer.generation;
      link.end(start);
      this.#end = writer.length;
    }
    this.#next = call + 1;
    this.#nextNumber = number + 1;
  }
}
