/**
 * node-ipc was compromised twice (SECURITY.md tells the story). Here: what is installed is what the committed list
 * says, byte for byte; no version is loose, the lockfile names no addresses, and nothing runs at install time.
 */
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { hashPackages, listFile, packages } from '../scripts/hash-node-ipc.mjs';

const root = path.dirname(import.meta.dirname);
const nodeModules = path.join(root, 'node_modules');

interface LockEntry {
  readonly version?: string;
  readonly integrity?: string;
  readonly resolved?: string;
  readonly hasInstallScript?: boolean;
  readonly dependencies?: Record<string, string>;
  readonly optionalDependencies?: Record<string, string>;
  readonly peerDependencies?: Record<string, string>;
}

type Manifest = Readonly<Record<'dependencies' | 'devDependencies' | 'optionalDependencies', Record<string, string>>>;

describe('node-ipc and its dependencies', () => {
  test('every installed file is as in the committed list', () => {
    expect(differences(nodeModules)).toEqual([]);
  });

  test('the list covers everything that node-ipc brings along', () => {
    const tree = productionTree(lockfile(), { dependencies: { 'node-ipc': '' } });
    expect([...tree].map((key) => key.replace('node_modules/', '')).toSorted()).toEqual(packages);
  });

  test('one changed byte, a missing file and an additional one fail, by name', () => {
    const copy = mkdtempSync(path.join(os.tmpdir(), 'packages-'));
    onTestFinished(() => rmSync(copy, { recursive: true }));
    for (const name of packages) cpSync(path.join(nodeModules, name), path.join(copy, name), { recursive: true });
    expect(differences(copy)).toEqual([]);

    appendFileSync(path.join(copy, 'js-queue', 'package.json'), ' ');
    rmSync(path.join(copy, 'easy-stack', 'package.json'));
    writeFileSync(path.join(copy, 'node-ipc', 'postinstall.js'), '');
    expect(differences(copy)).toEqual([
      'easy-stack/package.json is missing',
      'js-queue/package.json differs from the committed list',
      'node-ipc/postinstall.js is not in the committed list',
    ]);
  });
});

describe('versions and installation', () => {
  test('package.json pins exact versions only', () => {
    const { dependencies, devDependencies, optionalDependencies } = manifest();
    const loose = Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies }).filter(
      ([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version),
    );
    expect(loose).toEqual([]);
    expect(dependencies).toMatchObject({ 'node-ipc': '14.0.0' });
  });

  test('npm is told to run no install script and to pin what it adds', () => {
    const lines = readFileSync(path.join(root, '.npmrc'), 'utf8').split('\n');
    expect(lines).toEqual(expect.arrayContaining(['ignore-scripts=true', 'save-exact=true']));
  });

  test('the lockfile names sums and no addresses', () => {
    const entries = Object.entries(lockfile()).filter(([key]) => key !== '');
    expect(entries.filter(([, { resolved }]) => resolved !== undefined).map(([key]) => key)).toEqual([]);
    expect(entries.filter(([, { integrity }]) => !integrity?.startsWith('sha512-')).map(([key]) => key)).toEqual([]);
  });

  test('nothing that a user installs with us has an install script', () => {
    const lock = lockfile();
    const scripts = [...productionTree(lock, manifest())].filter((key) => lock[key]?.hasInstallScript);
    expect(scripts).toEqual([]);
  });

  test('an install script deep in the tree would be found', () => {
    const lock: Record<string, LockEntry> = {
      'node_modules/a': { dependencies: { b: '1' } },
      'node_modules/b': { hasInstallScript: false },
      'node_modules/a/node_modules/b': { hasInstallScript: true, optionalDependencies: { c: '1', absent: '1' } },
      'node_modules/c': {},
    };
    const tree = productionTree(lock, { dependencies: { a: '1' } });
    expect([...tree]).toEqual(['node_modules/a', 'node_modules/a/node_modules/b', 'node_modules/c']);
  });
});

function differences(folder: string): string[] {
  const expected = readList(readFileSync(listFile, 'utf8'));
  const found = readList(hashPackages(folder));
  return [...new Set([...expected.keys(), ...found.keys()])].toSorted().flatMap((file) => {
    if (!found.has(file)) return [`${file} is missing`];
    if (!expected.has(file)) return [`${file} is not in the committed list`];
    return expected.get(file) === found.get(file) ? [] : [`${file} differs from the committed list`];
  });
}

/** Lines of `sha256sum`: file → sum. */
function readList(text: string): Map<string, string> {
  const lines = text.trimEnd().split('\n');
  return new Map(lines.map((line) => [line.slice(66), line.slice(0, 64)]));
}

function manifest(): Manifest {
  return JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as Manifest;
}

function lockfile(): Record<string, LockEntry> {
  const text = readFileSync(path.join(root, 'package-lock.json'), 'utf8');
  return (JSON.parse(text) as { packages: Record<string, LockEntry> }).packages;
}

/** Lockfile keys of all that comes with `dependencies` and `optionalDependencies`, resolved as Node resolves them. */
function productionTree(lock: Record<string, LockEntry>, start: LockEntry): Set<string> {
  const tree = new Set<string>();
  const add = (from: string, entry: LockEntry): void => {
    for (const name of Object.keys({ ...entry.dependencies, ...entry.optionalDependencies })) {
      const key = resolve(lock, from, name);
      if (key === undefined || tree.has(key)) continue;
      tree.add(key);
      add(key, lock[key]!);
    }
  };
  add('', start);
  return tree;
}

function resolve(lock: Record<string, LockEntry>, from: string, name: string): string | undefined {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/node_modules/')))) {
    const key = `${folder === '' ? '' : `${folder}/`}node_modules/${name}`;
    if (Object.hasOwn(lock, key)) return key;
    if (folder === '') return undefined;
  }
}
