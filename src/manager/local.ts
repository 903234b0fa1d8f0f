/** A client of a manager in the same process: the same frames, handed over in memory, with nobody to be kept out. */
import { hostname } from 'node:os';
import { type ManagerGoneError, ProtocolError, QuartermasterError } from '../errors.ts';
import { Client, connectionOf, type Reach } from '../proxy/client.ts';
import { Connection } from '../proxy/connection.ts';
import { Link } from '../transport/link.ts';
import { memoryPair } from '../transport/memory.ts';
import type { ManagerCore } from './core.ts';
import { sideOfManager } from './session.ts';

/** `reach`: how processes that the client spawns get to the manager. */
export function localClient(core: ManagerCore, frameBytes: number, reach: () => Promise<Reach>): Client {
  return new Client({ connection: connectLocally(core, frameBytes), authKey: undefined, reach });
}

export function whenClosed(client: Client, done: () => void): void {
  client[connectionOf].on('closed', done);
}

/** With its manager: whoever waits for anything by it hears why. */
export function endClient(client: Client, reason: ManagerGoneError): Promise<void> {
  client[connectionOf].close(reason);
  return client.close();
}

function connectLocally(core: ManagerCore, frameBytes: number): Connection {
  const [near, far] = memoryPair(`memory:${process.pid}`);
  const link = new Link(far, frameBytes, {
    frame(kind, reader) {
      try {
        session.frame(kind, reader);
      } catch (error) {
        link.decoder.stop();
        link.close(
          error instanceof QuartermasterError ? error : new ProtocolError('a malformed frame', { cause: error }),
        );
      }
    },
    turnEnded: () => session.turnEnded(),
    drained: () => session.drained(),
    closed: () => core.left(session),
  });
  const peer = { pid: process.pid, host: hostname(), name: `${hostname()}:${process.pid}`, ticket: undefined };
  const session = core.join(link, peer);
  link.carryLong(sideOfManager);
  const welcome = {
    session: session.id,
    epoch: core.epoch,
    pid: process.pid,
    leaseTimeout: core.taskDefaults.leaseTimeout,
    frameBytes,
    secret: '',
  };
  const own = new Link(near, frameBytes, { frame: () => {}, closed: () => {} });
  return new Connection(`memory:${process.pid}`, { link: own, welcome }, undefined);
}
