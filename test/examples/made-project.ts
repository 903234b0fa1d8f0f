/** Small installed projects for the tests of package-digest, made up in a folder of their own. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { onTestFinished } from 'vitest';

export interface Made {
  /** Entries of the lockfile, the project's own ('') included. */
  readonly packages: Readonly<Record<string, object>>;
  /** What stands on the disk beside the lockfile: contents by path. */
  readonly files?: Readonly<Record<string, string>>;
}

/** The folder goes with the test. The project is one level down, so that there is room beside it. */
export function makeProject({ packages, files = {} }: Made): string {
  const project = path.join(emptyFolder(), 'project');
  const lockfile = JSON.stringify({ name: 'made', lockfileVersion: 3, packages });
  for (const [name, text] of Object.entries({ 'package-lock.json': lockfile, ...files })) {
    const place = path.join(project, name);
    mkdirSync(path.dirname(place), { recursive: true });
    writeFileSync(place, text);
  }
  return project;
}

export function emptyFolder(): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'digest-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
