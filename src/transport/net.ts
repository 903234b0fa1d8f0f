/**
 * The plain node:net twin of node-ipc.ts: the same medium without the dependency. It passes the same suite and shares
 * all but these lines, so that node-ipc can be dropped by changing one import (docs/decisions/0002-node-ipc.md).
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { socketMedium, type SocketDriver, type Wire } from './socket-medium.ts';
import type { Medium } from './transport.ts';

const driver: SocketDriver = {
  serve(path, maxConnections, accept) {
    return new Promise<Server>((resolve, reject) => {
      const server = createServer((socket) => accept(wireOf(socket)));
      server.maxConnections = maxConnections;
      server.once('error', reject);
      server.listen({ path }, () => {
        server.off('error', reject);
        // From here on an error is an accept() that failed, for want of descriptors say: the next may succeed.
        server.on('error', () => {});
        resolve(server);
      });
    });
  },
  dial: (path) => wireOf(connect({ path })),
};

function wireOf(socket: Socket): Wire {
  return {
    socket,
    write: (bytes) => socket.write(bytes),
    deliver: (to) => void socket.on('data', to),
  };
}

/** Unix sockets and named pipes by node:net alone. */
export const plainNet: Medium = socketMedium(async () => driver);
