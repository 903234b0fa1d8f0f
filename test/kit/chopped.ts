/** A transport whose reader gets the same bytes cut elsewhere: C2 for whole connections. */
import type { Transport, TransportHandlers } from '#qm/transport/transport.js';
import type { Random } from './random.ts';
import { Wrapped } from './wrapped.ts';

export class Chopped extends Wrapped {
  readonly #random: Random;
  #held: Buffer = Buffer.alloc(0);
  #scheduled = false;
  #handlers: TransportHandlers | undefined;
  /** Pieces handed out so far. */
  static pieces = 0;

  constructor(inner: Transport, random: Random) {
    super(inner);
    this.#random = random;
  }

  receive(handlers: TransportHandlers): void {
    this.#handlers = handlers;
    this.inner.receive({
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
}
