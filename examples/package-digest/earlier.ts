/** What an earlier run found of each package: kept beside its report, for `--resume`. */
import { readFile } from 'node:fs/promises';
import type { PackageDigest } from './digest.ts';

/** Grows with every change of the file, or of what a digest is: an older one is as good as none. */
const VERSION = 1;

export interface Earlier {
  readonly version: number;
  /** Absolute: the same keys in another project are other packages. */
  readonly project: string;
  readonly packages: readonly PackageDigest[];
}

/** Where it is kept. */
export function earlierFile(out: string): string {
  return `${out}.state`;
}

export function makeEarlier(project: string, packages: readonly PackageDigest[]): Earlier {
  return { version: VERSION, project, packages };
}

/** By key; nothing where there was no earlier run of this project. */
export async function readEarlier(out: string, project: string): Promise<ReadonlyMap<string, PackageDigest>> {
  try {
    const earlier = JSON.parse(await readFile(earlierFile(out), 'utf8')) as Earlier;
    if (earlier.version !== VERSION || earlier.project !== project) return new Map();
    return new Map(earlier.packages.map((one) => [one.key, one]));
  } catch {
    return new Map();
  }
}
