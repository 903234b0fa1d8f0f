/**
 * The manager as a process of its own: started by startManager(), told its options and key on file descriptor 3, which
 * is also how it knows its parent. It ends when that pipe closes, unless it was started detached.
 */
import { Socket } from 'node:net';
import type { ManagerOptions } from '../options.ts';
import { compileSooner, inlineLess, keepOwnArguments } from '../proxy/engine.ts';
import type { BuiltInType } from '../protocol/messages.ts';
import { coreOf, Manager } from './manager.ts';
import { Pace } from './pace.ts';

/** The first line from the parent. */
export interface ManagerOrders {
  readonly options: Omit<ManagerOptions, 'authKey' | 'modules'> & { readonly modules?: readonly string[] };
  /** Base64. */
  readonly authKey: string;
  readonly detached: boolean;
  /** The type of the object that is asked for first. */
  readonly first?: BuiltInType | undefined;
}

/** The first line to the parent. */
export type ManagerReport =
  | { readonly address: string; readonly connectionFile: string }
  | { readonly error: string; readonly name: string; readonly code?: string };

/** Later lines from the parent. */
export interface ManagerShutdown {
  readonly shutdown: { readonly drain?: boolean; readonly timeout?: number };
}

keepOwnArguments();
const pipe = new Socket({ fd: 3, readable: true, writable: true });
let manager: Manager | undefined;
let detached = false;
let text = '';

pipe.setEncoding('utf8');
pipe.on('error', () => {});
pipe.on('data', (chunk: string) => {
  text += chunk;
  for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n')) {
    const line = JSON.parse(text.slice(0, end)) as ManagerOrders | ManagerShutdown;
    text = text.slice(end + 1);
    if ('shutdown' in line) void finish(line.shutdown);
    else void start(line);
  }
});
pipe.on('close', () => {
  if (!detached) process.exit(0);
});
process.on('SIGTERM', () => void finish({}));
// Ctrl-C reaches the whole group of a terminal: then it is the parent that decides when to end its manager.
process.on('SIGINT', () => {
  if (detached) void finish({});
});

async function start(orders: ManagerOrders): Promise<void> {
  try {
    detached = orders.detached;
    const { modules = [], ...options } = orders.options;
    const authKey = Buffer.from(orders.authKey, 'base64');
    manager = new Manager({ ...options, authKey }, { pace: new Pace(), leasing: beQuick });
    for (const module of modules) {
      const loaded = (await import(module)) as { default?: unknown };
      if (typeof loaded.default !== 'function') {
        throw new TypeError(
          `${module} must default-export a function that is given the manager: export default (manager) => manager.register(…)`,
        );
      }
      await (loaded.default as (manager: Manager) => unknown)(manager);
    }
    const listening = await manager.listen();
    report(listening);
    // While the parent connects.
    if (orders.first !== undefined) manager[coreOf].registry.get(orders.first);
  } catch (error) {
    const { name, message, code } = error as Error & { code?: string };
    report({ error: message, name, ...(code === undefined ? {} : { code }) });
    process.exitCode = 1;
    pipe.end();
  }
}

/** Not before there are tasks: what loads the modules has run often and will not run again. */
function beQuick(): void {
  compileSooner();
  inlineLess();
}

async function finish(options: { drain?: boolean; timeout?: number }): Promise<void> {
  await manager?.close(options);
  process.exit(0);
}

function report(line: ManagerReport): void {
  pipe.write(`${JSON.stringify(line)}\n`);
}
