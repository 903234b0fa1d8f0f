/** Under which licence a package says it is: in its package.json, of today's form or of one of the old ones. */
import path from 'node:path';
import type { FileSystem } from './walk.ts';

/** Undefined where it says nothing that can be read. */
export async function licenseOf(directory: string, files: FileSystem): Promise<string | undefined> {
  try {
    return licenseIn(JSON.parse(await files.readFile(path.join(directory, 'package.json'), 'utf8')));
  } catch {
    return undefined;
  }
}

/** `"MIT"`, `{ "type": "MIT" }`, or a list of those, of which its user may choose one. */
export function licenseIn(manifest: unknown): string | undefined {
  if (typeof manifest !== 'object' || manifest === null) return undefined;
  const { license, licenses } = manifest as { license?: unknown; licenses?: unknown };
  const found = (Array.isArray(licenses) ? licenses : [license ?? licenses]).flatMap(
    (one: unknown) => nameOf(one) ?? [],
  );
  return found.length < 2 ? found[0] : `(${found.join(' OR ')})`;
}

function nameOf(license: unknown): string | undefined {
  const name: unknown =
    typeof license === 'object' && license !== null ? (license as { type?: unknown }).type : license;
  return typeof name === 'string' && name.trim() !== '' ? name.trim() : undefined;
}
