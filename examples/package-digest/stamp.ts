/**
 * The stamp of a package's directory: names, kinds, sizes, modes and times of all that is in it, without reading any of
 * it. Where it is the same as before, so is the digest: whatever changes a file changes its ctime, which no program can
 * set.
 */
import { createHash } from 'node:crypto';
import path from 'node:path';
import type { FileSystem, Found } from './walk.ts';

/**
 * How long (ms) ago a file must have changed last. One that has just changed could change again within the same tick of
 * the file system's clock, unseen; those of today tick every few milliseconds.
 */
const SETTLED = 100;

/** Of what `walk` has found. Undefined where something has changed just now, or cannot be looked at. */
export async function stampOf(
  directory: string,
  found: readonly Found[],
  files: Pick<FileSystem, 'lstat'>,
  now = Date.now(),
): Promise<string | undefined> {
  const hash = createHash('sha256');
  for (const { path: name, kind, error } of found.toSorted((a, b) => (a.path < b.path ? -1 : 1))) {
    if (error !== undefined) return undefined;
    try {
      const { size, mode, ino, mtimeMs, ctimeMs } = await files.lstat(path.join(directory, name));
      if (ctimeMs > now - SETTLED) return undefined;
      hash.update([name, kind, size, mode, ino, mtimeMs, ctimeMs, ''].join('\0'));
    } catch {
      return undefined;
    }
  }
  return hash.digest('hex');
}
