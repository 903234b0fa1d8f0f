/** A client whose helper thread does not beat says itself that it is alive, while it holds leases. */
import type { Connection } from './connection.ts';

export class OwnBeats {
  readonly #connection: Connection;
  /** ms */
  #leaseTimeout: number;
  #timer: NodeJS.Timeout | undefined;

  constructor(connection: Connection) {
    this.#connection = connection;
    this.#leaseTimeout = connection.welcome.leaseTimeout;
  }

  get on(): boolean {
    return this.#timer !== undefined;
  }

  begin(): void {
    this.#timer ??= setInterval(() => {
      if (!this.#connection.closed) this.#connection.beat();
    }, this.#leaseTimeout / 5).unref();
  }

  end(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Leases end after so long (ms) from here on. */
  within(leaseTimeout: number): void {
    this.#leaseTimeout = leaseTimeout;
    if (!this.on) return;
    this.end();
    this.begin();
  }
}
