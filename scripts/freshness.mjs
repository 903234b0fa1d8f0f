// What is missing or out of date in a work tree: installed packages, dist/ and build/examples/.
// Only looks; ensure.mjs acts. Built-in modules only, because it runs before anything is installed.

import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';

/**
 * A tree of TypeScript sources and where `tsc` puts its output.
 * @typedef {{ name: string, sources: string, output: string, config: string, stamp: string, after: string[] }} Project
 * `config` is the tsconfig; `stamp` marks the last complete build; `after` are stamps of projects it is typed against.
 */

/** @type {Project[]} in the order they are built */
export const projects = [
  { name: 'dist', sources: 'src', output: 'dist', config: 'tsconfig.json', stamp: 'build/dist.stamp', after: [] },
  {
    name: 'examples',
    sources: 'examples',
    output: 'build/examples',
    config: 'examples/tsconfig.json',
    stamp: 'build/examples.stamp',
    after: ['build/dist.stamp'],
  },
];

/**
 * Why `npm ci` must run, or undefined. Compares what npm noted about its last install with the lockfile, package by
 * package; an optional package (a binary for another platform) may be absent.
 *
 * @param {string} root
 */
export function installProblem(root) {
  const note = path.join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(note)) return 'nothing is installed';
  const wanted = packagesOf(path.join(root, 'package-lock.json'));
  const installed = packagesOf(note);
  for (const [name, entry] of Object.entries(wanted)) {
    if (name === '') continue;
    const found = installed[name];
    if (found === undefined ? entry.optional !== true : found.integrity !== entry.integrity)
      return `${name.slice(name.lastIndexOf('node_modules/') + 13)} is not as in package-lock.json`;
  }
  return undefined;
}

/**
 * @param {string} file
 * @returns {Record<string, { integrity?: string, optional?: boolean }>}
 */
function packagesOf(file) {
  return JSON.parse(readFileSync(file, 'utf8')).packages;
}

/**
 * Whether `project` was not built completely since its sources changed. Folders count too: their times tell of a
 * removed or renamed file.
 *
 * @param {string} root
 * @param {Project} project
 */
export function needsBuild(root, project) {
  const stamp = modified(path.join(root, project.stamp));
  if (stamp === undefined) return true;
  const inputs = [project.config, 'tsconfig.base.json', ...project.after].map((file) => path.join(root, file));
  const { files, folders } = walk(path.join(root, project.sources));
  if ([...inputs, ...files, ...folders].some((file) => (modified(file) ?? 0) > stamp)) return true;
  return sourcesOf(root, project).some((source) => !existsSync(outputOf(root, project, source)));
}

/**
 * The sources that are newer than what was compiled from them, whoever ran the compiler; empty when all is well.
 *
 * @param {string} root
 * @param {Project} project
 */
export function outdatedSources(root, project) {
  return sourcesOf(root, project)
    .filter((source) => (modified(outputOf(root, project, source)) ?? 0) < (modified(source) ?? 0))
    .map((source) => path.relative(root, source));
}

/**
 * Files in the output folder that no source stands behind any more.
 *
 * @param {string} root
 * @param {Project} project
 */
export function orphans(root, project) {
  const expected = new Set(sourcesOf(root, project).map((source) => stem(outputOf(root, project, source))));
  return walk(path.join(root, project.output)).files.filter((file) => !expected.has(stem(file)));
}

/**
 * @param {string} root
 * @param {Project} project
 */
export function sourcesOf(root, project) {
  return walk(path.join(root, project.sources)).files.filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'));
}

/**
 * @param {string} root
 * @param {Project} project
 * @param {string} source
 */
function outputOf(root, project, source) {
  const relative = path.relative(path.join(root, project.sources), source);
  return path.join(root, project.output, relative.replace(/\.ts$/, '.js'));
}

/** @param {string} file */
function stem(file) {
  return file.replace(/(\.d)?\.(js|ts)(\.map)?$/, '');
}

/**
 * Every file and folder below `folder`, itself included; nothing when it does not exist.
 *
 * @param {string} folder
 * @returns {{ files: string[], folders: string[] }}
 */
export function walk(folder) {
  if (!existsSync(folder)) return { files: [], folders: [] };
  /** @type {string[]} */
  const files = [];
  const folders = [folder];
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const full = path.join(folder, entry.name);
    if (!entry.isDirectory()) {
      files.push(full);
      continue;
    }
    const below = walk(full);
    files.push(...below.files);
    folders.push(...below.folders);
  }
  return { files, folders };
}

/**
 * @param {string} file
 * @returns {number | undefined} ms, undefined when the file does not exist
 */
function modified(file) {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs;
}
