/**
 * Reads package-lock.json: which packages a project has installed where, and which of them each of them finds when it
 * asks for one by name, as Node.js looks it up (the nearest node_modules first, then upward).
 *
 * Lockfile versions 2 and 3 list every directory under "packages"; version 1 does not, and is refused.
 */
import { readFile } from 'node:fs/promises';
import path from 'node:path';

/** Nothing can be done before the user has done something; the message says what, in one line. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Something is wrong with one package; the rest of the work goes on. */
export interface Problem {
  /** The package's key; '' for the project itself. */
  readonly package: string;
  /** The file in it, where it is about one. */
  readonly file?: string;
  readonly what: string;
}

export interface LockedPackage {
  /** Its directory relative to the project's, with '/': its key in the lockfile ('node_modules/a'). */
  readonly key: string;
  readonly name: string;
  readonly version: string;
  /** It may be missing: an optional dependency, or one for other platforms. */
  readonly optional: boolean;
  /** Only development, or only a peer, brought it in: npm can be told to leave those out. */
  readonly omittable: boolean;
  /** Keys of the packages that it finds under the names it depends on; no key twice. */
  readonly dependencies: readonly string[];
  /** Of the tarball that it came in, as npm writes it: 'sha512-…'. */
  readonly integrity?: string | undefined;
}

export interface Lockfile {
  /** The project's name. */
  readonly name: string;
  /** '' where it has none. */
  readonly version: string;
  /** Keys of the packages that the project itself depends on. */
  readonly direct: readonly string[];
  /** In the order of the lockfile. */
  readonly packages: readonly LockedPackage[];
  readonly problems: readonly Problem[];
}

/** @throws UsageError where the project has no lockfile that can be used */
export async function readLockfile(project: string): Promise<Lockfile> {
  const file = path.join(project, 'package-lock.json');
  try {
    return parseLockfile(await readFile(file, 'utf8'), file);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'ENOTDIR') {
      throw new UsageError(`${file} cannot be read (${code ?? String(error)}): see to its kind and permissions`);
    }
    throw new UsageError(
      `there is no ${file}: name a project that npm has installed, or run \`npm install\` there first`,
    );
  }
}

/** @throws UsageError that names `file` and what to do about it */
export function parseLockfile(text: string, file: string): Lockfile {
  const json = parseJson(text, file);
  checkVersion(json['lockfileVersion'], file);
  const entries: Entries = new Map();
  for (const [key, value] of Object.entries(recordIn(json, 'packages', file, 'it'))) {
    entries.set(key, readEntry(key, value, file));
  }
  const problems: Problem[] = [];
  const packages: LockedPackage[] = [];
  const direct: string[] = [];
  for (const [key, entry] of entries) {
    if (entry.link) {
      if (!entries.has(entry.target)) {
        problems.push({ package: key, what: `is a link to '${entry.target}', which the lockfile does not list` });
      }
      continue;
    }
    const dependencies = new Set<string>();
    for (const [name, need] of entry.needs) {
      const found = lookUp(name, key, entries);
      // The project itself is no package: who links to it needs nothing of ours.
      if (found !== undefined && found !== '' && found !== key) dependencies.add(found);
      if (found === undefined && need === 'required') {
        problems.push({
          package: key,
          what: `needs '${name}', which the lockfile does not list anywhere it would look`,
        });
      }
    }
    if (key === '') {
      direct.push(...dependencies);
      continue;
    }
    const { name, version, optional, omittable, integrity } = entry;
    packages.push({ key, name, version, optional, omittable, dependencies: [...dependencies], integrity });
  }
  const name = entries.get('')?.name || path.basename(path.dirname(path.resolve(file)));
  return { name, version: entries.get('')?.version ?? '', direct, packages, problems };
}

/** One entry under "packages": a directory, or a link to one. */
interface Entry {
  readonly name: string;
  readonly version: string;
  readonly link: boolean;
  /** The key that a link leads to. */
  readonly target: string;
  readonly optional: boolean;
  readonly omittable: boolean;
  readonly integrity: string | undefined;
  readonly needs: ReadonlyMap<string, 'required' | 'optional'>;
}
type Entries = Map<string, Entry>;
type Json = Readonly<Record<string, unknown>>;

const rewrite = 'write it anew with `npm install --package-lock-only` (npm 7 or later)';

function parseJson(text: string, file: string): Json {
  let json: unknown;
  try {
    json = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    const why = (error as Error).message.replaceAll(/\s+/g, ' ');
    throw new UsageError(`${file} is not JSON (${why}): restore it, or delete it and run \`npm install\``);
  }
  if (isRecord(json)) return json;
  throw new UsageError(`${file} is not a lockfile, which is a JSON object: ${rewrite}`);
}

function checkVersion(version: unknown, file: string): void {
  if (version === 2 || version === 3) return;
  if (version === 1) {
    throw new UsageError(`${file} is of version 1, which does not say where packages are installed: ${rewrite}`);
  }
  const found = version === undefined ? 'has no lockfileVersion' : `has the lockfileVersion ${JSON.stringify(version)}`;
  throw new UsageError(`${file} ${found}, where 2 or 3 is needed: ${rewrite}`);
}

function readEntry(key: string, value: unknown, file: string): Entry {
  const where = `the entry "${key}"`;
  if (!isRecord(value)) throw malformed(file, `${where} is not an object`);
  if (!isPlace(key)) throw malformed(file, `${where} is not a path inside or beside the project`);
  const link = value['link'] === true;
  const required = namesIn(value, 'dependencies', file, where);
  // Only the project's own are installed.
  if (key === '') required.push(...namesIn(value, 'devDependencies', file, where));
  // Peers are needed where they are installed; and some manifests list their optional dependencies twice.
  const peers = namesIn(value, 'peerDependencies', file, where).filter((name) => !required.includes(name));
  const optional = [...namesIn(value, 'optionalDependencies', file, where), ...peers];
  return {
    name: stringIn(value, 'name', file, where) ?? nameOf(key),
    version: stringIn(value, 'version', file, where) ?? '',
    link,
    target: link ? path.posix.normalize(stringIn(value, 'resolved', file, where) ?? '').replace(/^\.?\/?$/, '') : '',
    optional: value['optional'] === true || value['devOptional'] === true || !runsHere(value),
    integrity: stringIn(value, 'integrity', file, where),
    omittable: value['dev'] === true || value['peer'] === true,
    needs: new Map([
      ...required.map((name) => [name, 'required'] as const),
      ...optional.map((name) => [name, 'optional'] as const),
    ]),
  };
}

/** Whether the key leads down from the project, or from a directory above it to what is linked from there. */
function isPlace(key: string): boolean {
  const steps = key.split('/');
  while (steps[0] === '..') steps.shift();
  return key === '' || (!path.isAbsolute(key) && steps.every((step) => step !== '' && step !== '.' && step !== '..'));
}

/** 'node_modules/a/node_modules/@b/c' → '@b/c'; a linked directory is called by its last step. */
function nameOf(key: string): string {
  const folder = 'node_modules/';
  const at = key.lastIndexOf(folder);
  return at < 0 ? path.posix.basename(key) : key.slice(at + folder.length);
}

/** What npm compares with the platform before it installs: lists such as ['darwin', 'linux'] or ['!win32']. */
function runsHere(entry: Json): boolean {
  return allows(entry['os'], process.platform) && allows(entry['cpu'], process.arch);
}

function allows(list: unknown, here: string): boolean {
  const names = (Array.isArray(list) ? list : [list]).filter((name) => typeof name === 'string');
  if (names.includes(`!${here}`)) return false;
  const wanted = names.filter((name) => !name.startsWith('!'));
  return wanted.length === 0 || wanted.includes(here) || wanted.includes('any');
}

/** The key of the package that code in the directory `from` gets for `name`; '' for the project, undefined for none. */
function lookUp(name: string, from: string, entries: Entries): string | undefined {
  for (let at: string | undefined = from; at !== undefined; at = parentOf(at)) {
    if (path.posix.basename(at) === 'node_modules') continue;
    const key = at === '' ? `node_modules/${name}` : `${at}/node_modules/${name}`;
    const entry = entries.get(key);
    if (entry === undefined) continue;
    if (!entry.link) return key;
    // A link to nowhere is a problem of its own.
    return entries.has(entry.target) ? entry.target : '';
  }
  return undefined;
}

/** The directory around one; undefined where the lockfile knows none. */
function parentOf(key: string): string | undefined {
  if (key === '' || /(^|\/)\.\.$/.test(key)) return undefined;
  return key.includes('/') ? key.slice(0, key.lastIndexOf('/')) : '';
}

function isRecord(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function recordIn(owner: Json, field: string, file: string, where: string): Json {
  const value = owner[field];
  if (isRecord(value)) return value;
  throw malformed(file, `${where} has no object "${field}"`);
}

function namesIn(entry: Json, field: string, file: string, where: string): string[] {
  return entry[field] === undefined ? [] : Object.keys(recordIn(entry, field, file, where));
}

function stringIn(entry: Json, field: string, file: string, where: string): string | undefined {
  const value = entry[field];
  if (value === undefined || typeof value === 'string') return value;
  throw malformed(file, `"${field}" of ${where} is not a string`);
}

function malformed(file: string, what: string): UsageError {
  return new UsageError(`${file} is not a lockfile that npm wrote (${what}): ${rewrite}`);
}
