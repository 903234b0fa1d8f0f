/**
 * From a lockfile to jobs: one for each package that is there, or for each set of packages that depend on each other
 * (npm allows that), and which jobs come before which.
 */
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { components } from '#qm/graph/components.js';
import { Digraph } from '#qm/graph/digraph.js';
import type { PackageDigest, PackageToDigest } from './digest.ts';
import type { LockedPackage, Lockfile, Problem } from './lockfile.ts';

export interface PlannedJob {
  readonly id: string;
  readonly packages: readonly PackageToDigest[];
  /** Ids of the jobs before it: all of them earlier in the plan. */
  readonly dependencies: readonly string[];
}

export interface Plan {
  /** The project's name and directory. */
  readonly name: string;
  readonly project: string;
  /** Each after those it depends on. */
  readonly jobs: readonly PlannedJob[];
  /** Keys of packages that are not there and need not be. */
  readonly skipped: readonly string[];
  /** Keys of packages that depend on each other, set by set: each is one job. */
  readonly cycles: readonly (readonly string[])[];
  readonly problems: readonly Problem[];
}

/** `earlier`: what an earlier run found, by key. */
export async function planJobs(
  project: string,
  lockfile: Lockfile,
  earlier: ReadonlyMap<string, PackageDigest> = new Map(),
): Promise<Plan> {
  const there = await findThere(project, lockfile.packages);
  const installed = await whatNpmInstalled(project);
  const mayBeMissing = ({ key, optional, omittable }: LockedPackage): boolean =>
    optional || (omittable && installed !== undefined && !installed.has(key));
  const missing = lockfile.packages.filter(({ key }) => !there.has(key));
  const { jobs, cycles } = jobsFor(
    project,
    lockfile.packages.filter(({ key }) => there.has(key)),
    earlier,
  );
  return {
    name: lockfile.name,
    project,
    jobs,
    skipped: missing.filter(mayBeMissing).map(({ key }) => key),
    cycles,
    problems: [
      ...lockfile.problems,
      ...missing
        .filter((of) => !mayBeMissing(of))
        .map(({ key }) => ({ package: key, what: 'is not installed: run `npm ci` in the project' })),
    ],
  };
}

async function findThere(project: string, packages: readonly LockedPackage[]): Promise<Set<string>> {
  const there = new Set<string>();
  await Promise.all(
    packages.map(async ({ key }) => {
      const found = await stat(path.join(project, key)).catch(() => undefined);
      if (found?.isDirectory()) there.add(key);
    }),
  );
  return there;
}

/**
 * The keys that npm notes in node_modules after an installation. A package that is only in the project's lockfile was
 * left out on purpose (`--omit=dev`). Undefined where npm left no note.
 */
async function whatNpmInstalled(project: string): Promise<ReadonlySet<string> | undefined> {
  try {
    const note: unknown = JSON.parse(await readFile(path.join(project, 'node_modules', '.package-lock.json'), 'utf8'));
    return new Set(Object.keys((note as { packages: object }).packages));
  } catch {
    return undefined;
  }
}

function jobsFor(
  project: string,
  packages: readonly LockedPackage[],
  earlier: ReadonlyMap<string, PackageDigest>,
): Pick<Plan, 'jobs' | 'cycles'> {
  const places = new Map(packages.map(({ key }, place) => [key, place]));
  const graph = new Digraph(packages.length);
  packages.forEach(({ dependencies }, after) => {
    for (const key of dependencies) {
      const before = places.get(key);
      if (before !== undefined) graph.addEdge(before, after);
    }
  });
  const sets = components(graph).map((members) => members.map((place) => packages[place] as LockedPackage));
  const ids = new Map<string, string>();
  const taken = new Set<string>();
  const jobs = sets.map((members): PlannedJob => {
    const id = idFor(members, taken);
    for (const { key } of members) ids.set(key, id);
    const before = new Set(members.flatMap(({ dependencies }) => dependencies.map((key) => ids.get(key))));
    return {
      id,
      packages: members.map(({ key, name, version }) => ({
        key,
        name,
        version,
        directory: path.join(project, key),
        ...(earlier.has(key) ? { earlier: earlier.get(key) } : {}),
      })),
      dependencies: [...before].filter((other): other is string => other !== undefined && other !== id),
    };
  });
  const cycles = sets.filter((members) => members.length > 1).map((members) => members.map(({ key }) => key));
  return { jobs, cycles };
}

/** Longest id (characters) before something is added to it; a job's may have 500. */
const LONGEST_ID = 450;

/** 'node_modules/a/node_modules/@b/c' → 'a>@b:c'; with how many more where packages depend on each other: 'a+2'. */
function idFor(members: readonly LockedPackage[], taken: Set<string>): string {
  const [first] = members as [LockedPackage];
  const short = first.key
    .replace(/^node_modules\//, '')
    .replaceAll('/node_modules/', '>')
    .replaceAll('/', ':')
    .slice(0, LONGEST_ID);
  const id = members.length === 1 ? short : `${short}+${members.length - 1}`;
  let unique = id;
  for (let count = 2; taken.has(unique); count++) unique = `${id}~${count}`;
  taken.add(unique);
  return unique;
}
