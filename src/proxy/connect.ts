import { hostname } from 'node:os';
import { Role } from '../protocol/messages.ts';
import { Client, type Reach } from './client.ts';
import { Connection } from './connection.ts';
import { enter } from './enter.ts';
import type { HelperThread } from './helper.ts';
import type { Enter } from './reconnect.ts';
import { readConnectionFile } from '../transport/connection-file.ts';
import { HotPolling } from '../transport/hot-polling.ts';
import { nodeIpc } from '../transport/node-ipc.ts';

/** How to connect. */
export interface ConnectOptions {
  /** Needed with an address; a connection file has it. */
  authKey?: string | Uint8Array | undefined;
  /** How this client is called in records and inspections: up to 200 characters. Default: host and pid. */
  name?: string | undefined;
  /** Whether to come back after a lost connection to a manager that still lives. Default true. */
  reconnect?: boolean | undefined;
  /**
   * Waits for the answer to a call without sleeping, where it is the only one under way: for 0.2 ms at most, with a core
   * that is free, as long as that pays. A call takes less time, and this process more of its core. Default false.
   */
  lowLatency?: boolean | undefined;
  /** Ends the attempt to connect; afterwards it means nothing. */
  signal?: AbortSignal | undefined;
}

/** What a spawned worker adds. */
export interface WorkerIdentity {
  readonly ticket: string;
  readonly thread: () => HelperThread;
}

/**
 * Connects to a manager: by its connection file's path, or by an address and the auth key. Default: the connection file
 * that the environment variable QUARTERMASTER_CONNECTION names.
 * @throws AuthenticationError, ProtocolError (another version), TooManyConnectionsError; the system's ENOENT or
 * ECONNREFUSED where no manager listens
 */
export async function connect(target?: string, options: ConnectOptions = {}): Promise<Client> {
  const { address, authKey } = resolve(target, options);
  checkName(options.name);
  return connectTo(address, authKey, options);
}

export async function connectTo(
  address: string,
  authKey: Buffer,
  options: ConnectOptions,
  worker?: WorkerIdentity,
): Promise<Client> {
  const { signal, reconnect = true, lowLatency = false } = options;
  const name = options.name ?? `${hostname()}:${process.pid}`;
  const go: Enter = async (until) => {
    const transport = await nodeIpc.connect(address, { signal: until });
    return enter(
      transport,
      address,
      authKey,
      { role: Role.client, name, claim: worker?.ticket },
      {
        signal: until,
      },
    );
  };
  const entered = await go(signal ?? new AbortController().signal);
  const connection = new Connection(address, entered, go, reconnect);
  if (lowLatency) connection.polling = new HotPolling();
  const reach = (): Promise<Reach> => Promise.resolve({ address, authKey });
  return new Client({ connection, authKey, reach, thread: worker?.thread });
}

/** The name crosses in a frame of the handshake, which is small. */
function checkName(name: string | undefined): void {
  if (name === undefined) return;
  if (typeof name !== 'string') throw new TypeError(`the name of a client must be a string, not a ${typeof name}`);
  if (name.length > 200) {
    throw new RangeError(`the name of a client has at most 200 characters; this one has ${name.length}`);
  }
}

function resolve(target: string | undefined, options: ConnectOptions): { address: string; authKey: Buffer } {
  const given = target ?? process.env['QUARTERMASTER_CONNECTION'];
  if (given === undefined || given === '') {
    throw new TypeError(
      'connect() needs a connection file or an address: pass one, or set QUARTERMASTER_CONNECTION to the path of a connection file',
    );
  }
  if (/^[a-z]+:/.test(given)) {
    if (options.authKey === undefined) {
      throw new TypeError(
        `connecting to the address '${given}' needs the authKey option; a connection file has the key in it`,
      );
    }
    return { address: given, authKey: Buffer.from(options.authKey) };
  }
  const file = readConnectionFile(given);
  return {
    address: file.address,
    authKey: options.authKey === undefined ? Buffer.from(file.authKey, 'base64') : Buffer.from(options.authKey),
  };
}
