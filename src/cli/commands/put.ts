import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { type Client, type PutOptions, TaskFailedError, UnserializableError } from '../../index.ts';
import { CommandError, EXIT, oneLine } from '../command-error.ts';
import { amounts, anyNumber, duration, names, wholeNumber } from './arguments.ts';
import { connected, type ConnectionOptions, withConnection } from './connection.ts';
import { shown } from './printing.ts';

interface PutCommandOptions extends ConnectionOptions {
  readonly queue: string;
  readonly text?: boolean;
  readonly wait?: boolean;
  readonly id?: string;
  readonly priority?: number;
  readonly after?: readonly string[];
  readonly tag?: readonly string[];
  readonly resource?: Readonly<Record<string, number>>;
  readonly key?: string;
  readonly retries?: number;
  readonly runTimeout?: number;
  readonly delay?: number;
}

const EXAMPLES = `
Prints the id of the task; with --wait, its output. The task is the manager's from then on: it runs whether or not this
command goes on.

Examples:
  quartermaster put square 7 --wait
  quartermaster put resize '{"file": "a.png", "width": 200}'
  quartermaster put greet --text world
  cat order.json | quartermaster put import - --retries 3
  quartermaster put report --after t1,t2 --run-timeout 5m`;

export function addPut(program: Command): void {
  withConnection(
    program
      .command('put')
      .summary('put a task into a queue')
      .description('Puts a task into a queue.')
      .argument('<name>', 'which handler runs it')
      .argument('[input]', "its input, as JSON; '-' reads the standard input"),
  )
    .option('-q, --queue <name>', 'the task queue', 'default')
    .option('-t, --text', 'the input is a text, not JSON')
    .option('-w, --wait', 'wait for the output, and print it')
    .option('--id <id>', 'an id of your own: putting it again gives the task that is there')
    .option('--priority <number>', 'higher runs sooner', anyNumber)
    .option('--after <ids>', 'tasks that must have succeeded before, parted by commas', names)
    .option('--tag <tags>', 'tags that the worker must have, parted by commas', names)
    .option('--resource <name=amount>', 'an amount that it holds while it runs; may be given several times', amounts)
    .option('--key <key>', "no more than the queue's keyConcurrency tasks of one key run at a time")
    .option('--retries <count>', 'how many failures are followed by another attempt', wholeNumber(0, 1_000_000))
    .option('--run-timeout <time>', 'longest run, as 30s or 5m', duration)
    .option('--delay <time>', 'how long it waits before it may run', duration)
    .addHelpText('after', EXAMPLES)
    .action(async (name: string, input: string | undefined, options: PutCommandOptions) => {
      const value = inputOf(input, options.text === true);
      await connected(options, (client) => put(client, name, value, options));
    });
}

function inputOf(text: string | undefined, asText: boolean): unknown {
  if (text === undefined) return undefined;
  const given = text === '-' ? readFileSync(0, 'utf8') : text;
  if (asText) return given;
  try {
    return JSON.parse(given) as unknown;
  } catch (error) {
    throw new CommandError(
      `the input is not JSON (${oneLine(error)}): quote it for the shell, or give --text for a text`,
    );
  }
}

async function put(client: Client, name: string, input: unknown, options: PutCommandOptions): Promise<void> {
  const { queue, id, priority, after, tag: tags, resource: resources, key, retries, runTimeout, delay } = options;
  const settings: PutOptions = { id, priority, after, tags, resources, key, retries, runTimeout, delay };
  let handle;
  try {
    handle = await client.tasks(queue).put(name, input, settings);
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError || error instanceof UnserializableError) {
      throw new CommandError(oneLine(error));
    }
    throw error;
  }
  if (options.wait !== true) {
    process.stdout.write(`${handle.id}\n`);
    return;
  }
  try {
    process.stdout.write(shown(await handle.result()));
  } catch (error) {
    const cause = error instanceof TaskFailedError && error.cause !== undefined ? error.cause : error;
    throw new CommandError(`task ${handle.id} has not succeeded: ${oneLine(cause)}`, EXIT.failed);
  }
}
