/**
 * A manager in each of the three places where one can live, and what tests of tasks wait with: queues through which
 * handlers say where they are, and files by which handlers that block their thread are let go.
 */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, onTestFinished } from 'vitest';
import {
  type Client,
  connect,
  type Handlers,
  Manager,
  type ManagerOptions,
  startManager,
  startWorkers,
  type StartWorkersOptions,
  work,
  type WorkerGroup,
  type WorkOptions,
} from 'quartermaster';

export type Place = 'embedded' | 'socket' | 'process';
export const places: readonly Place[] = ['embedded', 'socket', 'process'];

/** A manager that runs, and a client of it. */
export interface Rig {
  readonly client: Client;
  /** Another client: in the same process where the manager is embedded, over its socket otherwise. */
  another(name?: string): Promise<Client>;
  readonly connectionFile: string | undefined;
  /** Undefined for a manager in a process of its own. */
  readonly manager: Manager | undefined;
  close(): Promise<void>;
}

export async function openRig(place: Place, options: ManagerOptions = {}): Promise<Rig> {
  if (place === 'process') {
    const client = await startManager(options);
    const { connectionFile } = client;
    const another = (name?: string): Promise<Client> => connect(connectionFile, { name });
    return { client, another, connectionFile, manager: undefined, close: () => client.shutdown() };
  }
  const manager = new Manager(options);
  const close = (): Promise<void> => manager.close();
  if (place === 'embedded') {
    const another = (): Promise<Client> => Promise.resolve(manager.client());
    return { client: manager.client(), another, connectionFile: undefined, manager, close };
  }
  const { connectionFile } = await manager.listen();
  const another = (name?: string): Promise<Client> => connect(connectionFile, { name });
  const client = await another();
  return {
    client,
    another,
    connectionFile,
    manager,
    close: async () => {
      await client.close();
      await manager.close();
    },
  };
}

/** A rig for one test. */
export async function aRig(place: Place = 'socket', options?: ManagerOptions): Promise<Rig> {
  const rig = await openRig(place, options);
  onTestFinished(() => rig.close());
  return rig;
}

/** One rig for all tests of a file or a `describe`; each test takes queues of its own. */
export function sharedRig(place: Place, options?: ManagerOptions): () => Rig {
  let rig: Rig | undefined;
  beforeAll(async () => {
    rig = await openRig(place, options);
  });
  afterAll(async () => {
    await rig?.close();
  });
  return () => rig as Rig;
}

/** Another client of the rig's manager, for one test. */
export async function aClient(rig: Rig, name?: string): Promise<Client> {
  const client = await rig.another(name);
  onTestFinished(() => client.close());
  return client;
}

/** A name that no other test has. */
export function fresh(what: string): string {
  return `${what}-${randomUUID().slice(0, 8)}`;
}

/** A worker loop in this process, until `stop()` or the end of the test. */
export function working(client: Client, queue: string, handlers: Handlers, options: WorkOptions = {}): Loop {
  const stop = new AbortController();
  let failure: unknown;
  const ended = work(client.tasks(queue), handlers, { signal: stop.signal, ...options }).catch((error: unknown) => {
    failure = error;
  });
  onTestFinished(() => stop.abort());
  return {
    ended,
    async stop() {
      stop.abort();
      await ended;
      if (failure !== undefined) throw failure;
    },
  };
}

export interface Loop {
  /** Resolves when the loop has ended, however. */
  readonly ended: Promise<void>;
  /** Lets it finish what runs; throws what it rejected with. */
  stop(): Promise<void>;
}

/** The tasks module whose handlers the tests of processes use. */
export const tasksModule = new URL('../fixtures/tasks.mjs', import.meta.url);

/** What its handlers say of where they are. */
export interface Started {
  readonly id: string;
  readonly attempt: number;
  readonly worker: string;
  readonly pid: number;
}

/** A worker group that ends with the test. */
export async function aGroup(
  client: Client,
  options?: StartWorkersOptions,
  module = tasksModule,
): Promise<WorkerGroup> {
  const group = await startWorkers(client, module, options);
  onTestFinished(() => group.close());
  return group;
}

/** A folder that goes with the test. */
export function aFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 't-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A file that a handler which blocks its thread looks for: `open()` lets it go on. */
export function aGate(): { readonly file: string; open(): void } {
  const file = path.join(aFolder(), 'open');
  return { file, open: () => writeFileSync(file, '') };
}

/** Whether a process is there and is no zombie. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return process.platform !== 'linux' || !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

/** Waits for the end of a process that is not ours to wait for. */
export async function gone(pid: number): Promise<void> {
  while (isAlive(pid)) await new Promise((resolve) => setTimeout(resolve, 5));
}
