import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Command } from 'commander';
import { Manager } from '../../index.ts';
import { CommandError, EXIT, oneLine } from '../command-error.ts';
import { amounts, several, wholeNumber } from './arguments.ts';
import { json } from './printing.ts';

interface ManagerCommandOptions {
  readonly address?: string;
  readonly resource?: Readonly<Record<string, number>>;
  readonly keyConcurrency?: number;
  readonly module?: readonly string[];
  readonly json?: boolean;
}

const EXAMPLES = `
Prints the path of its connection file, which every other command and \`connect()\` take; it is readable by you alone.
Everything is in memory: with the manager, at Ctrl-C or SIGTERM, all of it is gone.

Examples:
  quartermaster manager
  export QUARTERMASTER_CONNECTION=…               as it prints
  quartermaster worker ./tasks.mjs                in another terminal
  quartermaster put square 7 --wait
  quartermaster manager --resource memory=16      all tasks together hold no more than that`;

export function addManager(program: Command): void {
  program
    .command('manager')
    .summary('start a manager')
    .description('Runs a manager until it is told to end.')
    .option(
      '-a, --address <address>',
      'where to listen, as unix:/path (default: a fresh socket in a private directory)',
    )
    .option(
      '--resource <name=amount>',
      'an amount of this host that tasks hold from; may be given several times',
      amounts,
    )
    .option('--key-concurrency <count>', 'how many tasks of one key run at a time', wholeNumber(1, 1_000_000))
    .option(
      '--module <file>',
      'a module that registers custom types: it default-exports a function of the manager',
      several,
    )
    .option('--json', 'print what it says as JSON')
    .addHelpText('after', EXAMPLES)
    .action(runManager);
}

async function runManager(options: ManagerCommandOptions): Promise<void> {
  const { address, resource = {}, keyConcurrency, module: modules = [] } = options;
  // From before anybody can know of it.
  const told = toldToEnd();
  const manager = new Manager({ resources: resource, queue: { keyConcurrency } });
  try {
    for (const file of modules) await register(manager, file);
    const { address: listening, connectionFile } = await listen(manager, address);
    process.stdout.write(
      options.json === true
        ? json({ address: listening, connectionFile, pid: process.pid })
        : `connection file: ${connectionFile}\n  export QUARTERMASTER_CONNECTION=${quoted(connectionFile)}\n`,
    );
    await told;
  } finally {
    await manager.close();
  }
}

async function register(manager: Manager, file: string): Promise<void> {
  try {
    const loaded = (await import(pathToFileURL(path.resolve(file)).href)) as { default?: unknown };
    if (typeof loaded.default !== 'function') throw new TypeError('it must default-export a function of the manager');
    await (loaded.default as (manager: Manager) => unknown)(manager);
  } catch (error) {
    throw new CommandError(`--module ${file}: ${oneLine(error)}`);
  }
}

async function listen(manager: Manager, address: string | undefined): ReturnType<Manager['listen']> {
  try {
    return await manager.listen(address);
  } catch (error) {
    throw new CommandError(
      `it cannot listen${address === undefined ? '' : ` at ${address}`}: ${oneLine(error)}`,
      EXIT.failed,
    );
  }
}

/** A second signal changes nothing: the files are removed first. */
function toldToEnd(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => resolve());
  });
}

function quoted(text: string): string {
  return /^[\w./:-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
