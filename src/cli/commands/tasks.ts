import { type Command, Option } from 'commander';
import type { Client, QueuedTaskRecord, TaskRecord, TaskState } from '../../index.ts';
import { CommandError, EXIT } from '../command-error.ts';
import { duration } from '../run/screen.ts';
import { wholeNumber } from './arguments.ts';
import { connected, type ConnectionOptions, withConnection } from './connection.ts';
import { json, table, time } from './printing.ts';

interface TasksOptions extends ConnectionOptions {
  readonly state?: TaskState;
  readonly name?: string;
  readonly queue?: string;
  readonly unrunnable?: boolean;
  readonly limit: number;
  readonly json?: boolean;
}

const STATES: readonly TaskState[] = [
  'blocked',
  'delayed',
  'ready',
  'leased',
  'succeeded',
  'failed',
  'cancelled',
  'expired',
  'skipped',
];

const EXAMPLES = `
Examples:
  quartermaster tasks                       of all queues, the oldest first
  quartermaster tasks --state failed
  quartermaster tasks --unrunnable          those that no connected worker could ever run
  quartermaster tasks t7                    all that is known of one, with its history
  quartermaster tasks --json | jq .         an array of records`;

export function addTasks(program: Command): void {
  withConnection(
    program
      .command('tasks')
      .summary('show tasks, and where each of them stands')
      .description('Shows the records of tasks that wait, run, or ended not too long ago.')
      .argument('[id]', 'one task, with its history'),
  )
    .addOption(new Option('-s, --state <state>', 'only those in this state').choices(STATES))
    .option('--name <name>', 'only those of this handler')
    .option('-q, --queue <name>', 'only those of this queue (with an id: default)')
    .option('--unrunnable', 'only those that none of the workers that are there could ever run')
    .option('--limit <count>', 'most that are shown', wholeNumber(1, 1_000_000), 1_000)
    .option('--json', 'print the records as JSON')
    .addHelpText('after', EXAMPLES)
    .action((id: string | undefined, options: TasksOptions) =>
      connected(options, (client) => (id === undefined ? list(client, options) : one(client, id, options))),
    );
}

async function list(client: Client, options: TasksOptions): Promise<void> {
  const { state, name, queue, unrunnable, limit } = options;
  const found = await client.inspect.tasks({ state, name, unrunnable, limit });
  const records = found.filter((record) => queue === undefined || record.queue === queue);
  if (options.json === true) {
    process.stdout.write(json(records));
    return;
  }
  const headings = ['ID', 'NAME', 'QUEUE', 'STATE', 'ATTEMPT', 'WORKER', 'PUT AT', 'RAN FOR', 'ERROR'];
  process.stdout.write(table(headings, records.map(row), 'no tasks'));
  if (found.length === limit) process.stderr.write(`quartermaster: the first ${limit}; --limit shows more\n`);
}

function row(record: QueuedTaskRecord): string[] {
  const { id, name, queue, state, attempt, worker = '', putAt, runMs, error } = record;
  const ran = runMs === undefined ? '' : duration(runMs);
  return [id, name, queue, state, String(attempt), worker, time(putAt), ran, error?.message.split('\n', 1)[0] ?? ''];
}

async function one(client: Client, id: string, options: TasksOptions): Promise<void> {
  const { queue = 'default' } = options;
  const record = await client.tasks(queue).dict.get(id);
  if (record === undefined) {
    const why = 'it never was, or its record has gone by retention';
    throw new CommandError(
      `there is no task '${id}' in queue '${queue}': ${why}; name another queue with --queue`,
      EXIT.failed,
    );
  }
  process.stdout.write(options.json === true ? json(record) : details(record));
}

function details({ history, error, ...record }: TaskRecord): string {
  const known = Object.entries(record).filter(([, value]) => !Array.isArray(value) || value.length > 0);
  const fields = known.map(([name, value]: [string, unknown]) => {
    const isTime = name.endsWith('At') && typeof value === 'number';
    return [name, isTime ? time(value) : Array.isArray(value) ? value.join(', ') : `${value as string | number}`];
  });
  const width = Math.max(...fields.map(([name = '']) => name.length));
  const lines = fields.map(([name = '', value]) => `${name.padEnd(width)}  ${value}`);
  if (error !== undefined) lines.push(`${'error'.padEnd(width)}  ${error.stack ?? error.message}`);
  return `${[...lines, 'history'].join('\n')}\n${table(
    ['  AT', 'FROM', 'TO', 'WHY'],
    history.map(({ at, from, to, why }) => [`  ${time(at)}`, from, to, why]),
    '  none',
  )}`;
}
