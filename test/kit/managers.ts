/**
 * Managers to test against, in each of the settings in which users have one. What a test opens here is closed when it
 * ends; what a suite opens (`managerOfSuite`), when the suite does.
 */
import { afterAll, beforeAll, onTestFinished } from 'vitest';
import { type Client, connect, Manager, type ManagerOptions, startManager } from 'quartermaster';
import { connectionOf } from '#qm/proxy/client.js';
import { coreOf, type ManagerInternals } from '#qm/manager/manager.js';
import type { ManagerCore } from '#qm/manager/core.js';

/**
 * - memory: embedded, its clients in the same process without a socket
 * - socket: embedded, its clients in the same process over its Unix socket (or named pipe)
 * - process: in a process of its own
 */
export type Setting = 'memory' | 'socket' | 'process';
export const settings: readonly Setting[] = ['memory', 'socket', 'process'];

export interface TestManager {
  readonly setting: Setting;
  /** What another process needs to `connect()`. */
  readonly connectionFile: string;
  /** Of an embedded manager: what no user sees. */
  readonly core: ManagerCore | undefined;
  /** One more client, with a session of its own; closed at the end of the test. It does not come back when severed. */
  client(): Promise<Client>;
  close(): Promise<void>;
}

export interface TestManagerOptions extends ManagerOptions {
  /** Of embedded managers only. */
  readonly internals?: ManagerInternals;
}

/** A manager until `close()`. */
export async function openManager(setting: Setting, options: TestManagerOptions = {}): Promise<TestManager> {
  return setting === 'process' ? inProcess(options) : embedded(setting, options);
}

/** A manager until the end of the test that runs. */
export async function managerOfTest(setting: Setting, options?: TestManagerOptions): Promise<TestManager> {
  const manager = await openManager(setting, options);
  onTestFinished(() => manager.close());
  return manager;
}

/** One manager for all tests of the suite that is being described; there when its tests run. */
export function managerOfSuite(setting: Setting, options?: TestManagerOptions): () => TestManager {
  let manager: TestManager | undefined;
  beforeAll(async () => {
    manager = await openManager(setting, options);
  });
  afterAll(() => manager?.close());
  return () => {
    if (manager === undefined) throw new Error('the manager of a suite is there when its tests run, not before');
    return manager;
  };
}

/** Ends a client's connection the way a crash would: no goodbye, nothing released first. */
export function sever(client: Client): void {
  client[connectionOf].link.transport.destroy();
}

let names = 0;
/** A name that no other object has. */
export function freshName(what = 'object'): string {
  return `${what}-${process.pid}-${++names}`;
}

async function embedded(setting: 'memory' | 'socket', options: TestManagerOptions): Promise<TestManager> {
  const { internals, modules = [], ...rest } = options;
  const manager = new Manager(rest, internals);
  for (const module of modules) {
    const loaded = (await import(String(module))) as { default: (manager: Manager) => unknown };
    await loaded.default(manager);
  }
  const { connectionFile } = await manager.listen();
  return {
    setting,
    connectionFile,
    core: manager[coreOf],
    client: () => closedAtEnd(setting === 'memory' ? manager.client() : connect(connectionFile, { reconnect: false })),
    close: () => manager.close(),
  };
}

async function inProcess({ internals, ...options }: TestManagerOptions): Promise<TestManager> {
  if (internals !== undefined) throw new TypeError('the internals of a manager in another process cannot be replaced');
  const manager = await startManager(options);
  const { connectionFile } = manager;
  return {
    setting: 'process',
    connectionFile,
    core: undefined,
    client: () => closedAtEnd(connect(connectionFile, { reconnect: false })),
    close: () => manager.shutdown(),
  };
}

async function closedAtEnd(opening: Client | Promise<Client>): Promise<Client> {
  const client = await opening;
  onTestFinished(() => client.close());
  return client;
}
