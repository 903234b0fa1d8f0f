/**
 * A connection over a net.Socket, whoever opened it: the lifecycle, closing and backpressure that node-ipc's raw mode
 * and node:net share. The medium writes and reads; this class never lets an exception of its owner out into the
 * medium's callbacks.
 *
 *     open ── close() ──▶ closing ── the peer's end, or LINGER without progress ──▶ closed
 *      └───── destroy(), the peer's end, an error ───────────────────────────────▶ closed
 *
 * Closing goes on reading and drops what it reads: a socket closed over unread bytes resets the connection, and the
 * peer may then lose the last thing we said (why it is refused, for one).
 */
import type { Socket } from 'node:net';
import { descriptorOf, Kept } from './direct-writes.ts';
import type { Transport, TransportHandlers } from './transport.ts';

/** How long a closing connection may stand still, ms: no pending write finished, the peer's end not seen. */
const LINGER = 1000;
/** It passes in so many steps, of which no turn of the event loop can take more than one: who was held up writes first. */
const STEPS = 10;

/** Turns of the event loop without a byte after which nothing is left to read: the first may come before the sockets. */
const TURNS = 2;

export class SocketTransport implements Transport {
  readonly peer: string;
  readonly #socket: Socket;
  readonly #write: (bytes: Buffer) => unknown;
  #handlers: TransportHandlers | undefined;
  /** Sent in the middle of this turn, and the system has had no room for it. */
  readonly #kept = new Kept();
  /** That was more than the high-water mark. */
  #passed = false;
  #paused = false;
  #closing = false;
  #closed = false;
  #reason: Error | undefined;
  #linger: NodeJS.Timeout | undefined;

  /** `write` hands bytes to the medium. The socket stays paused until somebody receives. */
  constructor(socket: Socket, write: (bytes: Buffer) => unknown, peer: string) {
    this.#socket = socket;
    this.#write = write;
    this.peer = peer;
    socket.pause();
    this.#readBeforeDestroying();
    socket.on('drain', () => this.#drained());
    socket.on('error', (error) => this.#failed(error));
    // The peer that has ended its side drops what we still send, as we do above; nothing is left to be said.
    socket.on('end', () => socket.destroy());
    socket.on('close', () => this.#end());
  }

  /**
   * A write to a peer that has ended fails, and the stream would be destroyed over what the peer had sent before: which
   * tasks it had started and finished, for one. That is read first, as far as it has arrived.
   */
  #readBeforeDestroying(): void {
    const socket = this.#socket;
    const destroy = socket.destroy.bind(socket);
    socket.destroy = (error?: NodeJS.ErrnoException): typeof socket => {
      socket.destroy = destroy;
      if (error?.syscall !== 'write' || this.#handlers === undefined) return destroy(error);
      // A stream that has failed emits nothing that it reads.
      const { _readableState: reading } = socket as unknown as { _readableState?: { errored: unknown } };
      if (reading !== undefined) reading.errored = null;
      socket.resume();
      const readOn = (before: number, quiet: number): void => {
        const { bytesRead } = socket;
        const left = bytesRead === before ? quiet - 1 : TURNS;
        if (left === 0 || socket.destroyed) destroy(error);
        else setImmediate(readOn, bytesRead, left);
      };
      readOn(socket.bytesRead, TURNS + 1);
      return socket;
    };
  }

  get pending(): number {
    return this.#socket.writableLength + this.#kept.bytes;
  }

  send(bytes: Uint8Array): void {
    if (this.#closing || this.#socket.destroyed || bytes.length === 0) return;
    if (this.#kept.bytes > 0) this.#handOver();
    this.#write(bufferOf(bytes));
  }

  sendNow(bytes: Uint8Array): void {
    if (this.#closing || this.#socket.destroyed || bytes.length === 0) return;
    // What the socket holds already goes first, and when it does is the event loop's to say.
    const fd = this.#socket.writableLength > 0 ? undefined : descriptorOf(this.#socket);
    if (fd === undefined) return this.send(bytes);
    if (this.#kept.bytes === 0) process.nextTick(() => this.#handOver());
    this.#kept.add(bufferOf(bytes));
    if (this.#kept.bytes >= this.#socket.writableHighWaterMark) this.#passed = true;
    this.#kept.writeTo(fd);
  }

  /** The turn is over, or goes on the usual way: to the medium, which waits until the system has room. */
  #handOver(): void {
    const socket = this.#socket;
    const passed = this.#passed;
    this.#passed = false;
    for (const bytes of this.#kept.take()) if (!socket.destroyed) this.#write(bytes);
    if (!passed || socket.destroyed || socket.writableNeedDrain) return;
    // The socket did not see how much there was, and will not say that it has gone.
    if (socket.writableLength > 0) socket.write('', () => this.#drained());
    else this.#drained();
  }

  receive(handlers: TransportHandlers): void {
    if (this.#handlers !== undefined) throw new Error('receive() was called twice on one transport');
    this.#handlers = handlers;
    if (this.#closed) queueMicrotask(() => this.#tellClosed());
    else if (!this.#paused) this.#socket.resume();
  }

  /** A chunk from the medium. Does not throw. */
  incoming(chunk: Buffer): void {
    if (this.#closing) return;
    try {
      this.#handlers?.data(chunk);
    } catch (error) {
      this.close(asError(error));
    }
  }

  close(reason?: Error): void {
    if (this.#closing || this.#closed) return;
    this.#closing = true;
    this.#reason ??= reason;
    const socket = this.#socket;
    if (socket.destroyed) return;
    this.#handOver();
    socket.end();
    socket.resume();
    this.#watchLinger(this.pending);
  }

  destroy(): void {
    this.#closing = true;
    this.#socket.destroy();
  }

  pause(): void {
    this.#paused = true;
    if (!this.#closing) this.#socket.pause();
  }

  resume(): void {
    this.#paused = false;
    if (this.#handlers !== undefined && !this.#closed) this.#socket.resume();
  }

  ref(): void {
    this.#socket.ref();
  }

  unref(): void {
    this.#socket.unref();
  }

  #watchLinger(before: number, left = STEPS): void {
    this.#linger = setTimeout(() => {
      const pending = this.pending;
      if (pending !== before) this.#watchLinger(pending);
      else if (left > 1) this.#watchLinger(before, left - 1);
      else this.#socket.destroy();
    }, LINGER / STEPS);
    this.#linger.unref();
  }

  #drained(): void {
    if (this.#closing) return;
    try {
      this.#handlers?.drained();
    } catch (error) {
      this.close(asError(error));
    }
  }

  #failed(error: Error): void {
    // Once this side has closed, a peer that is gone already is no news.
    if (!this.#closing) this.#reason ??= error;
  }

  #end(): void {
    clearTimeout(this.#linger);
    this.#closing = true;
    this.#closed = true;
    if (this.#handlers !== undefined) this.#tellClosed();
  }

  #tellClosed(): void {
    try {
      this.#handlers?.closed(this.#reason);
    } catch (error) {
      warnOf(error);
    }
  }
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function asError(thrown: unknown): Error {
  return thrown instanceof Error
    ? thrown
    : new Error(`a transport's handler threw ${String(thrown)}`, { cause: thrown });
}

/** For exceptions with no connection left to close with them: seen by the user, harmless to the other connections. */
export function warnOf(thrown: unknown): void {
  process.emitWarning(asError(thrown));
}
