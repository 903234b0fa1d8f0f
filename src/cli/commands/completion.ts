import { Argument, type Command } from 'commander';
import { complete, FILES } from '../complete.ts';
import { readPlan } from '../graph-file/plan.ts';

const EXAMPLES = `
Prints a script that lets the shell complete commands, options, and the names of jobs. To have it in every shell:

  bash:  echo 'eval "$(quartermaster completion bash)"' >> ~/.bashrc
  zsh:   echo 'eval "$(quartermaster completion zsh)"' >> ~/.zshrc        (after compinit)
  fish:  quartermaster completion fish > ~/.config/fish/completions/quartermaster.fish

Examples:
  quartermaster completion bash`;

const NAMES = ['quartermaster', 'qm'];

const scripts: Readonly<Record<string, string>> = {
  bash: `_quartermaster() {
  local words=("\${COMP_WORDS[@]:1:COMP_CWORD}") line
  local typed="\${COMP_WORDS[COMP_CWORD]}"
  COMPREPLY=()
  while IFS= read -r line; do
    if [ "$line" = '${FILES}' ]; then
      compopt -o filenames 2>/dev/null
      while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$typed")
    elif [ -n "$line" ]; then
      COMPREPLY+=("$line")
    fi
  done < <("\${COMP_WORDS[0]}" complete -- "\${words[@]}" 2>/dev/null)
}
${NAMES.map((name) => `complete -F _quartermaster ${name}`).join('\n')}
`,
  zsh: `_quartermaster() {
  local -a found
  found=("\${(@f)$("\${words[1]}" complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ "\${found[1]}" == '${FILES}' ]]; then
    _files
  else
    compadd -- "\${(@)found:#}"
  fi
}
compdef _quartermaster ${NAMES.join(' ')}
`,
  fish: `function __quartermaster_complete
  set -l words (commandline -opc)[2..]
  set -l typed (commandline -ct)
  set -l command (commandline -opc)[1]
  for line in ($command complete -- $words "$typed" 2>/dev/null)
    if test "$line" = '${FILES}'
      __fish_complete_path "$typed"
    else
      echo $line
    end
  end
end
${NAMES.map((name) => `complete -c ${name} -f -a '(__quartermaster_complete)'`).join('\n')}
`,
};

export function addCompletion(program: Command): void {
  program
    .command('completion')
    .summary('print a script for completion in a shell')
    .description('Prints what a shell needs to complete commands, options and names of jobs.')
    .addArgument(new Argument('<shell>', 'which shell').choices(Object.keys(scripts)))
    .addHelpText('after', EXAMPLES)
    .action((shell: string) => void process.stdout.write(scripts[shell] ?? ''));
  program
    .command('complete', { hidden: true })
    .description('For the scripts of `completion`: what may come next, one a line.')
    .argument('[words...]')
    .action((words: string[]) => {
      process.stdout.write(
        complete(program, words, jobNames)
          .map((word) => `${word}\n`)
          .join(''),
      );
    });
}

function jobNames(file: string): string[] {
  try {
    return [...new Set(readPlan(file).jobs.map(({ name }) => name))];
  } catch {
    return [];
  }
}
