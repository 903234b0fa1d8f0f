/**
 * The same digests in one process, one package after the other, without Quartermaster and by other means than digest.ts:
 * what a run is held against.
 */
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import type { Plan } from './plan.ts';

/** The digest of every job of the plan, by id. */
export function referenceDigests({ jobs }: Plan): Map<string, string> {
  const digests = new Map<string, string>();
  for (const { id, packages, dependencies } of jobs) {
    const own = packages.map(({ key, directory }) => [key, sha256(contents(directory))] as const);
    const before = dependencies.map((other) => [other, digests.get(other) as string] as const);
    digests.set(id, sha256(lines('package', own) + lines('dependency', before)));
  }
  return digests;
}

function lines(what: string, digests: readonly (readonly [string, string])[]): string {
  return digests
    .map(([id, digest]) => [Buffer.from(id), `${what}\0${id}\0${digest}\n`] as const)
    .sort(([a], [b]) => Buffer.compare(a, b))
    .map(([, line]) => line)
    .join('');
}

function contents(directory: string): string {
  const inside = everything(directory, '').map((name) => [Buffer.from(name), line(directory, name)] as const);
  return inside
    .sort(([a], [b]) => Buffer.compare(a, b))
    .map(([, text]) => text)
    .join('');
}

function everything(directory: string, below: string): string[] {
  return readdirSync(path.join(directory, below)).flatMap((entry) => {
    const name = below === '' ? entry : `${below}/${entry}`;
    if (!lstatSync(path.join(directory, name)).isDirectory()) return [name];
    return name === 'node_modules' ? [] : everything(directory, name);
  });
}

function line(directory: string, name: string): string {
  const place = path.join(directory, name);
  const stat = lstatSync(place);
  if (stat.isSymbolicLink()) return `link\0${name}\0${sha256(readlinkSync(place))}\n`;
  try {
    const bytes = readFileSync(place);
    return `file\0${name}\0${stat.mode & 0o100 ? 'x' : '-'}\0${bytes.length}\0${sha256(bytes)}\n`;
  } catch {
    return `unreadable\0${name}\n`;
  }
}

function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}
