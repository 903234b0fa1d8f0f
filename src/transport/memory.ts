/**
 * A connection inside one process: an embedded manager's clients, and the fast test bed. Bytes are handed over by
 * reference, in order, on a later turn: one immediate a side and turn takes all that is there. An immediate and not a
 * microtask, so that a pair that keeps answering each other leaves every turn to timers and sockets too.
 */
import { quoted, systemError } from './address.ts';
import { asError, warnOf } from './socket-transport.ts';
import type { Listener, Medium, Transport, TransportHandlers } from './transport.ts';

/** Pending bytes above which a sender is told when they have gone; what sockets have. */
const HIGH_WATER = 64 * 1024;

/** Two ends of one connection. They start unref'd: the process ends though the pair is open. */
export function memoryPair(name = ''): [Transport, Transport] {
  return pairOf(`memory:${name}`);
}

function pairOf(peer: string, onClosed?: () => void): [MemoryTransport, MemoryTransport] {
  const client = new MemoryTransport(peer);
  return [client, new MemoryTransport(peer, client, onClosed)];
}

class MemoryTransport implements Transport {
  readonly peer: string;
  #other: MemoryTransport;
  #handlers: TransportHandlers | undefined;
  /** What the other end has sent and this one has not taken. */
  #inbox: Buffer[] = [];
  #inboxBytes = 0;
  #scheduled = false;
  #paused = false;
  #tellDrained = false;
  /** This end drops what comes and what is sent. */
  #closing = false;
  /** The other end will send no more. */
  #ended = false;
  #closed = false;
  #reason: Error | undefined;
  #keepAlive: NodeJS.Timeout | undefined;
  readonly #onClosed: (() => void) | undefined;

  /** The first end of a pair is made without the other, which makes itself known to it. */
  constructor(peer: string, other?: MemoryTransport, onClosed?: () => void) {
    this.peer = peer;
    this.#onClosed = onClosed;
    this.#other = other ?? this;
    if (other !== undefined) other.#other = this;
  }

  get pending(): number {
    return this.#other.#inboxBytes;
  }

  sendNow(bytes: Uint8Array): void {
    this.send(bytes);
  }

  send(bytes: Uint8Array): void {
    const other = this.#other;
    if (this.#closing || other.#closing || bytes.length === 0) return;
    other.#inbox.push(Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    other.#inboxBytes += bytes.length;
    if (other.#inboxBytes > HIGH_WATER) this.#tellDrained = true;
    other.#schedule();
  }

  receive(handlers: TransportHandlers): void {
    if (this.#handlers !== undefined) throw new Error('receive() was called twice on one transport');
    this.#handlers = handlers;
    if (this.#closed) queueMicrotask(() => this.#tellClosed());
    else this.#schedule();
  }

  close(reason?: Error): void {
    if (this.#closing) return;
    this.#reason = reason;
    this.#stop();
  }

  destroy(): void {
    this.#other.#empty();
    this.#stop();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#schedule();
  }

  ref(): void {
    if (!this.#closed) this.#keepAlive ??= setInterval(() => {}, 2 ** 31 - 1);
  }

  unref(): void {
    clearInterval(this.#keepAlive);
    this.#keepAlive = undefined;
  }

  #empty(): void {
    this.#inbox = [];
    this.#inboxBytes = 0;
  }

  #stop(): void {
    this.#closing = true;
    this.#empty();
    this.#schedule();
    this.#other.#ended = true;
    this.#other.#schedule();
  }

  /** True where a turn would find something to do. */
  #due(): boolean {
    if (this.#closed) return false;
    if (this.#closing) return true;
    return this.#handlers !== undefined && !this.#paused && (this.#inbox.length > 0 || this.#ended);
  }

  #schedule(): void {
    if (this.#scheduled || !this.#due()) return;
    this.#scheduled = true;
    setImmediate(MemoryTransport.#turn, this);
  }

  static #turn(this: void, end: MemoryTransport): void {
    end.#scheduled = false;
    if (!end.#due()) return;
    if (!end.#closing) end.#deliver();
    if (end.#closing || (end.#ended && end.#inbox.length === 0 && !end.#paused)) end.#finish();
    else end.#schedule();
  }

  /** What was there when the turn began; what the handlers cause to be sent is the next turn's. */
  #deliver(): void {
    const batch = this.#inbox;
    const count = batch.length;
    let taken = 0;
    try {
      // Either end may close the connection from inside a handler: then the inbox is another array.
      while (taken < count && !this.#paused && this.#inbox === batch) {
        const chunk = batch[taken++] as Buffer;
        this.#inboxBytes -= chunk.length;
        this.#handlers?.data(chunk);
      }
    } catch (error) {
      this.close(asError(error));
    }
    if (this.#inbox !== batch) return;
    this.#inbox = taken === batch.length ? [] : batch.slice(taken);
    if (this.#inboxBytes === 0) this.#other.#drained();
  }

  #drained(): void {
    if (!this.#tellDrained || this.#closing) return;
    this.#tellDrained = false;
    try {
      this.#handlers?.drained();
    } catch (error) {
      this.close(asError(error));
    }
  }

  #finish(): void {
    this.#closing = true;
    this.#closed = true;
    this.unref();
    this.#onClosed?.();
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

interface Place {
  readonly accept: (transport: Transport) => void;
  readonly maxConnections: number;
  connections: number;
}

const places = new Map<string, Place>();

/** Connections by name within this process: 'memory:name'. */
export const memory: Medium = {
  async listen(address, accept, { maxConnections }) {
    assertName(address);
    if (places.has(address)) throw systemError('EADDRINUSE', `this process listens at ${quoted(address)} already`);
    const place: Place = { accept, maxConnections, connections: 0 };
    places.set(address, place);
    return new MemoryListener(address, () => {
      if (places.get(address) === place) places.delete(address);
    });
  },

  async connect(address, { signal } = {}) {
    signal?.throwIfAborted();
    assertName(address);
    const place = places.get(address);
    if (place === undefined) throw systemError('ECONNREFUSED', `nobody listens at ${quoted(address)} in this process`);
    const over = place.connections >= place.maxConnections;
    const [client, server] = pairOf(address, () => place.connections--);
    place.connections++;
    try {
      if (over) server.destroy();
      else place.accept(server);
    } catch (error) {
      server.destroy();
      warnOf(error);
    }
    return client;
  },
};

class MemoryListener implements Listener {
  readonly address: string;
  readonly #remove: () => void;

  constructor(address: string, remove: () => void) {
    this.address = address;
    this.#remove = remove;
  }

  close(): Promise<void> {
    this.#remove();
    return Promise.resolve();
  }

  // A name in a map keeps nothing alive, and nobody but this process could connect to it.
  ref(): void {}
  unref(): void {}
}

function assertName(address: string): void {
  if (!/^memory:./.test(address))
    throw new TypeError(`${quoted(address)} is no address within this process; use memory:name`);
}
