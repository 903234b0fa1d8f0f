/**
 * A medium over sockets of the operating system. The drivers (node-ipc.ts, net.ts) open and carry; addresses, checks,
 * stale paths, aborts and refusals are the same for all of them and live here.
 */
import type { Server, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { codeOf, parseAddress, quoted, systemError } from './address.ts';
import { claimEndpoint, reachEndpoint, type SocketClaim } from './socket-path.ts';
import { SocketTransport, warnOf } from './socket-transport.ts';
import type { Listener, ListenOptions, Medium, Transport } from './transport.ts';

/** A connection as the driver carries it. Its lifecycle is the socket's; bytes go through the driver both ways. */
export interface Wire {
  readonly socket: Socket;
  write(bytes: Buffer): unknown;
  /** Where chunks go from now on. Called in the turn in which the wire was made or connected. */
  deliver(to: (chunk: Buffer) => void): void;
}

export interface SocketDriver {
  /** Binds `path` and listens. The server's errors after that concern a single connection and must not throw. */
  serve(path: string, maxConnections: number, accept: (wire: Wire) => void): Promise<Server>;
  /** Starts to connect; the socket tells how it went. */
  dial(path: string): Wire;
}

/**
 * A Unix socket refuses with EAGAIN while its backlog (511) is full, as when a thousand workers come at once. So many
 * further attempts, after delays with full jitter that double from 10 ms to 500 ms: about ten seconds.
 */
const BUSY_ATTEMPTS = 45;
const FIRST_DELAY = 10;
const LAST_DELAY = 500;

/** `load` is called at the first use, so that a process that never connects does not load the driver. */
export function socketMedium(load: () => Promise<SocketDriver>): Medium {
  return {
    async listen(address, accept, options) {
      const claim = claimEndpoint(parseAddress(address), options.ownerOf);
      const driver = await load();
      const server = await bind(driver, claim, options, (wire) => {
        const transport = adopt(wire, address);
        try {
          accept(transport);
        } catch (error) {
          transport.destroy();
          warnOf(error);
        }
      });
      return new SocketListener(address, server, claim);
    },

    async connect(address, { signal } = {}) {
      signal?.throwIfAborted();
      const endpoint = parseAddress(address);
      const driver = await load();
      for (let attempt = 0; ; attempt++) {
        signal?.throwIfAborted();
        try {
          return await connected(driver.dial(reachEndpoint(endpoint)), address, signal);
        } catch (error) {
          signal?.throwIfAborted();
          if (codeOf(error) !== 'EAGAIN' || attempt === BUSY_ATTEMPTS) throw explained(error, address);
        }
        const pause = Math.random() * Math.min(FIRST_DELAY * 2 ** attempt, LAST_DELAY);
        await delay(pause, undefined, { signal }).catch(() => signal?.throwIfAborted());
      }
    },
  };
}

async function bind(
  driver: SocketDriver,
  claim: SocketClaim,
  options: ListenOptions,
  accept: (wire: Wire) => void,
): Promise<Server> {
  try {
    const server = await driver.serve(claim.bindPath, options.maxConnections, accept);
    try {
      await claim.publish();
    } catch (error) {
      server.close();
      throw error;
    }
    return server;
  } catch (error) {
    claim.release();
    throw error;
  }
}

function adopt(wire: Wire, peer: string): Transport {
  const transport = new SocketTransport(wire.socket, (bytes) => wire.write(bytes), peer);
  wire.deliver((chunk) => transport.incoming(chunk));
  return transport;
}

/** The transport of a dialled wire, made inside the 'connect' event: nothing has been read by then. */
function connected(wire: Wire, address: string, signal: AbortSignal | undefined): Promise<Transport> {
  const { socket } = wire;
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      socket.off('connect', onConnect);
      signal?.removeEventListener('abort', onAbort);
    };
    const onConnect = (): void => {
      settle();
      socket.off('error', onError);
      resolve(adopt(wire, address));
    };
    const onError = (error: Error): void => {
      settle();
      reject(error);
    };
    const onAbort = (): void => {
      settle();
      socket.destroy();
      reject(signal?.reason as Error);
    };
    socket.on('connect', onConnect);
    socket.on('error', onError); // stays after an abort: a late error of the dead socket is nobody's
    signal?.addEventListener('abort', onAbort);
  });
}

/** Says in words what the two ordinary refusals mean; the code stays. */
function explained(error: unknown, address: string): unknown {
  switch (codeOf(error)) {
    case 'ENOENT':
      return systemError('ENOENT', `nobody listens at ${quoted(address)}: ${messageOf(error)}`, error);
    case 'ECONNREFUSED':
      return systemError(
        'ECONNREFUSED',
        `nobody listens at ${quoted(address)}: the manager that made it has ended`,
        error,
      );
    case 'EAGAIN':
      return systemError(
        'EAGAIN',
        `the manager at ${quoted(address)} does not accept connections: its backlog stays full`,
        error,
      );
    default:
      return error;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

class SocketListener implements Listener {
  readonly address: string;
  readonly #server: Server;
  readonly #claim: SocketClaim;

  constructor(address: string, server: Server, claim: SocketClaim) {
    this.address = address;
    this.#server = server;
    this.#claim = claim;
  }

  close(): Promise<void> {
    // The server's own 'close' waits for the last connection; accepting ends with the handle, which is now.
    if (this.#server.listening) this.#server.close();
    this.#claim.release();
    return Promise.resolve();
  }

  ref(): void {
    this.#server.ref();
  }

  unref(): void {
    this.#server.unref();
  }
}
