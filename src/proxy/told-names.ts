import { ToManager } from '../protocol/messages.ts';
import type { Link } from '../transport/link.ts';

/** The names of tasks that a manager has been told in this session, each with the index by which it knows it. */
export class ToldNames {
  readonly #indexes = new Map<string, number>();

  /** Tells the manager at the first use. */
  index(name: string, link: Link): number {
    return this.#indexes.get(name) ?? this.#tell(name, link);
  }

  clear(): void {
    this.#indexes.clear();
  }

  #tell(name: string, link: Link): number {
    if (typeof name !== 'string' || name === '' || name.length > 1000) {
      throw new TypeError('the name of a task must be a string of 1 to 1,000 characters');
    }
    // Numbers are 16 bits: when all are taken, naming begins anew.
    if (this.#indexes.size > 0xffff) this.#indexes.clear();
    const index = this.#indexes.size;
    const start = link.begin(ToManager.NAME);
    link.writer.u16(index);
    link.writer.text(name);
    link.end(start);
    this.#indexes.set(name, index);
    return index;
  }
}
