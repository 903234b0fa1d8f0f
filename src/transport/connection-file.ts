/**
 * The connection file: what a process that we did not spawn needs to connect. JSON of address, auth key and pid, mode
 * 0600. Whoever reads it can do all the manager can, so neither the key nor any other text of the file gets into a
 * message, and a file that others could have read or written is refused.
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  lstatSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { randomBytes } from 'node:crypto';
import { dirname } from 'node:path';
import { codeOf, isWindows, quoted, systemError } from './address.ts';
import { assertTrustedDirectory } from './platform.ts';

export interface ConnectionInfo {
  readonly address: string;
  /** Base64. */
  readonly authKey: string;
  /** The manager's. */
  readonly pid: number;
}

/** A file of a few hundred bytes; anything much larger is another file. */
const MAX_SIZE = 64 * 1024;
/** Absent on Windows, where links need rights that others do not have. */
const NO_FOLLOW: number = constants.O_NOFOLLOW ?? 0;

/**
 * Writes the file at one stroke: a reader finds the old one, the new one or none, and never with another mode. Returns
 * what removes it again, if it is still that very file. Synchronous: it may run on process exit.
 */
export function writeConnectionFile(path: string, info: ConnectionInfo): () => void {
  assertTrustedDirectory(dirname(path));
  assertReplaceable(path);
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  const file = openSync(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | NO_FOLLOW, 0o600);
  try {
    try {
      if (!isWindows) fchmodSync(file, 0o600); // a umask can only have taken bits from it
      const { address, authKey, pid } = info;
      writeSync(file, `${JSON.stringify({ address, authKey, pid }, undefined, 2)}\n`);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path); // replaces a link at `path`, does not follow it
    const ours = lstatSync(path, { bigint: true });
    return () => {
      const found = lstatSync(path, { bigint: true, throwIfNoEntry: false });
      if (found?.ino === ours.ino && found.dev === ours.dev) rmSync(path, { force: true });
    };
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** Beside an address that a user chose there may be a file of his own that only has the name. */
function assertReplaceable(path: string): void {
  try {
    readConnectionFile(path);
  } catch (error) {
    if (codeOf(error) !== 'EINVAL') return;
    const why = `${quoted(path)} exists and is not a connection file; remove it or choose another address`;
    throw systemError('EEXIST', why, error);
  }
}

/** Reads and checks the file: a regular one, ours, closed to everybody else, of the right shape. */
export function readConnectionFile(path: string): ConnectionInfo {
  const text = readPrivateFile(path);
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch {
    throw malformed(path, 'it is not JSON'); // the parser's own message quotes the text
  }
  if (typeof found !== 'object' || found === null) throw malformed(path, 'it is not a JSON object');
  const { address, authKey, pid } = found as Record<string, unknown>;
  if (typeof address !== 'string' || !/^[a-z]+:./.test(address)) throw malformed(path, '"address" is not an address');
  if (typeof authKey !== 'string' || !/^[A-Za-z0-9+/]+={0,2}$/.test(authKey)) {
    throw malformed(path, '"authKey" is not base64');
  }
  if (typeof pid !== 'number' || !Number.isSafeInteger(pid) || pid <= 0)
    throw malformed(path, '"pid" is not a process id');
  return { address, authKey, pid };
}

function readPrivateFile(path: string): string {
  let file: number;
  try {
    // Without O_NONBLOCK, opening a named pipe would wait for its writer.
    file = openSync(path, constants.O_RDONLY | NO_FOLLOW | (constants.O_NONBLOCK ?? 0));
  } catch (error) {
    const code = codeOf(error) ?? 'EACCES';
    const why: Partial<Record<string, string>> = {
      ENOENT: 'it does not exist; is the manager running?',
      ELOOP: 'it is a symbolic link; name the file itself',
      EACCES: 'it belongs to somebody else',
      ENXIO: `it is a socket; to connect to it itself, give 'unix:' and its absolute path, and its authKey`,
    };
    throw systemError(code, `cannot read the connection file ${quoted(path)}: ${why[code] ?? code}`, error);
  }
  try {
    const stats = fstatSync(file);
    if (!stats.isFile()) throw malformed(path, 'it is not a regular file');
    if (!isWindows) {
      if (stats.uid !== process.geteuid?.()) throw untrusted(path, `it belongs to uid ${stats.uid}`);
      if ((stats.mode & 0o077) !== 0) {
        throw untrusted(
          path,
          `its mode is 0${(stats.mode & 0o777).toString(8)}, so others know its key; restart the manager, or run chmod 600 if nobody read it`,
        );
      }
    }
    if (stats.size > MAX_SIZE) throw malformed(path, `it has ${stats.size} bytes`);
    return readFileSync(file, 'utf8');
  } finally {
    closeSync(file);
  }
}

function malformed(path: string, why: string): Error {
  return systemError('EINVAL', `${quoted(path)} is not a connection file: ${why}`);
}

function untrusted(path: string, why: string): Error {
  return systemError('EACCES', `the connection file ${quoted(path)} cannot be trusted: ${why}`);
}
