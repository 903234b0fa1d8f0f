import type { Command } from 'commander';
import type { Client, LockSummary, LockUser } from '../../index.ts';
import { duration } from '../run/screen.ts';
import { connected, type ConnectionOptions, withConnection } from './connection.ts';
import { json, table } from './printing.ts';

interface LocksOptions extends ConnectionOptions {
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  quartermaster locks
  quartermaster locks --json`;

export function addLocks(program: Command): void {
  withConnection(
    program
      .command('locks')
      .summary('show who holds which lock, and who waits')
      .description('Shows every lock that is held or waited for, and every object under a hold.'),
  )
    .option('--json', 'print them as JSON')
    .addHelpText('after', EXAMPLES)
    .action((options: LocksOptions) => connected(options, (client) => list(client, options)));
}

async function list(client: Client, options: LocksOptions): Promise<void> {
  const locks = await client.inspect.locks();
  const headings = ['LOCK', 'WHO', 'PID', 'STATE', 'FOR', 'WEIGHT', 'HOLDING'];
  process.stdout.write(options.json === true ? json(locks) : table(headings, locks.flatMap(rows), 'no locks are held'));
}

function rows({ title, holders, waiters }: LockSummary): string[][] {
  const user = ({ name, pid }: LockUser): string[] => [title, name, String(pid)];
  return [
    ...holders.map((one) => [...user(one), 'holds', duration(one.heldMs), String(one.weight), '']),
    ...waiters.map((one) => [...user(one), 'waits', duration(one.waitingMs), '', one.holding.join(', ')]),
  ];
}
