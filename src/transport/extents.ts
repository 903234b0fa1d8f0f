/**
 * Which parts of a range are taken: the lowest gap that is large enough is given first, so that what has been in use
 * before, and is there, is used again, and the end stays low. Asked for every large value, so gaps are few: a list will do.
 */

interface Gap {
  from: number;
  to: number;
}

/** Sizes are rounded up to whole pages. */
const PAGE = 4096;

export class Extents {
  readonly #taken = new Map<number, number>();
  /** By place, none empty, none touching the next. */
  readonly #gaps: Gap[];
  readonly #from: number;
  readonly #to: number;

  /** `from` is a multiple of the page. */
  constructor(from: number, to: number) {
    this.#from = from;
    this.#to = to;
    this.#gaps = to > from ? [{ from, to }] : [];
  }

  /** Where the last taken part ends. */
  get end(): number {
    const last = this.#gaps.at(-1);
    if (this.#taken.size === 0) return this.#from;
    return last !== undefined && last.to === this.#to ? last.from : this.#to;
  }

  /** Undefined where no gap is large enough. */
  take(bytes: number): number | undefined {
    const size = Math.max(1, Math.ceil(bytes / PAGE)) * PAGE;
    const at = this.#gaps.findIndex(({ from, to }) => to - from >= size);
    const gap = this.#gaps[at];
    if (gap === undefined) return undefined;
    const offset = gap.from;
    gap.from += size;
    if (gap.from === gap.to) this.#gaps.splice(at, 1);
    this.#taken.set(offset, size);
    return offset;
  }

  /** False where nothing was taken there. */
  giveBack(offset: number): boolean {
    const size = this.#taken.get(offset);
    if (size === undefined) return false;
    this.#taken.delete(offset);
    const end = offset + size;
    const at = this.#gaps.findIndex(({ from }) => from > offset);
    const next = at === -1 ? this.#gaps.length : at;
    const before = this.#gaps[next - 1];
    const after = this.#gaps[next];
    if (before?.to === offset && after?.from === end) {
      before.to = after.to;
      this.#gaps.splice(next, 1);
    } else if (before?.to === offset) before.to = end;
    else if (after?.from === end) after.from = offset;
    else this.#gaps.splice(next, 0, { from: offset, to: end });
    return true;
  }
}
