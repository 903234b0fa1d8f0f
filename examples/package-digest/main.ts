/**
 * package-digest: the digests of all packages that a project has installed, read by several processes at once.
 *
 *     npm start -- [project] [--workers N] [--out file] [--sbom file] [--resume]
 *
 *     package-lock.json ─▶ plan ─▶ job graph ─▶ manager ─▶ workers: one digest a package, after those it depends on
 *                                                             └─▶ the last job: report and SBOM
 */
import { access, constants } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { JobGraph, type JobRef, startManager, startWorkers } from 'quartermaster';
import type { DigestResult } from './digest.ts';
import { display } from './display.ts';
import { readEarlier } from './earlier.ts';
import { type Lockfile, readLockfile, UsageError } from './lockfile.ts';
import { type Plan, planJobs } from './plan.ts';
import { type Report, summaryLines } from './report.ts';
import type tasks from './tasks.ts';

const help = `Digests and licences of all packages that a project has installed, read by several processes at once, and a
bill of materials (SBOM) of them.

  npm start -- [project] [options]

  project        a directory with a package-lock.json (default: the current one)
  --workers N    how many processes read (default: one a core, at least 2)
  --out file     where the report goes (default: package-digest.json in the current directory)
  --sbom file    where the bill of materials goes, CycloneDX 1.6 as JSON (default: the report's name, in .cdx.json)
  --resume       read only packages in which something has changed since the last run with the same --out
  --help         this text

Ends with 0 when all is well, 1 when the report lists problems, 2 when nothing could be done.`;

interface Settings {
  readonly project: string;
  readonly workers: number;
  readonly out: string;
  readonly sbom: string;
  readonly resume: boolean;
}

function readArguments(): Settings | 'help' {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      workers: { type: 'string' },
      out: { type: 'string', default: 'package-digest.json' },
      sbom: { type: 'string' },
      resume: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) return 'help';
  if (positionals.length > 1) throw new UsageError(`one project at a time, not ${positionals.length}: see --help`);
  const workers = values.workers === undefined ? Math.max(2, availableParallelism()) : Number(values.workers);
  if (!Number.isInteger(workers) || workers < 1 || workers > 1000) {
    throw new UsageError(`--workers must be a number from 1 to 1000, not '${values.workers}'`);
  }
  const out = path.resolve(values.out);
  const sbom = path.resolve(values.sbom ?? `${out.replace(/\.json$/, '')}.cdx.json`);
  if (sbom === out) throw new UsageError('--out and --sbom name the same file: give each its own');
  return { project: path.resolve(positionals[0] ?? '.'), workers, out, sbom, resume: values.resume };
}

/** Better before the work than after it. */
async function checkOut(option: string, file: string): Promise<void> {
  const directory = path.dirname(file);
  await access(directory, constants.W_OK).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`${directory} cannot be written to (${error.code}): give another file with ${option}`);
  });
}

/** Each package's job holds references to those it depends on: their outputs arrive where the references stand. */
function graphOf(
  plan: Plan,
  lockfile: Lockfile,
  { out, sbom }: Settings,
  startedAt: number,
): { graph: JobGraph<typeof tasks>; report: JobRef<Report> } {
  const graph = new JobGraph<typeof tasks>();
  const results = new Map<string, JobRef<DigestResult>>();
  for (const { id, packages, dependencies } of plan.jobs) {
    const before = dependencies.map((other) => results.get(other) as JobRef<DigestResult>);
    results.set(id, graph.add('digest', { id, packages, dependencies: before }, { id }));
  }
  const { name, project, skipped, cycles, problems } = plan;
  const { version, direct, packages: locked } = lockfile;
  const found = { name, project, skipped, cycles, problems, results: [...results.values()] };
  const input = { ...found, out, sbom: { out: sbom, version, direct, locked }, startedAt };
  return { graph, report: graph.add('merge', input) };
}

async function run(settings: Settings, lockfile: Lockfile, startedAt: number, signal: AbortSignal): Promise<Report> {
  const { project, workers, out, resume } = settings;
  const plan = await planJobs(project, lockfile, resume ? await readEarlier(out, project) : undefined);
  const { graph, report } = graphOf(plan, lockfile, settings, startedAt);
  const manager = await startManager();
  try {
    const group = await startWorkers(manager, new URL('./tasks.js', import.meta.url), { count: workers });
    // Without workers the jobs would wait for ever.
    const broken = new AbortController();
    group.once('broken', (error) => broken.abort(error));
    try {
      const ended = AbortSignal.any([signal, broken.signal]);
      const jobs = manager.tasks<typeof tasks>().runGraph(graph, { signal: ended });
      const shown = display();
      try {
        const result = jobs.output(report);
        result.catch(() => {});
        for await (const progress of jobs.progress()) shown.show(progress);
        return await result;
      } catch (error) {
        throw broken.signal.aborted ? (broken.signal.reason as Error) : error;
      } finally {
        shown.end();
      }
    } finally {
      await group.close();
    }
  } finally {
    await manager.shutdown();
  }
}

async function main(): Promise<number> {
  const startedAt = Date.now();
  const interrupted = new AbortController();
  let code = 0;
  const interrupt = (signal: NodeJS.Signals): void => {
    // The second time nobody wants to wait: the manager and the workers end with this process.
    if (interrupted.signal.aborted) process.exit(code);
    code = signal === 'SIGINT' ? 130 : 143;
    interrupted.abort(new Error(`ended by ${signal}`));
  };
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
  try {
    const settings = readArguments();
    if (settings === 'help') {
      console.log(help);
      return 0;
    }
    const lockfile = await readLockfile(settings.project);
    await checkOut('--out', settings.out);
    await checkOut('--sbom', settings.sbom);
    const report = await run(settings, lockfile, startedAt, interrupted.signal);
    console.log(summaryLines(report, settings.out, Date.now() - startedAt, settings.sbom).join('\n'));
    return report.problems.length === 0 ? 0 : 1;
  } catch (error) {
    if (interrupted.signal.aborted) {
      console.error('package-digest: interrupted');
      return code;
    }
    return complain(error);
  }
}

function complain(error: unknown): number {
  const { message, code } = error as NodeJS.ErrnoException;
  if (error instanceof UsageError) {
    console.error(`package-digest: ${message}`);
    return 2;
  }
  if (code?.startsWith('ERR_PARSE_ARGS') === true) {
    console.error(`package-digest: ${message.split('\n', 1)[0]}: see --help`);
    return 2;
  }
  console.error('package-digest failed:', error);
  return 1;
}

process.exitCode = await main();
