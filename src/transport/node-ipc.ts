/**
 * Connections carried by node-ipc 14.0.0 in raw mode: Unix sockets, on Windows named pipes. The only file that imports
 * it. What is wrong with its defaults and how that is kept away from us: docs/decisions/0002-node-ipc.md; the node:net
 * twin is net.ts.
 *
 *     connect ─▶ ipc.connectTo(id, path) ─▶ client   client.emit(bytes)          client 'data' (chunk)
 *     listen  ─▶ ipc.serve(path).start() ─▶ server   server.emit(socket, bytes)  server 'data' (chunk, socket)
 */
import type { Socket, Server as NetServer } from 'node:net';
import type { Client, Config, IPCModule, Server } from 'node-ipc';
import { pipePrefix } from './address.ts';
import { socketMedium, type SocketDriver, type Wire } from './socket-medium.ts';
import type { Medium } from './transport.ts';

type Ipc = typeof IPCModule;

/** Unix sockets and named pipes by node-ipc. It is imported at the first `listen()` or `connect()`. */
export const nodeIpc: Medium = socketMedium(load);

/** Imports it now: whoever waits for a process to start has the time. */
export function prepareNodeIpc(): void {
  // Who connects hears what is wrong.
  load().catch(() => {});
}

let loaded: Promise<SocketDriver> | undefined;

function load(): Promise<SocketDriver> {
  loaded ??= import('node-ipc').then(({ IPCModule }) => new NodeIpcDriver(IPCModule));
  return loaded;
}

class NodeIpcDriver implements SocketDriver {
  readonly #Ipc: Ipc;
  readonly #clients: IPCModule;
  #dialled = 0;

  constructor(Ipc: Ipc) {
    this.#Ipc = Ipc;
    this.#clients = new Ipc();
    configure(this.#clients.config);
  }

  serve(path: string, maxConnections: number, accept: (wire: Wire) => void): Promise<NetServer> {
    const ipc = new this.#Ipc();
    configure(ipc.config);
    ipc.config.maxConnections = maxConnections;
    // node-ipc makes and chmods its socket root where the path lies below it. No path lies below itself.
    ipc.config.socketRoot = `${path}/none`;
    return new Promise((resolve, reject) => {
      // On Windows it adds the prefix itself, also to a path that has it.
      ipc.serve(path.startsWith(pipePrefix) ? path.slice(pipePrefix.length) : path, () => {
        resolve(ipc.server.server as NetServer);
      });
      // Errors of sockets arrive here too, without saying whose: each transport listens to its own socket instead.
      ipc.server.on('error', reject);
      dispatch(ipc.server, accept);
      ipc.server.start();
    });
  }

  dial(path: string): Wire {
    const id = String(++this.#dialled);
    this.#clients.connectTo(id, path, () => {});
    const client = this.#clients.of[id] as Client;
    client.socket.once('close', () => delete this.#clients.of[id]);
    return {
      socket: client.socket,
      write: (bytes) => client.emit(bytes),
      deliver: (to) => void client.on('data', to),
    };
  }
}

/** Its server tells the chunks of all sockets through one event; this finds whose they are. */
function dispatch(server: Server, accept: (wire: Wire) => void): void {
  const receivers = new Map<Socket, (chunk: Buffer) => void>();
  server.on('data', (chunk, socket) => receivers.get(socket)?.(chunk));
  server.on('connect', (socket) => {
    socket.once('close', () => receivers.delete(socket));
    accept({
      socket,
      write: (bytes) => server.emit(socket, bytes),
      deliver: (to) => void receivers.set(socket, to),
    });
  });
}

function configure(config: Config): void {
  config.rawBuffer = true; // bytes as they are; no JSON, no parser, no limit on pending bytes that would cut us off
  config.silent = true;
  config.maxRetries = 0; // reconnecting is the proxy's business, with jitter
  config.stopRetrying = true;
  config.unlink = false; // it would take a live socket's path; src/transport/socket-path.ts does not
  config.secureSocketRoot = false;
  config.readableAll = false;
  config.writableAll = false;
}
