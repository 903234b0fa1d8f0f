/** Managers for tests: made, listening, and closed when the test has ended. */
import { onTestFinished } from 'vitest';
import {
  type Client,
  connect,
  type ConnectOptions,
  Manager,
  type ManagerOptions,
  type ManagerProcess,
  startManager,
} from 'quartermaster';
import { connectionOf } from '#qm/proxy/client.js';
import type { Connection } from '#qm/proxy/connection.js';
import { memoryPair } from '#qm/transport/memory.js';
import type { Listener, Medium, Transport } from '#qm/transport/transport.js';

export const KEY = 'the auth key of the tests, which is no secret';

type Internals = ConstructorParameters<typeof Manager>[1];

export interface Listening {
  readonly manager: Manager;
  readonly address: string;
  readonly connectionFile: string;
  /** Another client, closed with the test. */
  connect(options?: ConnectOptions): Promise<Client>;
}

/** A manager in this process that listens, with the key `KEY` unless the options name another. */
export async function listening(options: ManagerOptions = {}, internals?: Internals): Promise<Listening> {
  const manager = new Manager({ authKey: KEY, ...options }, internals);
  onTestFinished(() => manager.close());
  const where = await manager.listen();
  return {
    manager,
    ...where,
    async connect(more) {
      const client = await connect(where.connectionFile, more);
      onTestFinished(() => client.close());
      return client;
    },
  };
}

/** A medium without sockets: connections come by `dial()`. */
export class Backdoor implements Medium {
  #accept: ((transport: Transport) => void) | undefined;

  listen(address: string, accept: (transport: Transport) => void): Promise<Listener> {
    this.#accept = accept;
    return Promise.resolve({ address, close: () => Promise.resolve(), ref: () => {}, unref: () => {} });
  }

  connect(): Promise<Transport> {
    return Promise.resolve(this.dial());
  }

  /** The near end of a new connection. */
  dial(): Transport {
    const [near, far] = memoryPair();
    this.#accept?.(far);
    return near;
  }
}

/** A manager in a process of its own, ended with the test. */
export async function managerProcess(options: Parameters<typeof startManager>[0] = {}): Promise<ManagerProcess> {
  const manager = await startManager(options);
  onTestFinished(() => manager.shutdown());
  return manager;
}

/** The connection under a client: for tests that break it. */
export function connectionUnder(client: Client): Connection {
  return (client as unknown as Record<symbol, Connection>)[connectionOf] as Connection;
}
