/**
 * Taking a Unix socket's path without ever stealing it. bind() alone cannot: a stale file of a dead manager blocks it,
 * and unlink-then-bind removes a live socket when two managers do it at once. So:
 *
 *     bind and listen at a temporary name beside it ── link() ──▶ path       atomic; fails if anything is there
 *                                                        │ EEXIST
 *                                                        ▼
 *     a socket of ours? ── connect ──▶ answered: EADDRINUSE      refused: nobody can listen on that inode again,
 *                                                                bury it and link() once more
 *
 * What is at the path therefore always listens or is dead: there is no moment between bind and listen at which a live
 * one refuses. link() also keeps the path out of libuv's hands, which unlinks the name it has bound when it closes,
 * whoever has that name by then.
 */
import { chmodSync, linkSync, lstatSync, renameSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import { codeOf, maxSocketPath, quoted, systemError, type Endpoint } from './address.ts';
import { readConnectionFile } from './connection-file.ts';
import { assertOwner, assertTrustedDirectory, connectionFileBeside, isOurs, lstatOf, refusal } from './platform.ts';

export type OwnerOf = (path: string) => number | undefined;

/** A path on its way to being ours: bind at `bindPath`, listen, `publish()`, and `release()` in the end. */
export interface SocketClaim {
  readonly bindPath: string;
  /** Puts the listening socket at its path. Rejects (`EADDRINUSE`, `EACCES`, `EEXIST`) and leaves what is there. */
  publish(): Promise<void>;
  /** Takes away what we put there and nothing else. Synchronous; harmless when repeated. */
  release(): void;
}

/** Checks that the endpoint may be bound at all (S5) and says where. */
export function claimEndpoint(endpoint: Endpoint, ownerOf: OwnerOf = ownerByConnectionFile): SocketClaim {
  // A pipe's name is gone with its owner, so there is nothing stale; Windows refuses a second owner by itself.
  if (endpoint.kind === 'pipe') return { bindPath: endpoint.path, publish: async () => {}, release: () => {} };
  assertTrustedDirectory(dirname(endpoint.path));
  return new UnixClaim(endpoint.path, ownerOf);
}

/** Checks that what a client is about to connect to can only be a socket of ours or root's (S5); returns its path. */
export function reachEndpoint(endpoint: Endpoint): string {
  if (endpoint.kind === 'pipe') return endpoint.path;
  const { path } = endpoint;
  assertTrustedDirectory(dirname(path));
  const stats = lstatOf(path);
  if (stats === undefined) throw systemError('ENOENT', 'there is no such socket');
  if (stats.isSymbolicLink()) throw refusal(path, 'it is a symbolic link', 'name the socket itself');
  if (!stats.isSocket()) throw systemError('ENOTSOCK', `${quoted(path)} is not a socket`);
  assertOwner(path, stats, 'connect to a manager of your own');
  return path;
}

class UnixClaim implements SocketClaim {
  readonly bindPath: string;
  readonly #path: string;
  readonly #ownerOf: OwnerOf;
  #published: Identity | undefined;

  constructor(path: string, ownerOf: OwnerOf) {
    this.#path = path;
    this.#ownerOf = ownerOf;
    this.bindPath = freeNameBeside(path);
  }

  async publish(): Promise<void> {
    // In a directory of mode 0755 the socket's own mode is what keeps others out.
    chmodSync(this.bindPath, 0o600);
    const ours = identityOf(this.bindPath);
    // Each round either ends it or has removed one dead socket; only managers that die in a row make more than two.
    for (let round = 0; round < 10; round++) {
      try {
        linkSync(this.bindPath, this.#path);
      } catch (error) {
        if (codeOf(error) !== 'EEXIST') throw error;
        await removeStale(this.#path, this.#ownerOf);
        continue;
      }
      this.#published = ours;
      unlinkSync(this.bindPath);
      return;
    }
    throw systemError('EADDRINUSE', `${quoted(this.#path)} is taken by others again and again`);
  }

  release(): void {
    const ours = this.#published;
    this.#published = undefined;
    if (ours === undefined) return; // the temporary name goes with its handle, by libuv
    const found = lstatSync(this.#path, { bigint: true, throwIfNoEntry: false });
    if (found !== undefined && sameIdentity(found, ours)) unlinkSync(this.#path);
  }
}

/** Removes a dead socket of ours at `path`; throws where it is anything else. */
async function removeStale(path: string, ownerOf: OwnerOf): Promise<void> {
  const stats = lstatOf(path);
  if (stats === undefined) return;
  if (!stats.isSocket()) {
    throw systemError('EEXIST', `${quoted(path)} exists and is not a socket; remove it or choose another address`);
  }
  if (!isOurs(stats)) {
    throw refusal(path, `it is a socket of uid ${stats.uid}`, 'choose another address');
  }
  const found = identityOf(path);
  const answer = await probe(path);
  if (answer === 'ENOENT') return;
  if (answer === 'ECONNREFUSED') {
    bury(path, found);
    return;
  }
  // EAGAIN is a live owner whose backlog is full. Whatever else was said, it was not "nobody".
  const pid = ownerOf(path);
  const who = pid === undefined ? 'a live process' : `process ${pid}`;
  const doubt = answer === undefined || answer === 'EAGAIN' ? '' : ` (${answer})`;
  throw systemError('EADDRINUSE', `${who} listens at ${quoted(path)} already${doubt}; choose another address`);
}

/** Connects and hangs up. Resolves to the error's code, undefined if somebody answered. */
function probe(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve(undefined);
    });
    socket.once('error', (error) => resolve(codeOf(error) ?? 'unknown error'));
  });
}

/**
 * Removes the dead socket `dead` from `path`. Between the last look and the rename another manager may have done the
 * same and published its live socket: that one is put back where it was. All of it is one synchronous stretch.
 */
function bury(path: string, dead: Identity): void {
  const grave = freeNameBeside(path);
  try {
    if (!sameIdentity(identityOf(path), dead)) return;
    renameSync(path, grave);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  if (!sameIdentity(identityOf(grave), dead)) linkSync(grave, path);
  unlinkSync(grave);
}

interface Identity {
  readonly dev: bigint;
  readonly ino: bigint;
}

function identityOf(path: string): Identity {
  return lstatSync(path, { bigint: true });
}

function sameIdentity(a: Identity, b: Identity): boolean {
  return a.ino === b.ino && a.dev === b.dev;
}

/** A name in the same directory that nothing has: eight characters, fewer where the limit on paths leaves no room. */
function freeNameBeside(path: string): string {
  const directory = dirname(path);
  const length = Math.min(8, maxSocketPath - Buffer.byteLength(directory) - 1);
  for (let attempt = 0; attempt < 1000; attempt++) {
    const name = join(directory, randomBytes(6).toString('base64url').slice(0, length));
    if (lstatOf(name) === undefined) return name;
  }
  throw systemError('EEXIST', `no free name beside ${quoted(path)} for a temporary socket; choose a shorter directory`);
}

function ownerByConnectionFile(path: string): number | undefined {
  try {
    return readConnectionFile(connectionFileBeside(path)).pid;
  } catch {
    return undefined; // no file, or not one to believe: the message does without the pid
  }
}
