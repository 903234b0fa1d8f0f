/** The digest of files and directories that a job reads: it changes when their names or contents do. */
import { createHash, type Hash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';

/** What is in a directory and is nobody's source. */
const LEFT_OUT: readonly string[] = ['.git', '.quartermaster', 'node_modules'];

/** SHA-256 over every file below the paths, in order; what is not there counts as such. */
export function digestOf(paths: readonly string[]): string {
  const hash = createHash('sha256');
  for (const one of paths) add(hash, one, path.basename(one));
  return hash.digest('hex');
}

function add(hash: Hash, place: string, name: string): void {
  try {
    const stat = lstatSync(place);
    if (stat.isDirectory()) {
      hash.update(`directory\0${name}\0`);
      const entries = readdirSync(place).filter((entry) => !LEFT_OUT.includes(entry));
      for (const entry of entries.toSorted()) add(hash, path.join(place, entry), `${name}/${entry}`);
    } else if (stat.isSymbolicLink()) {
      hash.update(`link\0${name}\0${readlinkSync(place)}\0`);
    } else if (stat.isFile()) {
      const contents = createHash('sha256').update(readFileSync(place)).digest('hex');
      hash.update(`file\0${name}\0${stat.mode & 0o100 ? 'x' : '-'}\0${contents}\0`);
    } else {
      hash.update(`other\0${name}\0`);
    }
  } catch (error) {
    hash.update(`${(error as NodeJS.ErrnoException).code ?? 'unreadable'}\0${name}\0`);
  }
}
