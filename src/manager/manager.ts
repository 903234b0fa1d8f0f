/**
 * A manager embedded in this process. `startManager()` runs the same in a process of its own.
 */
import { ManagerGoneError } from '../errors.ts';
import type { Address, ManagerOptions } from '../options.ts';
import { DEFAULT_FRAME_LIMIT, DEFAULT_PENDING_LIMIT } from '../protocol/messages.ts';
import { newAuthKey } from '../protocol/handshake.ts';
import { lazily } from '../protocol/lazily.ts';
import type { Client, Reach } from '../proxy/client.ts';
import { writeConnectionFile } from '../transport/connection-file.ts';
import { nodeIpc } from '../transport/node-ipc.ts';
import { connectionFileFor, privateDirectory, type PrivateDirectory } from '../transport/platform.ts';
import type { Listener, Medium } from '../transport/transport.ts';
import { ManagerCore } from './core.ts';
import { Door } from './door.ts';
import { newMutex, type NewMutex } from './gate.ts';
import type { CustomFactory, RegisterOptions } from './objects/custom.ts';
import { checkAmounts } from '../proxy/scheduling-items.ts';
import type { Pace } from './pace.ts';
import { taskDefaults } from './tasks/options.ts';

/** A manager in a process of its own has no client there, and most have no types but the built-in ones. */
const local = lazily<typeof import('./local.ts')>(new URL('./local.js', import.meta.url));
const custom = lazily<typeof import('./objects/custom.ts')>(new URL('./objects/custom.js', import.meta.url));

export const coreOf = Symbol('core');

/** Where fewer bytes are pending (64 KiB), no transport says when they have gone. */
const MIN_PENDING = 64 * 1024;
/** Connections over the limit that are still told so before the system's own limit cuts in. */
const SPARE_CONNECTIONS = 64;

/** What a manager process adds, and what only tests replace. */
export interface ManagerInternals {
  readonly newMutex?: NewMutex;
  readonly medium?: Medium;
  readonly pace?: Pace;
  readonly leasing?: () => void;
  readonly deadlines?: { readonly handshake: number; readonly partial: number };
}

/**
 * A manager embedded in this process. `client()` uses it from here, without a socket; other processes connect once it
 * listens. It ends with `close()`, or with the process, which then takes all that it holds along: everything is in memory.
 *
 *     const manager = new Manager();
 *     const jobs = manager.client().dict('jobs');
 *     const { connectionFile } = await manager.listen();   // for connect(connectionFile) elsewhere
 */
export class Manager implements AsyncDisposable {
  readonly #core: ManagerCore;
  readonly #options: ManagerOptions;
  readonly #authKey: Buffer;
  readonly #frameBytes: number;
  readonly #medium: Medium;
  readonly #door: Door;
  readonly #clients = new Set<Client>();
  #listening: Promise<{ address: Address; connectionFile: string }> | undefined;
  #listener: Listener | undefined;
  #directory: PrivateDirectory | undefined;
  #removeConnectionFile: (() => void) | undefined;
  #closing: Promise<void> | undefined;
  readonly #cleanUp = (): void => this.#removeFiles();

  constructor(options: ManagerOptions = {}, internals: ManagerInternals = {}) {
    this.#options = options;
    const { limits = {}, authKey } = options;
    this.#authKey = authKey === undefined ? newAuthKey() : Buffer.from(authKey);
    if (this.#authKey.length < 8)
      throw new RangeError('authKey must have at least 8 bytes; leave it out for a random one');
    // A header says 32 bits of length: there is no more than that.
    this.#frameBytes = Math.min(atLeastOne(limits.frameBytes ?? DEFAULT_FRAME_LIMIT, 'limits.frameBytes'), 0xffff_ffff);
    this.#medium = internals.medium ?? nodeIpc;
    this.#core = new ManagerCore({
      newMutex: internals.newMutex ?? newMutex,
      maxObjects: atLeastOne(limits.objects ?? 1_000_000, 'limits.objects'),
      tasks: taskDefaults(options.queue ?? {}),
      resources: checkAmounts(options.resources ?? {}),
      pendingBytes: atLeast(MIN_PENDING, limits.pendingBytes ?? DEFAULT_PENDING_LIMIT, 'limits.pendingBytes'),
      pace: internals.pace,
      leasing: internals.leasing,
    });
    this.#door = new Door({
      core: this.#core,
      authKey: this.#authKey,
      frameBytes: this.#frameBytes,
      connections: atLeastOne(limits.connections ?? 10_000, 'limits.connections'),
      ...(internals.deadlines === undefined ? {} : { deadlines: internals.deadlines }),
    });
  }

  /**
   * Shares objects of a type of your own: `client.object(typeId, args)` makes one by `factory(...args)`, a function or
   * a class. Callable are the methods that the class and its ancestors declare, or exactly `methods`; never
   * `constructor`, `then`, names that begin with `_`, or those of Object.prototype. An async method has the object for
   * itself until it settles. In the place of a proxy a method gets a reference, which keeps the object alive, cannot be
   * called, and is a proxy again where it is returned to.
   */
  register(typeId: string, factory: CustomFactory, options?: RegisterOptions): this {
    this.#core.registry.add(typeId, custom().customType(typeId, factory, options));
    return this;
  }

  /**
   * Lets other processes connect. The connection file (mode 0600) has what they need: the address and the auth key.
   * Keeps the process alive until `close()`.
   */
  async listen(
    address: Address | undefined = this.#options.address,
  ): Promise<{ address: Address; connectionFile: string }> {
    if (this.#closing !== undefined) throw new Error('the manager has been closed');
    if (this.#listening !== undefined) {
      throw new Error(
        `the manager listens ${this.#listener === undefined ? '' : `at ${this.#listener.address} `}already`,
      );
    }
    this.#listening = this.#listen(address);
    try {
      return await this.#listening;
    } catch (error) {
      this.#listening = undefined;
      throw error;
    }
  }

  /** A client in this process: no socket, the same behaviour. */
  client(): Client {
    if (this.#closing !== undefined) throw new Error('the manager has been closed');
    const client = local().localClient(this.#core, this.#frameBytes, () => this.#reach());
    this.#clients.add(client);
    local().whenClosed(client, () => this.#clients.delete(client));
    return client;
  }

  /**
   * Ends the manager: whoever waits for anything hears `ManagerGoneError`. With `drain`, first waits until no task is
   * pending or running, for at most `timeout` ms.
   */
  close(options: { drain?: boolean; timeout?: number } = {}): Promise<void> {
    return (this.#closing ??= this.#close(options));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** For the parts of this library, and their tests. */
  get [coreOf](): ManagerCore {
    return this.#core;
  }

  async #listen(address: Address | undefined): Promise<{ address: Address; connectionFile: string }> {
    const directory =
      address === undefined || connectionFileFor(address) === undefined ? privateDirectory() : undefined;
    this.#directory = directory;
    const at = address ?? (directory as PrivateDirectory).address;
    process.once('exit', this.#cleanUp);
    try {
      const maxConnections = (this.#options.limits?.connections ?? 10_000) + SPARE_CONNECTIONS;
      this.#listener = await this.#medium.listen(at, (transport) => this.#door.admit(transport, at), {
        maxConnections,
      });
      const file = directory?.connectionFile ?? connectionFileFor(at);
      if (file === undefined) throw new TypeError(`there is no place for a connection file beside ${at}`);
      const authKey = this.#authKey.toString('base64');
      this.#removeConnectionFile = writeConnectionFile(file, { address: at, authKey, pid: process.pid });
      return { address: at, connectionFile: file };
    } catch (error) {
      await this.#listener?.close();
      this.#listener = undefined;
      this.#removeFiles();
      process.off('exit', this.#cleanUp);
      throw error;
    }
  }

  /** For workers that a client of this process spawns: they hold nothing open by it. */
  async #reach(): Promise<Reach> {
    if (this.#listening === undefined) {
      await this.listen();
      this.#listener?.unref();
    }
    const { address } = await (this.#listening as Promise<{ address: Address }>);
    return { address, authKey: this.#authKey };
  }

  async #close({ drain, timeout }: { drain?: boolean; timeout?: number }): Promise<void> {
    if (drain === true) await this.#core.drained(timeout);
    await this.#listening?.catch(() => {});
    await this.#listener?.close();
    this.#core.close();
    this.#door.close();
    const gone = new ManagerGoneError('the manager has been closed');
    for (const client of this.#clients) await local().endClient(client, gone);
    this.#removeFiles();
    process.off('exit', this.#cleanUp);
  }

  #removeFiles(): void {
    this.#removeConnectionFile?.();
    this.#removeConnectionFile = undefined;
    this.#directory?.remove();
    this.#directory = undefined;
  }
}

function atLeastOne(value: number, name: string): number {
  return atLeast(1, value, name);
}

function atLeast(least: number, value: number, name: string): number {
  if (typeof value === 'number' && value >= least) return value;
  throw new RangeError(`${name} must be a number of at least ${least}, not ${String(value)}`);
}
