/** Keeps the process alive by a client's transport while anything is outstanding, and no longer. */
import type { Transport } from '../transport/transport.ts';

export class KeepAlive {
  /** How many things are outstanding. */
  count = 0;
  #keeps = false;

  /** A transport that is new to it. */
  begin(transport: Transport): void {
    this.#keeps = this.count === 0;
    this.settle(transport);
  }

  /** Where calls come and go by frames this is asked once a turn, not for each: the event loop looks after it. */
  settle(transport: Transport): void {
    if (this.count > 0 === this.#keeps) return;
    this.#keeps = !this.#keeps;
    if (this.#keeps) transport.ref();
    else transport.unref();
  }
}
