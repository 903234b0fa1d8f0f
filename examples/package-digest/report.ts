/** The report: what it holds, how the last job writes it, and how it looks on a terminal. */
import { createHash } from 'node:crypto';
import { rename, rm, writeFile } from 'node:fs/promises';
import { type DigestResult, inByteOrder, type PackageDigest } from './digest.ts';
import { earlierFile, makeEarlier } from './earlier.ts';
import type { Problem } from './lockfile.ts';
import type { Plan } from './plan.ts';
import { makeSbom, type SbomInput } from './sbom.ts';

/** Grows with every change of the report file that its readers must know of. */
export const SCHEMA_VERSION = 1;

export interface MergeInput extends Pick<Plan, 'name' | 'project' | 'skipped' | 'cycles' | 'problems'> {
  readonly results: readonly DigestResult[];
  /** Where the report goes; an absolute path. */
  readonly out: string;
  /** Where the bill of materials goes, absolute too, and what is in it beside the packages. */
  readonly sbom: { readonly out: string } & Pick<SbomInput, 'version' | 'locked' | 'direct'>;
  /** When the program began (ms since 1970). */
  readonly startedAt: number;
}

export interface Report {
  readonly schemaVersion: typeof SCHEMA_VERSION;
  readonly project: string;
  /** Over all packages: equal exactly where everything that is installed is. */
  readonly digest: string;
  readonly files: number;
  readonly bytes: number;
  /** In the byte order of their keys, with the digest of what is below each of them too. */
  readonly packages: readonly (Omit<PackageDigest, 'stamp'> & { readonly job: string; readonly jobDigest: string })[];
  /** How many packages are under each licence, the most first; null: they say nothing. */
  readonly licenses: readonly { readonly license: string | null; readonly packages: number }[];
  readonly skipped: readonly string[];
  readonly cycles: readonly (readonly string[])[];
  readonly problems: readonly Problem[];
  readonly timing: Timing;
}

/** What differs from run to run. Times in ms. */
interface Timing {
  /** From the program's beginning to the report. */
  readonly wallMs: number;
  /** How many packages were not read, because an earlier run has and nothing has changed in them. */
  readonly unchanged: number;
  /** All digest jobs together. */
  readonly jobMs: number;
  readonly workers: readonly { readonly pid: number; readonly jobs: number; readonly ms: number }[];
  /** The slowest jobs, slowest first. */
  readonly slowest: readonly { readonly job: string; readonly ms: number; readonly bytes: number }[];
}

const SLOWEST = 5;

/** What was found, put together. Nothing of it but `timing` depends on who ran what when. */
export function makeReport({ name, skipped, cycles, problems, results, startedAt }: MergeInput): Report {
  const packages = results
    .flatMap(({ id, digest, packages }) =>
      packages.map(({ key, name, version, digest: own, files, bytes, license }) => {
        return { key, name, version, digest: own, files, bytes, license, job: id, jobDigest: digest };
      }),
    )
    .sort((a, b) => inByteOrder(a.key, b.key));
  const hash = createHash('sha256');
  for (const { key, digest, jobDigest } of packages) hash.update(`${key}\0${digest}\0${jobDigest}\n`);
  const all = [...problems, ...results.flatMap((result) => result.problems)];
  return {
    schemaVersion: SCHEMA_VERSION,
    project: name,
    digest: hash.digest('hex'),
    files: sum(packages, ({ files }) => files),
    bytes: sum(packages, ({ bytes }) => bytes),
    packages,
    licenses: licensesOf(packages),
    skipped,
    cycles,
    problems: all.sort((a, b) => inByteOrder(a.package, b.package) || inByteOrder(a.file ?? '', b.file ?? '')),
    timing: timingOf(results, startedAt),
  };
}

function licensesOf(packages: readonly { readonly license?: string | undefined }[]): Report['licenses'] {
  const counts = new Map<string | null, number>();
  for (const { license = null } of packages) counts.set(license, (counts.get(license) ?? 0) + 1);
  return [...counts]
    .map(([license, count]) => ({ license, packages: count }))
    .sort((a, b) => b.packages - a.packages || inByteOrder(a.license ?? '', b.license ?? ''));
}

function timingOf(results: readonly DigestResult[], startedAt: number): Timing {
  const workers = new Map<number, { pid: number; jobs: number; ms: number }>();
  for (const { pid, ms } of results) {
    const worker = workers.get(pid) ?? { pid, jobs: 0, ms: 0 };
    workers.set(pid, { pid, jobs: worker.jobs + 1, ms: worker.ms + ms });
  }
  const slowest = results.toSorted((a, b) => b.ms - a.ms).slice(0, SLOWEST);
  return {
    wallMs: Date.now() - startedAt,
    unchanged: sum(results, ({ reused }) => reused),
    jobMs: sum(results, ({ ms }) => ms),
    workers: [...workers.values()].sort((a, b) => a.pid - b.pid),
    slowest: slowest.map(({ id, ms, packages }) => ({ job: id, ms, bytes: sum(packages, ({ bytes }) => bytes) })),
  };
}

/** The report, the bill of materials, and what a later run can go by. */
export async function writeReport(input: MergeInput): Promise<Report> {
  const report = makeReport(input);
  const { name, project, results, out, sbom } = input;
  const found = results.flatMap(({ packages }) => packages).sort((a, b) => inByteOrder(a.key, b.key));
  await writeWhole(sbom.out, makeSbom({ ...sbom, name, packages: found }, new Date()));
  await writeWhole(earlierFile(out), makeEarlier(project, found));
  await writeWhole(out, report);
  return report;
}

/** Written beside its place and moved there: a job may run twice, and a reader never finds half a file. */
async function writeWhole(file: string, value: object): Promise<void> {
  const draft = `${file}.${process.pid}.tmp`;
  try {
    await writeFile(draft, `${JSON.stringify(value, undefined, 2)}\n`);
    await rename(draft, file);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

/** How many licences a terminal is shown. */
const SHOWN_LICENSES = 8;
/** How many problems and cycles a terminal is shown; the report has all. */
const SHOWN = 20;

/** The summary, line by line. `wallMs` is measured by whoever waited for it all. */
export function summaryLines(report: Report, out: string, wallMs: number, sbom?: string): string[] {
  const { packages, licenses, skipped, cycles, problems, timing } = report;
  const jobs = new Set(packages.map(({ job }) => job)).size;
  const table: [string, string][] = [
    ['packages', `${number(packages.length)} in ${number(jobs)} jobs, ${number(skipped.length)} skipped`],
    ['files', `${number(report.files)}, ${size(report.bytes)}`],
    ['digest', report.digest],
    ...(timing.unchanged === 0
      ? []
      : [['unchanged', `${number(timing.unchanged)} of them since the last run, not read`] satisfies [string, string]]),
    ...licenses
      .slice(0, SHOWN_LICENSES)
      .map(({ license, packages }, place): [string, string] => [
        place === 0 ? 'licences' : '',
        `${number(packages)} ${license ?? 'without one'}`,
      ]),
    ...(licenses.length > SHOWN_LICENSES
      ? [['', `and ${number(licenses.length - SHOWN_LICENSES)} more`] satisfies [string, string]]
      : []),
    ['wall time', `${duration(wallMs)} for ${duration(timing.jobMs)} of jobs`],
    ...timing.workers.map(({ pid, jobs, ms }): [string, string] => [
      `worker ${pid}`,
      `${number(jobs)} jobs, ${duration(ms)}`,
    ]),
    ...timing.slowest.map(({ job, ms, bytes }, place): [string, string] => [
      place === 0 ? 'slowest' : '',
      `${job}: ${duration(ms)}, ${size(bytes)}`,
    ]),
    ['cycles', cycles.length === 0 ? 'none' : `${number(cycles.length)} sets of packages that depend on each other`],
    ...listed(cycles.map((keys) => keys.join(' <-> '))),
    ['problems', problems.length === 0 ? 'none' : number(problems.length)],
    ...listed(problems.map(problemText)),
    ['report', out],
    ...(sbom === undefined ? [] : [['sbom', sbom] satisfies [string, string]]),
  ];
  const width = Math.max(...table.map(([label]) => label.length));
  return [report.project, ...table.map(([label, text]) => `  ${label.padEnd(width)}  ${printable(text)}`)];
}

function problemText(problem: Problem): string {
  const where = problem.package === '' ? 'the project' : problem.package;
  return problem.file === undefined ? `${where} ${problem.what}` : `${where}: ${problem.file} ${problem.what}`;
}

function listed(texts: readonly string[]): [string, string][] {
  const lines = texts.slice(0, SHOWN).map((text): [string, string] => ['', text]);
  if (texts.length > SHOWN) lines.push(['', `and ${number(texts.length - SHOWN)} more`]);
  return lines;
}

/** File names may hold anything, also what a terminal obeys. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (sign) => `\\x${sign.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

function sum<T>(all: readonly T[], of: (one: T) => number): number {
  return all.reduce((total, one) => total + of(one), 0);
}

function number(count: number): string {
  return count.toLocaleString('en-US');
}

function duration(ms: number): string {
  return ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  let amount = bytes;
  let unit = -1;
  do {
    amount /= 1000;
    unit++;
  } while (amount >= 999.95 && unit < units.length - 1);
  return `${amount.toFixed(1)} ${units[unit]}`;
}
