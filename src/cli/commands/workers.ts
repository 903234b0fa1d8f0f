import type { Command } from 'commander';
import type { Client } from '../../index.ts';
import { duration } from '../run/screen.ts';
import { connected, type ConnectionOptions, withConnection } from './connection.ts';
import { json, table } from './printing.ts';

interface WorkersOptions extends ConnectionOptions {
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  quartermaster workers
  quartermaster workers --json`;

export function addWorkers(program: Command): void {
  withConnection(
    program
      .command('workers')
      .summary('show who takes tasks')
      .description('Shows everybody who has taken tasks and is still connected.'),
  )
    .option('--json', 'print them as JSON')
    .addHelpText('after', EXAMPLES)
    .action((options: WorkersOptions) => connected(options, (client) => list(client, options)));
}

async function list(client: Client, options: WorkersOptions): Promise<void> {
  const workers = await client.inspect.workers();
  if (options.json === true) {
    process.stdout.write(json(workers));
    return;
  }
  const rows = workers.map(({ name, pid, host, queue, leased, running, done, owned, lastHeardMs }) => [
    name,
    String(pid),
    host,
    queue,
    String(running),
    String(leased - running),
    String(done),
    owned ? 'yes' : 'no',
    duration(lastHeardMs),
  ]);
  const headings = ['NAME', 'PID', 'HOST', 'QUEUE', 'RUNNING', 'WAITING', 'DONE', 'OWNED', 'LAST HEARD'];
  process.stdout.write(table(headings, rows, 'no workers'));
}
