/** What may come next on a command line: for shells, which ask with every press of the Tab key. */
import type { Command, Option } from 'commander';

/** Stands for "files": the shell knows those. */
export const FILES = ':files';

/** Names of the jobs of a graph file; none where it cannot be read. */
export type JobNames = (file: string) => readonly string[];

/** Options whose value is names of jobs. */
const OF_JOBS: readonly string[] = ['--only', '--from'];

/** `words`: all after the program's name; the last one is what has been typed of the next, perhaps nothing. */
export function complete(program: Command, words: readonly string[], jobNames: JobNames): string[] {
  const typed = words.at(-1) ?? '';
  let command = program;
  let operands = 0;
  let file: string | undefined;
  /** Whose value comes next. */
  let option: Option | undefined;
  for (const word of words.slice(0, -1)) {
    if (option !== undefined) {
      option = undefined;
    } else if (word.startsWith('-')) {
      const found = optionOf(command, word);
      option = found?.required === true && !word.includes('=') ? found : undefined;
    } else {
      const next = command === program ? program.commands.find((one) => one.name() === word) : undefined;
      if (next !== undefined) command = next;
      else {
        operands++;
        file ??= word;
      }
    }
  }
  if (option !== undefined) return valuesOf(option, typed, file, jobNames);
  if (typed.startsWith('-')) return matching(optionNames(command), typed);
  if (command === program) return matching(visible(program), typed);
  const argument = command.registeredArguments[operands];
  if (argument === undefined) return [];
  if (argument.argChoices !== undefined) return matching(argument.argChoices, typed);
  return ['file', 'module'].includes(argument.name()) ? [FILES] : [];
}

function valuesOf(option: Option, typed: string, file: string | undefined, jobNames: JobNames): string[] {
  if (option.argChoices !== undefined) return matching(option.argChoices, typed);
  if (OF_JOBS.includes(option.long ?? '')) {
    const done = typed.slice(0, typed.lastIndexOf(',') + 1);
    return file === undefined
      ? []
      : matching(
          jobNames(file).map((name) => done + name),
          typed,
        );
  }
  return /<(file|address)>/.test(option.flags) ? [FILES] : [];
}

function optionOf(command: Command, word: string): Option | undefined {
  const name = word.split('=', 1)[0];
  return command.options.find(({ short, long }) => short === name || long === name);
}

function optionNames(command: Command): string[] {
  const own = command.options.filter(({ hidden }) => !hidden).flatMap(({ long }) => long ?? []);
  return [...own, '--help'];
}

/** Commands that a user would call. */
function visible(program: Command): string[] {
  return program
    .createHelp()
    .visibleCommands(program)
    .map((command) => command.name());
}

function matching(words: readonly string[], typed: string): string[] {
  return words.filter((word) => word.startsWith(typed));
}
