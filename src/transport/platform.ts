/**
 * Where a manager's socket and connection file may live. A directory is trusted when nobody but us (or root) can put
 * something into it; a private one is ours alone. Access to the socket rests on the directory, because libuv tells
 * nothing about the peer of a socket, and on the auth key.
 *
 *     $XDG_RUNTIME_DIR or the temporary directory
 *     └── qm-a1b2c3/      0700, made by privateDirectory()
 *         ├── s           the socket (src/transport/socket-path.ts)
 *         └── s.json      the connection file (src/transport/connection-file.ts)
 *
 * On Windows the socket is a named pipe with a random name, and the directory holds only the connection file. Its
 * access rights are those of the user's own temporary directory; owner and mode are not checked. That branch has
 * not been run on Windows.
 */
import { type BigIntStats, lstatSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { assertSocketPathFits, codeOf, isWindows, parseAddress, quoted, systemError } from './address.ts';

export { maxSocketPath, parseAddress, type Endpoint } from './address.ts';

const WRITABLE_BY_OTHERS = 0o022n;
const STICKY = 0o1000n;
const ANY_OTHERS = 0o077n;

/** A fresh directory of our own, and the names that belong into it. */
export interface PrivateDirectory {
  readonly path: string;
  /** Where to listen: 'unix:<path>/s', on Windows a pipe with a name nobody can guess. */
  readonly address: string;
  readonly connectionFile: string;
  /** Removes the directory with all that is in it. Synchronous, harmless when repeated: it may run on process exit. */
  remove(): void;
}

/**
 * Makes a directory that nobody else can enter, in `base`. Refuses with code `EACCES` where `base` belongs to somebody
 * else or lets others replace what is in it, and with `ENAMETOOLONG` where a socket would not fit below it.
 */
export function privateDirectory(base?: string): PrivateDirectory {
  const [chosen, origin] = base === undefined ? defaultBase() : [base, 'the given directory'];
  let parent: string;
  try {
    // The parent may be reached by a symbolic link (macOS' /tmp); what is checked and used is the real one.
    parent = realpathSync(chosen);
  } catch (error) {
    throw systemError(
      codeOf(error) ?? 'ENOENT',
      `cannot make a private directory in ${quoted(chosen)} (${origin})`,
      error,
    );
  }
  if (!isWindows) {
    assertParent(parent, origin);
    assertSocketPathFits(
      join(parent, 'qm-XXXXXX', 's'),
      `let ${origin} name a shorter directory, or give an explicit address such as unix:/run/qm/s`,
    );
  }
  const path = mkdtempSync(join(parent, 'qm-'));
  try {
    assertPrivateDirectory(path);
  } catch (error) {
    rmSync(path, { recursive: true, force: true });
    throw error;
  }
  const socket = join(path, 's');
  return {
    path,
    address: isWindows ? `pipe:qm-${randomBytes(16).toString('hex')}` : `unix:${socket}`,
    connectionFile: connectionFileBeside(socket),
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
}

/** The connection file that belongs to a socket's path: its neighbour. `EADDRINUSE` learns the owner's pid from it. */
export function connectionFileBeside(socketPath: string): string {
  return `${socketPath}.json`;
}

/** The same for an address that a user chose; undefined for a pipe, which has no neighbours. */
export function connectionFileFor(address: string): string | undefined {
  const endpoint = parseAddress(address);
  return endpoint.kind === 'unix' ? connectionFileBeside(endpoint.path) : undefined;
}

function defaultBase(): readonly [path: string, origin: string] {
  const runtime = process.env['XDG_RUNTIME_DIR'];
  // A runtime directory that does not exist (a service without a login session) is as good as none.
  if (runtime !== undefined && isAbsolute(runtime) && lstatOf(runtime) !== undefined)
    return [runtime, 'XDG_RUNTIME_DIR'];
  return [tmpdir(), isWindows ? 'TEMP' : 'TMPDIR'];
}

/** The directory in which ours is made: others may write to it only if they cannot rename what is ours (sticky). */
function assertParent(path: string, origin: string): void {
  const stats = directoryStats(path);
  assertOwner(path, stats, `let ${origin} name a directory of your own`);
  if ((stats.mode & WRITABLE_BY_OTHERS) !== 0n && (stats.mode & STICKY) === 0n) {
    throw refusal(
      path,
      `others may write to it (mode ${modeOf(stats)}) and it is not sticky`,
      `run chmod go-w or chmod +t on it, or let ${origin} name another`,
    );
  }
}

/** Refuses a directory that is not ours alone: a real directory, our owner, mode 0700. */
export function assertPrivateDirectory(path: string): void {
  if (isWindows) return;
  const stats = directoryStats(path);
  if (!isOurs(stats)) throw refusal(path, `it belongs to uid ${stats.uid}`, 'choose a directory of your own');
  if ((stats.mode & ANY_OTHERS) !== 0n)
    throw refusal(path, `others may enter it (mode ${modeOf(stats)})`, 'run chmod 700 on it');
}

/**
 * Refuses a directory in which somebody else could replace a socket: servers call it before they bind, clients before
 * they connect. A sticky one such as /tmp is refused as well: others can take a name in it before we do.
 */
export function assertTrustedDirectory(path: string): void {
  if (isWindows) return;
  const stats = directoryStats(path);
  assertOwner(path, stats, 'choose a directory of your own');
  if ((stats.mode & WRITABLE_BY_OTHERS) === 0n) return;
  const sticky = (stats.mode & STICKY) !== 0n;
  throw refusal(
    path,
    `others may write to it (mode ${modeOf(stats)})`,
    sticky ? 'make a directory of your own in it (mkdir -m 700) and put the socket there' : 'run chmod go-w on it',
  );
}

/** It belongs to the user that this process runs as. */
export function isOurs(stats: BigIntStats): boolean {
  return Number(stats.uid) === process.geteuid?.();
}

/** Refuses a path whose owner is neither us nor root. */
export function assertOwner(path: string, stats: BigIntStats, remedy: string): void {
  if (!isOurs(stats) && stats.uid !== 0n) throw refusal(path, `it belongs to uid ${stats.uid}`, remedy);
}

function directoryStats(path: string): BigIntStats {
  const stats = lstatOf(path);
  if (stats === undefined)
    throw systemError('ENOENT', `the directory ${quoted(path)} does not exist; make it with mkdir -m 700`);
  if (stats.isSymbolicLink()) throw refusal(path, 'it is a symbolic link', 'name the directory itself');
  if (!stats.isDirectory()) throw systemError('ENOTDIR', `${quoted(path)} is not a directory`);
  return stats;
}

/**
 * What is at `path` itself, links not followed; undefined where nothing is. With bigints, because Node.js 20 keeps the
 * numbers of the last stat in one array, and its module loader takes those of a socket for a reason to follow no links:
 * a package linked into node_modules would be loaded a second time, under the path of its link.
 */
export function lstatOf(path: string): BigIntStats | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false });
}

function modeOf(stats: BigIntStats): string {
  return (Number(stats.mode) & 0o7777).toString(8).padStart(4, '0');
}

export function refusal(path: string, why: string, remedy: string): Error {
  return systemError('EACCES', `${quoted(path)} cannot be trusted: ${why}; ${remedy}`);
}
