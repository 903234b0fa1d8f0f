import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { rmSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { dirname, resolve as resolvePath } from 'node:path';
import { ManagerGoneError } from '../errors.ts';
import type { ManagerOrders, ManagerReport, ManagerShutdown } from '../manager/process.ts';
import type { ManagerOptions } from '../options.ts';
import { lazily } from '../protocol/lazily.ts';
import type { BuiltInType } from '../protocol/messages.ts';
import type { Client } from '../proxy/client.ts';
import { managerArguments } from '../proxy/engine.ts';

const afterSpawn = lazily<typeof import('./after-spawn.ts')>(new URL('./after-spawn.js', import.meta.url));

/** A client of a manager process that this process has started. Disposing of it shuts the manager down. */
export interface ManagerProcess extends Client {
  /** What another process needs to `connect()`: a file of mode 0600 with the address and the auth key. */
  readonly connectionFile: string;
  /** Ends the manager; with `drain`, after no task is pending or running, for at most `timeout` ms. */
  shutdown(options?: { drain?: boolean; timeout?: number }): Promise<void>;
}

/** What `startManager()` adds to the options of a manager. */
export interface StartManagerOptions extends ManagerOptions {
  /** It lives on when this process ends. Default false. */
  detached?: boolean | undefined;
  /** Of the client that is returned: see `ConnectOptions`. */
  lowLatency?: boolean | undefined;
}

/**
 * Starts a manager in a process of its own and connects to it. It ends with this process, also if this one is killed,
 * unless `detached`.
 */
export function startManager(options: StartManagerOptions = {}): Promise<ManagerProcess> {
  return startManagerFor(undefined, options);
}

/** `first`: the type of the object that will be asked for first, for which the manager then makes itself ready. */
export async function startManagerFor(
  first: BuiltInType | undefined,
  options: StartManagerOptions = {},
): Promise<ManagerProcess> {
  const { detached = false, lowLatency, authKey, modules = [], ...rest } = options;
  const given = authKey === undefined ? undefined : Buffer.from(authKey);
  const urls = modules.map(moduleUrl);
  // What cannot be said to a manager is an error before there is one.
  JSON.stringify(rest);
  const entry = fileURLToPath(new URL('../manager/entry.js', import.meta.url));
  const child = spawn(process.execPath, [...managerArguments, entry], {
    stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
    detached,
  });
  const pipe = child.stdio[3] as Socket;
  pipe.on('error', () => {});
  const { newAuthKey, prepareNodeIpc, connectTo } = afterSpawn();
  prepareNodeIpc();
  const key = given ?? newAuthKey();
  const orders: ManagerOrders = {
    options: { ...rest, modules: urls },
    authKey: key.toString('base64'),
    detached,
    first,
  };
  pipe.write(lineOf(orders));
  const report = await firstReport(child, pipe);
  if ('error' in report) throw startError(report);
  const client = await connectTo(report.address, key, { lowLatency });
  if (!detached && options.address === undefined) {
    // A manager that was killed could not remove its private directory.
    child.once('exit', () => rmSync(dirname(report.connectionFile), { recursive: true, force: true }));
  }
  child.unref();
  pipe.unref();
  if (detached) pipe.destroy();
  return Object.assign(client, managed(client, child, pipe, report.connectionFile));
}

function managed(client: Client, child: ChildProcess, pipe: Socket, connectionFile: string) {
  const closeClient = client.close.bind(client);
  let ending: Promise<void> | undefined;
  const shutdown = (options: { drain?: boolean; timeout?: number } = {}): Promise<void> =>
    (ending ??= (async () => {
      const ended = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined;
      child.ref();
      await closeClient();
      const line: ManagerShutdown = { shutdown: options };
      if (pipe.writable) pipe.write(lineOf(line));
      else child.kill('SIGTERM');
      await ended;
      pipe.destroy();
    })());
  return { connectionFile, shutdown, [Symbol.asyncDispose]: () => shutdown() };
}

/** JSON in which Infinity, null to `JSON.stringify()`, is a number that is read as it. */
function lineOf(line: ManagerOrders | ManagerShutdown): string {
  const mark = '\0Infinity';
  const text = JSON.stringify(line, (_, value: unknown) => (value === Infinity ? mark : value));
  return `${text.replaceAll(JSON.stringify(mark), '1e999')}\n`;
}

function firstReport(child: ChildProcess, pipe: Socket): Promise<ManagerReport> {
  return new Promise((resolve, reject) => {
    let text = '';
    const failed = (error: Error): void => {
      child.kill('SIGKILL');
      reject(error);
    };
    child.once('error', (error) =>
      reject(new ManagerGoneError('the manager process could not be started', { cause: error })),
    );
    const exited = (code: number | null, signal: string | null): void =>
      failed(new ManagerGoneError(`the manager process ended before it was ready (${signal ?? `exit code ${code}`})`));
    child.once('exit', exited);
    pipe.setEncoding('utf8');
    pipe.on('data', function read(chunk: string) {
      text += chunk;
      const end = text.indexOf('\n');
      if (end === -1) return;
      pipe.off('data', read);
      child.off('exit', exited);
      resolve(JSON.parse(text.slice(0, end)) as ManagerReport);
    });
  });
}

function startError({ error, name, code }: { error: string; name: string; code?: string }): Error {
  const Class = name === 'TypeError' ? TypeError : name === 'RangeError' ? RangeError : Error;
  return Object.assign(new Class(error), code === undefined ? {} : { code });
}

function moduleUrl(module: string | URL): string {
  const text = String(module);
  return /^[a-z]+:/.test(text) ? text : pathToFileURL(resolvePath(text)).href;
}
