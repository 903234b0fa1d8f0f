/** A transport whose reader gets the same bytes cut elsewhere: C2 for whole connections. */
import type { Transport, TransportHandlers } from '#qm/transport/transport.js';
import type { Random } from './random.ts';

export class Chopped implements Transport {
  readonly #inner: Transport;
  readonly #random: Random;
  #held: Buffer = Buffer.alloc(0);
  #scheduled = false;
  #handlers: TransportHandlers | undefined;
  /** Pieces handed out so far. */
  static pieces = 0;

  constructor(inner: Transport, random: Random) {
    this.#inner = inner;
    this.#random = random;
  }

  receive(handlers: TransportHandlers): void {
    this.#handlers = handlers;
    this.#inner.receive({
      data: (chunk) => this.#chop(chunk),
      drained: () => handlers.drained(),
      closed: (error) => {
        this.#deliver(this.#held);
        this.#held = Buffer.alloc(0);
        handlers.closed(error);
      },
    });
  }

  /** Some pieces now, the rest with what comes next, or a turn later. */
  #chop(chunk: Buffer): void {
    let bytes: Buffer = Buffer.concat([this.#held, chunk]);
    while (bytes.length > 0 && !this.#random.chance(0.02)) {
      const most = this.#random.pick([1, 1, 2, 5, 40, 5_000]);
      const size = Math.min(bytes.length, 1 + this.#random.below(most));
      this.#deliver(bytes.subarray(0, size));
      bytes = bytes.subarray(size);
    }
    this.#held = bytes;
    if (bytes.length === 0 || this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#chop(Buffer.alloc(0));
    });
  }

  #deliver(piece: Buffer): void {
    if (piece.length === 0) return;
    Chopped.pieces++;
    this.#handlers?.data(piece);
  }

  get peer(): string {
    return this.#inner.peer;
  }
  get pending(): number {
    return this.#inner.pending;
  }
  send(bytes: Uint8Array): void {
    this.#inner.send(bytes);
  }
  close(reason?: Error): void {
    this.#inner.close(reason);
  }
  destroy(): void {
    this.#inner.destroy();
  }
  pause(): void {
    this.#inner.pause();
  }
  resume(): void {
    this.#inner.resume();
  }
  ref(): void {
    this.#inner.ref();
  }
  unref(): void {
    this.#inner.unref();
  }
}
