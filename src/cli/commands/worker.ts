import type { Command } from 'commander';
import { BrokenPoolError, type Client, ConnectionLostError, startWorkers } from '../../index.ts';
import { CommandError, oneLine } from '../command-error.ts';
import { amounts, names, wholeNumber } from './arguments.ts';
import { connected, type ConnectionOptions, withConnection } from './connection.ts';

interface WorkerOptions extends ConnectionOptions {
  readonly count?: number;
  readonly queue: string;
  readonly concurrency: number;
  readonly tag?: readonly string[];
  readonly resource?: Readonly<Record<string, number>>;
  readonly maxTasks?: number;
}

const EXAMPLES = `
The tasks module default-exports its handlers, by name:

  // tasks.mjs
  export default { square: (n) => n * n };

A worker that ends is replaced; what it ran runs again. Ctrl-C or SIGTERM: the workers finish what they run, and end; a
second one, or 10 s later: at once, and what they ran runs elsewhere.

Examples:
  quartermaster worker ./tasks.mjs
  quartermaster worker ./tasks.mjs --count 8 --queue pictures
  quartermaster worker ./tasks.mjs --tag gpu --resource memory=8`;

export function addWorker(program: Command): void {
  withConnection(
    program
      .command('worker')
      .summary('run the tasks of a queue in worker processes')
      .description("Starts worker processes that run a queue's tasks by the handlers of a tasks module.")
      .argument('<module>', 'the tasks module'),
  )
    .option('-n, --count <count>', 'how many processes (default: one a core)', wholeNumber(1, 1000))
    .option('-q, --queue <name>', 'the task queue', 'default')
    .option('--concurrency <count>', 'tasks that each process runs at once', wholeNumber(1, 100_000), 1)
    .option('--tag <tags>', 'tags that the workers have, parted by commas', names)
    .option(
      '--resource <name=amount>',
      "an amount that a process' tasks hold from; may be given several times",
      amounts,
    )
    .option('--max-tasks <count>', 'a process is replaced after so many tasks', wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .addHelpText('after', EXAMPLES)
    .action((module: string, options: WorkerOptions) =>
      connected(options, (client) => runWorkers(client, module, options)),
    );
}

async function runWorkers(client: Client, module: string, options: WorkerOptions): Promise<void> {
  const { count, queue, concurrency, tag: tags, resource: resources, maxTasks: maxTasksPerWorker } = options;
  const offer = { count, queue, concurrency, tags, resources, maxTasksPerWorker };
  let group;
  try {
    group = await startWorkers(client, module, { ...offer, handleSignals: true });
    const started = group.workers().length;
    process.stdout.write(`${started} ${started === 1 ? 'worker runs' : 'workers run'} tasks of queue '${queue}'\n`);
    group.on('workerLost', ({ name, pid, exitCode, signal, reason }) => {
      const how = reason ?? signal ?? `exit code ${exitCode}`;
      process.stderr.write(`quartermaster: ${name} (pid ${pid}) was lost: ${how}\n`);
    });
    group.on('broken', (error) => process.stderr.write(`quartermaster: ${oneLine(error)}: trying again\n`));
  } catch (error) {
    if (!(error instanceof BrokenPoolError)) throw error;
    throw new CommandError(`${module} cannot be used: ${oneLine(error.cause ?? error)}`);
  }
  try {
    await managerGone(client);
  } finally {
    // That its workers end with it goes without saying.
    group.removeAllListeners('workerLost');
  }
}

/** Never resolves. @throws ManagerGoneError */
async function managerGone(client: Client): Promise<void> {
  for (;;) {
    try {
      // Nobody else knows it, so nobody sets it.
      await client.event().wait();
    } catch (error) {
      if (!(error instanceof ConnectionLostError)) throw error;
    }
  }
}
