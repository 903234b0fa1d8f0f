/** The manager that a command speaks to. */
import type { Command } from 'commander';
import { AuthenticationError, type Client, connect, ManagerGoneError, TooManyConnectionsError } from '../../index.ts';
import { CommandError, EXIT, oneLine } from '../command-error.ts';

export interface ConnectionOptions {
  readonly connection?: string;
}

const VARIABLE = 'QUARTERMASTER_CONNECTION';

/** Adds the option that says which manager it is. */
export function withConnection(command: Command): Command {
  return command.option('-c, --connection <file>', `connection file of the manager (default: $${VARIABLE})`);
}

/**
 * Connects, and closes the connection after `use`.
 * @throws CommandError where there is no manager to connect to
 */
export async function connected<T>(options: ConnectionOptions, use: (client: Client) => Promise<T>): Promise<T> {
  const client = await open(options);
  try {
    return await use(client);
  } catch (error) {
    if (!(error instanceof ManagerGoneError)) throw error;
    throw new CommandError('the manager has gone: start another one with `quartermaster manager`', EXIT.failed);
  } finally {
    await client.close();
  }
}

async function open({ connection }: ConnectionOptions): Promise<Client> {
  const file = connection ?? process.env[VARIABLE];
  if (file === undefined || file === '') {
    throw new CommandError(
      `no manager is named: give its connection file with --connection, or in $${VARIABLE}; \`quartermaster manager\` starts one and prints it`,
    );
  }
  try {
    return await connect(file, { name: `quartermaster:${process.pid}` });
  } catch (error) {
    throw new CommandError(whyNot(error, file), EXIT.failed);
  }
}

function whyNot(error: unknown, file: string): string {
  const { code } = error as NodeJS.ErrnoException;
  const start = 'start one with `quartermaster manager`';
  if (code === 'ENOENT') return `there is no manager at ${file}: it has ended, or never was; ${start}`;
  if (code === 'ECONNREFUSED') return `the manager of ${file} has ended without removing the file; ${start}`;
  if (error instanceof AuthenticationError)
    return `${file} is of another manager than the one that listens there; ${start}`;
  if (error instanceof TooManyConnectionsError) return `${oneLine(error)}: try again when some have ended`;
  return `${file} cannot be used: ${oneLine(error)}`;
}
