#!/usr/bin/env node
/** The command `quartermaster`, also called `qm`. What goes wrong is said on standard error, one line for each thing. */
import { CommanderError } from 'commander';
import { QuartermasterError } from '../index.ts';
import { CommandError, EXIT, oneLine } from './command-error.ts';
import { makeProgram } from './program.ts';

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  // What a reader that has gone away does not read is nobody's error.
  process.stdout.on('error', () => process.exit(EXIT.failed));
  const program = makeProgram();
  try {
    await program.parseAsync([...args], { from: 'user' });
    return Number(process.exitCode ?? EXIT.ok);
  } catch (error) {
    return complain(error);
  }
}

function complain(error: unknown): number {
  if (error instanceof CommandError) {
    for (const line of error.lines) process.stderr.write(`quartermaster: ${line}\n`);
    return error.exitCode;
  }
  // It has said so already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  if (error instanceof QuartermasterError) {
    process.stderr.write(`quartermaster: ${oneLine(error)}\n`);
    return EXIT.failed;
  }
  if ((error as NodeJS.ErrnoException).syscall !== undefined) {
    // The system has refused something: a full disk, a file that may not be written.
    process.stderr.write(`quartermaster: ${oneLine(error)}: see to that, and try again\n`);
    return EXIT.failed;
  }
  process.stderr.write(
    `quartermaster: a bug, which please report: ${error instanceof Error ? error.stack : String(error)}\n`,
  );
  return EXIT.failed;
}
