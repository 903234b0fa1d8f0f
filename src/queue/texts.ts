/**
 * A hash table by text for very many entries that come and go once each. A Map finds an entry by way of its neighbours
 * in the same bucket, whose keys it reads: with a million that is half a dozen cache misses, for the last time when the
 * entry is deleted. Here the hash stays with the entry, and the hashes lie side by side: one or two.
 */

/** What can be an entry. */
export interface Entry {
  readonly text: string;
  /** `hashOf(text)`. */
  readonly hash: number;
}

/** Differs from process to process, so that nobody can choose texts that collide. */
const seed = (Math.random() * 2 ** 32) | 0;

/** Never 0. */
export function hashOf(text: string): number {
  let hash = seed ^ text.length;
  for (let at = 0; at < text.length; at++) {
    hash = Math.imul(hash ^ text.charCodeAt(at), 0x5bd1e995);
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  hash ^= hash >>> 16;
  return hash === 0 ? 1 : hash;
}

const SMALLEST = 64;

/** Open addressing, linear probing; at most half full, and at least an eighth. */
export class Texts<T extends Entry> {
  /** 0 where there is no entry. */
  #hashes = new Int32Array(SMALLEST);
  #entries: (T | undefined)[] = new Array<T | undefined>(SMALLEST).fill(undefined);
  #mask = SMALLEST - 1;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(text: string, hash: number): T | undefined {
    const hashes = this.#hashes;
    const mask = this.#mask;
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const found = hashes[at];
      if (found === 0) return undefined;
      if (found !== hash) continue;
      const entry = this.#entries[at] as T;
      if (entry.text === text) return entry;
    }
  }

  /** There must be none of its text. */
  add(entry: T): void {
    if (this.#size * 2 > this.#mask) this.#resize((this.#mask + 1) * 2);
    this.#put(entry);
    this.#size++;
  }

  /** Nothing happens where it is not in. */
  delete(entry: T): void {
    const hashes = this.#hashes;
    const entries = this.#entries;
    const mask = this.#mask;
    let gap = entry.hash & mask;
    while (entries[gap] !== entry) {
      if (hashes[gap] === 0) return;
      gap = (gap + 1) & mask;
    }
    // Those after it that would not be found beyond a gap move up.
    for (let at = (gap + 1) & mask; hashes[at] !== 0; at = (at + 1) & mask) {
      const home = (hashes[at] as number) & mask;
      if (((at - home) & mask) < ((at - gap) & mask)) continue;
      hashes[gap] = hashes[at] as number;
      entries[gap] = entries[at];
      gap = at;
    }
    hashes[gap] = 0;
    entries[gap] = undefined;
    this.#size--;
    if (mask >= SMALLEST && this.#size * 8 < mask) this.#resize((mask + 1) / 4);
  }

  *values(): IterableIterator<T> {
    for (const entry of this.#entries) if (entry !== undefined) yield entry;
  }

  #put(entry: T): void {
    let at = entry.hash & this.#mask;
    while (this.#hashes[at] !== 0) at = (at + 1) & this.#mask;
    this.#hashes[at] = entry.hash;
    this.#entries[at] = entry;
  }

  #resize(capacity: number): void {
    const entries = this.#entries;
    const size = Math.max(SMALLEST, capacity);
    this.#hashes = new Int32Array(size);
    this.#entries = new Array<T | undefined>(size).fill(undefined);
    this.#mask = size - 1;
    for (const entry of entries) if (entry !== undefined) this.#put(entry);
  }
}
