/**
 * The file of an arena: memory that several processes of one host can read and write by position, without a name.
 *
 *     manager   creates it in /dev/shm, with no name at all (O_TMPFILE), mode 0600, and begins it with a nonce
 *     client    opens /proc/<manager's pid>/fd/<descriptor>, told on its connection, and looks for the nonce
 *
 * Whoever may open it so may also read the manager's memory: a process of the same user (proc(5), ptrace(2)). The nonce
 * shows that the pid was one of this host and of this process namespace. The system takes the memory back when the last
 * of them has closed it or has ended, however. Read and written by calls only, never mapped: where there is no room or
 * the file is shorter than was said, a call says so, and nobody gets a signal.
 */
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readSync,
  statfsSync,
  statSync,
  writevSync,
  writeSync,
} from 'node:fs';

/** Where regions begin. */
export const ARENA_START = 4096;
export const ARENA_NONCE_BYTES = 16;

const FOLDER = '/dev/shm';
const TMPFS = 0x0102_1994;
/** Node.js does not know its name. It has the bit of O_DIRECTORY in it, which is not the same on every processor. */
const TMPFILE = 0o2000_0000 | constants.O_DIRECTORY;
/** Most pieces that the system takes in one call. */
const PIECES = 1024;

/** Bytes that are free where arenas lie: 0 where there can be none. */
export function roomForArenas(): number {
  if (process.platform !== 'linux') return 0;
  try {
    const { type, bavail, bsize } = statfsSync(FOLDER);
    return type === TMPFS ? bavail * bsize : 0;
  } catch {
    return 0;
  }
}

/** Its descriptor, which the caller owns; undefined where there can be none. */
export function createArenaFile(nonce: Uint8Array): number | undefined {
  return attempt(
    () => openSync(FOLDER, TMPFILE | constants.O_RDWR | constants.O_EXCL, 0o600),
    (file) => writeSync(file, nonce, 0, nonce.length, 0) === nonce.length,
  );
}

/** The file behind a descriptor of another process; undefined where it cannot be reached from here, or is another one. */
export function openArenaFile(pid: number, descriptor: number, nonce: Uint8Array, write: boolean): number | undefined {
  if (process.platform !== 'linux') return undefined;
  const path = `/proc/${pid}/fd/${descriptor}`;
  return attempt(
    () => {
      // Before it is opened: what a stranger's descriptor leads to may be a device.
      const { nlink, uid } = statSync(path);
      if (nlink !== 0 || uid !== process.geteuid?.()) throw new Error('no file of ours without a name');
      return openSync(
        path,
        (write ? constants.O_RDWR : constants.O_RDONLY) | constants.O_NONBLOCK | constants.O_NOCTTY,
      );
    },
    (file) => {
      const begins = Buffer.alloc(ARENA_NONCE_BYTES);
      return fstatSync(file).isFile() && readAll(file, begins, 0, 0) && begins.equals(nonce);
    },
  );
}

/** Whether the file is so long. */
export function reaches(file: number, end: number): boolean {
  return fstatSync(file).size >= end;
}

/** Fills `into` from `at` on with what lies at `position`. False where the file is too short: the rest is zeros. */
export function readAll(file: number, into: Buffer, at: number, position: number): boolean {
  for (let done = at; done < into.length;) {
    const bytes = readSync(file, into, done, into.length - done, position + done - at);
    if (bytes === 0) {
      into.fill(0, done);
      return false;
    }
    done += bytes;
  }
  return true;
}

/** Writes them one after the other. False where there is no room. */
export function writeAll(file: number, pieces: readonly Uint8Array[], position: number): boolean {
  let left = pieces;
  let at = position;
  try {
    while (left.length > 0) {
      const written = writevSync(file, left.slice(0, PIECES), at);
      if (written === 0) return false;
      at += written;
      left = behind(left, written);
    }
    return true;
  } catch {
    return false;
  }
}

/** What is left of the pieces after so many bytes of them; empty pieces go. */
function behind(pieces: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  let left = bytes;
  let i = 0;
  for (; i < pieces.length && left >= (pieces[i] as Uint8Array).length; i++) left -= (pieces[i] as Uint8Array).length;
  return left === 0 ? pieces.slice(i) : [(pieces[i] as Uint8Array).subarray(left), ...pieces.slice(i + 1)];
}

/** The descriptor of what `open` opens, if it is what it should be. */
function attempt(open: () => number, check: (file: number) => boolean): number | undefined {
  let file: number | undefined;
  try {
    file = open();
    if (check(file)) return file;
  } catch {
    // There is none, then.
  }
  if (file !== undefined) closeSync(file);
  return undefined;
}
