/**
 * The digest of a package: one SHA-256 over every file in its directory, the same on every machine that has the same
 * files. Times, owners and the order in which a disk lists things do not count; what counts is
 *
 *     file NUL path NUL x|- NUL size NUL sha256 of the contents NL         for each regular file
 *     link NUL path NUL sha256 of the target's text NL                     for each symbolic link, which is not followed
 *     unreadable NUL path NL                                               for what could not be read: a problem too
 *
 * in the order of the paths' bytes. A package's own node_modules holds other packages and is left out.
 *
 * A job's digest is one over those of its packages and of the jobs that it depends on: it changes with anything below it.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import fs from 'node:fs/promises';
import path from 'node:path';
import { licenseOf } from './license.ts';
import type { Problem } from './lockfile.ts';
import { stampOf } from './stamp.ts';
import { type FileSystem, type Found, walk } from './walk.ts';

export type { FileSystem } from './walk.ts';

/** A package to be read. */
export interface PackageToDigest {
  readonly key: string;
  readonly name: string;
  readonly version: string;
  readonly directory: string;
  /** What an earlier run found, where there was one. */
  readonly earlier?: PackageDigest | undefined;
}

export interface PackageDigest {
  readonly key: string;
  readonly name: string;
  readonly version: string;
  readonly digest: string;
  /** Files and links. */
  readonly files: number;
  readonly bytes: number;
  /** As the package says; undefined where it says nothing. */
  readonly license?: string | undefined;
  /** By which a later run sees that nothing has changed; undefined where something may have, unseen. */
  readonly stamp?: string | undefined;
}

export interface DigestInput {
  readonly id: string;
  /** One, or those that depend on each other. */
  readonly packages: readonly PackageToDigest[];
  readonly dependencies: readonly DigestResult[];
}

export interface DigestResult {
  readonly id: string;
  readonly digest: string;
  readonly packages: readonly PackageDigest[];
  readonly problems: readonly Problem[];
  /** How many of its packages were not read, because nothing has changed in them. */
  readonly reused: number;
  /** Who did it, and how long it took (ms). */
  readonly pid: number;
  readonly ms: number;
}

/** Runs one job: reads its packages, and folds in what the jobs before it found. */
export async function digestJob(
  { id, packages, dependencies }: DigestInput,
  files: FileSystem = fs,
): Promise<DigestResult> {
  const start = performance.now();
  const digests: PackageDigest[] = [];
  const problems: Problem[] = [];
  let reused = 0;
  for (const { directory, earlier, ...of } of packages) {
    const there = await walk(directory, files);
    // Before anything is read: what changes from here on has another one.
    const stamp = await stampOf(directory, there, files);
    if (earlier?.stamp !== undefined && earlier.stamp === stamp) {
      digests.push({ ...earlier, ...of });
      reused++;
      continue;
    }
    const { problems: found, ...tree } = await digestDirectory(directory, there, files);
    const license = await licenseOf(directory, files);
    // What could not be read may be readable the next time.
    digests.push({ ...of, ...tree, license, stamp: found.length === 0 ? stamp : undefined });
    problems.push(...found.map((problem) => ({ package: of.key, ...problem })));
  }
  const hash = createHash('sha256');
  for (const { key, digest } of digests.toSorted((a, b) => inByteOrder(a.key, b.key))) {
    hash.update(`package\0${key}\0${digest}\n`);
  }
  for (const { id: before, digest } of dependencies.toSorted((a, b) => inByteOrder(a.id, b.id))) {
    hash.update(`dependency\0${before}\0${digest}\n`);
  }
  const ms = performance.now() - start;
  return { id, digest: hash.digest('hex'), packages: digests, problems, reused, pid: process.pid, ms };
}

/** How many files are read at once, each through a buffer of `CHUNK` bytes: this bounds the memory. */
const LANES = 8;
const CHUNK = 64 * 1024;

interface Tree {
  readonly digest: string;
  readonly files: number;
  readonly bytes: number;
  readonly problems: readonly Omit<Problem, 'package'>[];
}

interface Line {
  readonly text: string;
  readonly bytes: number;
  readonly problem?: string;
}

async function digestDirectory(directory: string, there: readonly Found[], files: FileSystem): Promise<Tree> {
  const found = there.toSorted((a, b) => inByteOrder(a.path, b.path));
  const lines = new Array<Line>(found.length);
  let next = 0;
  const lane = async (): Promise<void> => {
    const buffer = Buffer.allocUnsafe(CHUNK);
    while (next < found.length) {
      const at = next++;
      lines[at] = await lineOf(found[at] as Found, directory, buffer, files);
    }
  };
  await Promise.all(Array.from({ length: Math.min(LANES, found.length) }, lane));
  const hash = createHash('sha256');
  for (const { text } of lines) hash.update(text);
  return {
    digest: hash.digest('hex'),
    files: lines.filter(({ problem }) => problem === undefined).length,
    bytes: lines.reduce((sum, { bytes }) => sum + bytes, 0),
    problems: lines.flatMap(({ problem }, at) =>
      problem === undefined ? [] : [{ file: (found[at] as Found).path, what: problem }],
    ),
  };
}

async function lineOf(found: Found, directory: string, buffer: Buffer, files: FileSystem): Promise<Line> {
  const place = path.join(directory, found.path);
  try {
    switch (found.kind) {
      case 'file':
        return await fileLine(found.path, place, buffer, files);
      case 'link': {
        const target = createHash('sha256').update(await files.readlink(place));
        return { text: `link\0${found.path}\0${target.digest('hex')}\n`, bytes: 0 };
      }
      case 'other':
        throw found.error ?? new Error('is neither a file nor a directory nor a link');
    }
  } catch (error) {
    return { text: `unreadable\0${found.path}\n`, bytes: 0, problem: whyUnreadable(error) };
  }
}

/** What was a file when it was listed may be a pipe by now, on which reading would wait, or a link, which would lead away. */
const READ = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOFOLLOW ?? 0);

async function fileLine(name: string, place: string, buffer: Buffer, files: FileSystem): Promise<Line> {
  const file = await files.open(place, READ);
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw new Error('is no file any more');
    const hash = createHash('sha256');
    let size = 0;
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
      if (bytesRead === 0) break;
      hash.update(buffer.subarray(0, bytesRead));
      size += bytesRead;
    }
    const mode = (stat.mode & constants.S_IXUSR) === 0 ? '-' : 'x';
    return { text: `file\0${name}\0${mode}\0${size}\0${hash.digest('hex')}\n`, bytes: size };
  } finally {
    await file.close();
  }
}

/** A code where there is one: messages hold the machine's own paths. */
function whyUnreadable(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === undefined ? message : `cannot be read (${code})`;
}

export function inByteOrder(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
