import { availableParallelism } from 'node:os';
import path from 'node:path';
import { type Command, Option } from 'commander';
import { CommandError, EXIT } from '../command-error.ts';
import type { Plan, PlannedJob } from '../graph-file/model.ts';
import { readPlan } from '../graph-file/plan.ts';
import { select } from '../graph-file/selection.ts';
import { displayFor } from '../run/display.ts';
import { dryRun, type DryRunFormat } from '../run/dry-run.ts';
import { upToDate } from '../run/fingerprint.ts';
import { orderOf } from '../run/job-graph.ts';
import { runPlan } from '../run/run-plan.ts';
import { RunStore } from '../run/run-store.ts';
import { names, wholeNumber } from './arguments.ts';

interface RunOptions {
  readonly workers?: number;
  readonly only?: readonly string[];
  readonly from?: readonly string[];
  readonly keepGoing?: boolean;
  readonly resume?: boolean;
  readonly dryRun?: boolean;
  readonly format?: DryRunFormat;
  readonly json?: boolean;
  readonly verbose?: boolean;
}

const EXAMPLES = `
A graph file names jobs, what each of them runs, and what it comes after:

  # build.yaml
  jobs:
    compile:
      run: npm run build
    test:
      after: compile
      run: npm test
    package:
      after: [compile, test]
      run: npm pack --silent
    note:
      run: echo "made \${{ jobs.package.output }}"

  quartermaster run build.yaml

What a job prints on its standard output is its output; a job that uses it, by \${{ jobs.NAME.output }}, comes after it.
Further keys of a job: env, cwd, retries, runTimeout, matrix, inputs, output, tags, resources, key, priority; and task
with 'with' instead of run, for a handler of the module that 'tasks' at the top of the file names. 'defaults' at the top
says what counts for all. Everything: docs/graph-files.md, and the schema for editors: quartermaster/graph.schema.json

Examples:
  quartermaster run build.yaml                    every job, as many at a time as there are cores
  quartermaster run build.yaml --workers 4
  quartermaster run build.yaml --only test        test, and what it comes after
  quartermaster run build.yaml --from compile     compile, and all that comes after it
  quartermaster run build.yaml --resume           not again what has succeeded with the same inputs
  quartermaster run build.yaml --dry-run --format mermaid

Ctrl-C waits for what runs; a second one ends it. Ends with 0 when every job has succeeded, 1 when one has not, 2 when
the file or the command line is wrong, 130 after Ctrl-C. Logs and results are kept in .quartermaster/ beside the file.`;

export function addRun(program: Command): void {
  program
    .command('run')
    .summary('run the jobs of a graph file')
    .description('Runs the jobs of a graph file (YAML or JSON), each after those it depends on, several at a time.')
    .argument('<file>', 'the graph file')
    .option('-w, --workers <count>', 'how many jobs run at a time (default: one a core)', wholeNumber(1, 1000))
    .option('--only <jobs>', 'these jobs, parted by commas, and those they come after', names)
    .option(
      '--from <jobs>',
      'these jobs, and those that come after them; the outputs of others are the last ones',
      names,
    )
    .option('-k, --keep-going', 'after a failure go on with the jobs that do not need the one that failed')
    .option('--resume', 'leave out what has succeeded before with the same inputs')
    .option('-n, --dry-run', 'show what would run, in which order, and the critical path; run nothing')
    .addOption(new Option('--format <format>', 'of --dry-run').choices(['text', 'mermaid', 'dot']).default('text'))
    .option('--json', 'one JSON object a line, for programs')
    .option('-v, --verbose', 'show all that each job writes when it has ended, not only the end of what failed')
    .addHelpText('after', EXAMPLES)
    .action(async (file: string, options: RunOptions) => {
      process.exitCode = await run(file, options);
    });
}

async function run(file: string, options: RunOptions): Promise<number> {
  const plan = readPlan(file);
  const { only = [], from = [], resume = false } = options;
  const chosen = orderOf(select(plan, { only, from }));
  const store = new RunStore(plan.directory, path.basename(file));
  const dry = options.dryRun === true;
  if (!dry) store.open();
  try {
    const fresh = resume ? upToDate(chosen, plan, store) : new Set<string>();
    const jobs = chosen.filter(({ id }) => !fresh.has(id));
    refuseMissingOutputs(jobs, store);
    if (dry) {
      dryRun(plan, jobs, [...fresh], store, { format: options.format ?? 'text', json: options.json === true });
      return EXIT.ok;
    }
    const display = displayFor({
      json: options.json === true,
      verbose: options.verbose === true,
      stream: process.stdout,
    });
    const settings = {
      jobs,
      upToDate: [...fresh],
      workers: workersFor(plan, options.workers, jobs),
      keepGoing: options.keepGoing === true,
    };
    return await runPlan(plan, settings, store, display);
  } finally {
    store.close();
  }
}

/** What a job uses of one that does not run must be there from an earlier run. */
function refuseMissingOutputs(jobs: readonly PlannedJob[], store: RunStore): void {
  const running = new Set(jobs.map(({ id }) => id));
  const lines = jobs.flatMap(({ id, uses }) =>
    uses
      .filter((other) => !running.has(other) && (store.success(other)?.output ?? 'lost') === 'lost')
      .map((other) => `job '${id}' needs the output of '${other}', which no earlier run has: run it without --from`),
  );
  if (lines.length > 0) throw new CommandError(lines);
}

/** Where nobody says how many: one a core, but no more than there are commands to run. Handlers may put more tasks. */
function workersFor({ workers }: Plan, count: number | undefined, jobs: readonly PlannedJob[]) {
  const cores = availableParallelism();
  const most = jobs.every(({ work }) => work.kind === 'run') ? Math.min(cores, Math.max(1, jobs.length)) : cores;
  return workers.map((group, at) => ({ ...group, count: (at === 0 ? count : undefined) ?? group.count ?? most }));
}
