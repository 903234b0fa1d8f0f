/** The command line, as commander parses it. */
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { addCompletion } from './commands/completion.ts';
import { addLocks } from './commands/locks.ts';
import { addManager } from './commands/manager.ts';
import { addPut } from './commands/put.ts';
import { addRun } from './commands/run.ts';
import { addTasks } from './commands/tasks.ts';
import { addWorker } from './commands/worker.ts';
import { addWorkers } from './commands/workers.ts';

const DESCRIPTION = 'Tasks, workers, locks and job graphs on this machine, shared by processes through a manager.';

const EXAMPLES = `
Examples:
  quartermaster run build.yaml              run a graph of jobs; needs nothing else
  quartermaster manager                     start a manager, and print its connection file
  quartermaster worker ./tasks.mjs          run its tasks, with the handlers of a module
  quartermaster put square 7 --wait         put a task, and wait for its output
  quartermaster run --help                  more of one command, with examples`;

export function version(): string {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}

/** 'error: unknown option '--fast'\n(Did you mean …?)' → 'unknown option '--fast' (Did you mean …?)' */
function onOneLine(text: string): string {
  return text
    .replace(/^error: /, '')
    .trim()
    .replaceAll(/\s*\n\s*/g, ' ')
    .replace(/\.$/, '');
}

export function makeProgram(): Command {
  const program = new Command('quartermaster')
    .description(DESCRIPTION)
    .version(version(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .exitOverride()
    .showSuggestionAfterError()
    .configureOutput({ outputError: (text, write) => write(`quartermaster: ${onOneLine(text)}: see --help\n`) });
  for (const add of [addRun, addManager, addWorker, addPut, addTasks, addWorkers, addLocks, addCompletion])
    add(program);
  return program.addHelpText('after', EXAMPLES);
}
