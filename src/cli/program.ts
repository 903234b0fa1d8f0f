/** The command line, as commander parses it. */
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { addRun } from './commands/run.ts';

const DESCRIPTION = 'Tasks, workers, locks and job graphs on this machine, shared by processes through a manager.';

export function version(): string {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}

/** 'error: unknown option '--fast'\n(Did you mean …?)' → 'unknown option '--fast' (Did you mean …?)' */
function onOneLine(text: string): string {
  return text
    .replace(/^error: /, '')
    .trim()
    .replaceAll(/\s*\n\s*/g, ' ');
}

export function makeProgram(): Command {
  const program = new Command('quartermaster')
    .description(DESCRIPTION)
    .version(version(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .exitOverride()
    .showSuggestionAfterError()
    .configureOutput({ outputError: (text, write) => write(`quartermaster: ${onOneLine(text)}: see --help\n`) });
  addRun(program);
  return program;
}
