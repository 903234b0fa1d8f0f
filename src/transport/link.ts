/**
 * Frames over a transport: what both the client's connection and the manager's session stand on.
 *
 * Everything written in one turn of the event loop leaves in one write: at the end of the chunk that is being received,
 * or, outside of one, as soon as the code that runs now has run (process.nextTick, which comes after the promise
 * callbacks that are ready). A turn that writes more than FLUSH_AT sends what it has and goes on.
 */
import { FrameTooLargeError } from '../errors.ts';
import { FrameDecoder } from '../protocol/frames.ts';
import { type Reader, Writer } from '../protocol/wire.ts';
import type { Transport } from './transport.ts';

/** Bytes after which a turn does not wait for its end. */
const FLUSH_AT = 60_000;

export interface LinkHandlers {
  frame(kind: number, reader: Reader): void;
  /** All frames of a chunk have been handled; what is written now still leaves with the answers. */
  turnEnded?(): void;
  drained?(): void;
  closed(error?: Error): void;
}

export class Link {
  readonly transport: Transport;
  readonly writer = new Writer();
  readonly decoder: FrameDecoder;
  /** Longest frame that the other side takes (bytes). */
  sendLimit: number;
  /** When the last bytes arrived, on the monotonic clock (ms). */
  lastReceived = performance.now();
  bytesReceived = 0;
  #handlers: LinkHandlers;
  #receiving = false;
  #scheduled = false;
  #closed = false;
  #flushSoon = (): void => {
    this.#scheduled = false;
    this.flush();
  };

  constructor(transport: Transport, limit: number, handlers: LinkHandlers) {
    this.transport = transport;
    this.sendLimit = limit;
    this.#handlers = handlers;
    this.decoder = new FrameDecoder(limit, (kind, reader) => this.#handlers.frame(kind, reader));
    transport.receive({
      data: (chunk) => this.#received(chunk),
      drained: () => this.#handlers.drained?.(),
      closed: (error) => this.#ended(error),
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Lets other handlers take over: the handshake gives way to the session. */
  handOver(handlers: LinkHandlers): void {
    this.#handlers = handlers;
  }

  /** Starts a frame; write the body to `writer`, then `end`. */
  begin(kind: number): number {
    if (!this.#scheduled && !this.#receiving) {
      this.#scheduled = true;
      process.nextTick(this.#flushSoon);
    }
    return this.writer.startFrame(kind);
  }

  /** Starts a frame that begins with a call's number and a handle. */
  beginCall(kind: number, call: number, handle: number): number {
    if (!this.#scheduled && !this.#receiving) {
      this.#scheduled = true;
      process.nextTick(this.#flushSoon);
    }
    return this.writer.startCall(kind, call, handle);
  }

  /** Ends the frame; one that the other side would refuse is dropped and thrown here. */
  end(start: number): void {
    const size = this.writer.endFrame(start) - 4;
    if (size > this.sendLimit) {
      this.writer.abandonFrame(start);
      throw new FrameTooLargeError(
        `a message of ${size} bytes is over the limit of ${this.sendLimit}; send less at once, or raise limits.frameBytes`,
      );
    }
    if (this.writer.length > FLUSH_AT) this.flush();
  }

  flush(): void {
    if (this.writer.length > 0) this.transport.send(this.writer.take());
  }

  /** Sends what was written and ends the connection. */
  close(error?: Error): void {
    if (this.#closed) return;
    this.flush();
    this.decoder.stop();
    this.transport.close(error);
  }

  #received(chunk: Buffer): void {
    this.lastReceived = performance.now();
    this.bytesReceived += chunk.length;
    this.#receiving = true;
    try {
      this.decoder.push(chunk);
    } finally {
      this.#receiving = false;
    }
    this.#handlers.turnEnded?.();
    this.flush();
  }

  #ended(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.decoder.stop();
    this.#handlers.closed(error);
  }
}
