/** What is in a package's directory, its own node_modules left out: that holds other packages. */
import type { Dirent } from 'node:fs';
import type fs from 'node:fs/promises';
import path from 'node:path';

/** What is used of the file system: tests have files fail. */
export type FileSystem = Pick<typeof fs, 'lstat' | 'open' | 'readdir' | 'readFile' | 'readlink'>;

export interface Found {
  /** Relative to the package, with '/'. */
  readonly path: string;
  readonly kind: 'file' | 'link' | 'other';
  /** For a directory that could not be listed. */
  readonly error?: Error;
}

/** Everything in the directory but directories, in no order. */
export async function walk(directory: string, files: Pick<FileSystem, 'readdir'>): Promise<Found[]> {
  const found: Found[] = [];
  const directories = [''];
  for (const inside of directories) {
    let entries: Dirent[];
    try {
      entries = await files.readdir(path.join(directory, inside), { withFileTypes: true });
    } catch (error) {
      found.push({ path: inside === '' ? '.' : inside, kind: 'other', error: error as Error });
      continue;
    }
    for (const entry of entries) {
      const name = inside === '' ? entry.name : `${inside}/${entry.name}`;
      if (entry.isDirectory()) {
        if (name !== 'node_modules') directories.push(name);
      } else {
        found.push({ path: name, kind: entry.isFile() ? 'file' : entry.isSymbolicLink() ? 'link' : 'other' });
      }
    }
  }
  return found;
}
