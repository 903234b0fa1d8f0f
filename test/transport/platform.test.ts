import { spawn } from 'node:child_process';
import fs, {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { readConnectionFile, writeConnectionFile } from '#qm/transport/connection-file.js';
import { plainNet } from '#qm/transport/net.js';
import { nodeIpc } from '#qm/transport/node-ipc.js';
import {
  assertPrivateDirectory,
  connectionFileFor,
  maxSocketPath,
  parseAddress,
  privateDirectory,
} from '#qm/transport/platform.js';
import type { Listener, Medium, Transport } from '#qm/transport/transport.js';

const root = process.geteuid?.() === 0;
const foreignUid = 12_345;
const media: [string, Medium][] = [
  ['node-ipc', nodeIpc],
  ['net', plainNet],
];

let directory: string;
const listeners: Listener[] = [];

beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'qm-')));
});

afterEach(async () => {
  vi.unstubAllEnvs();
  for (const listener of listeners.splice(0)) await listener.close();
  rmSync(directory, { recursive: true });
});

const at = (name: string): string => join(directory, name);

async function listen(medium: Medium, path: string, accept = (transport: Transport): void => transport.destroy()) {
  const listener = await medium.listen(`unix:${path}`, accept, { maxConnections: 100 });
  listeners.push(listener);
  return listener;
}

/** A socket file whose listener is gone: what a killed manager leaves. */
async function leaveStaleSocket(path: string): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(`${path}-live`, resolve));
  renameSync(`${path}-live`, path); // libuv unlinks the name it has bound, so another name stays
  await new Promise((resolve) => server.close(resolve));
  expect(lstatSync(path).isSocket()).toBe(true);
}

/** Makes a directory with the mode, whatever the umask. */
function makeDirectory(path: string, mode: number): string {
  mkdirSync(path);
  chmodSync(path, mode);
  return path;
}

const modeOf = (path: string): number => lstatSync(path).mode & 0o7777;

describe('addresses', () => {
  test('a Unix socket', () => {
    expect(parseAddress('unix:/run/qm/s')).toEqual({ kind: 'unix', path: '/run/qm/s' });
  });

  test.each([
    '',
    '/run/qm',
    'unix',
    'unix:',
    'unix:relative',
    'unix:@abstract',
    'unix:\0abstract',
    'unix:/a\0b',
    'unix:/dir/',
    'pipe:',
    'pipe:a/b',
    'http://host',
  ])('%j is none', (address) => {
    expect(() => parseAddress(address)).toThrow(TypeError);
  });

  test.each(['tcp://127.0.0.1:5000', 'tls://host:5000'])('%s comes later, and says so', async (address) => {
    expect(() => parseAddress(address)).toThrow('comes with a later release; use unix:');
    await expect(nodeIpc.connect(address)).rejects.toMatchObject({ code: 'ENOTSUP' });
    await expect(nodeIpc.listen(address, () => {}, { maxConnections: 1 })).rejects.toMatchObject({ code: 'ENOTSUP' });
  });

  test.runIf(process.platform !== 'win32')('named pipes are for Windows', () => {
    expect(() => parseAddress('pipe:quartermaster')).toThrow('use unix:/path');
  });

  test('control characters of an address are escaped in messages', () => {
    expect(() => parseAddress('unix:a\u001b[31m')).toThrow('"unix:a\\u001b[31m"');
  });
});

describe('C10 the length of a socket path', () => {
  const pathOf = (bytes: number): string => `${directory}/${'x'.repeat(bytes - directory.length - 1)}`;

  test.each(media)(
    'C10 %s: one byte over the limit is refused before bind, with the length and a remedy',
    async (_, medium) => {
      const path = pathOf(maxSocketPath + 1);
      const message = `is ${maxSocketPath + 1} bytes long; at most ${maxSocketPath} fit: choose a shorter address`;
      await expect(listen(medium, path)).rejects.toThrow(message);
      await expect(listen(medium, path)).rejects.toMatchObject({ code: 'ENAMETOOLONG' });
      await expect(medium.connect(`unix:${path}`)).rejects.toThrow(message);
      expect(readdirSync(directory)).toEqual([]);
    },
  );

  test.each(media)('C10 %s: the longest path works, also with a name of one character', async (_, medium) => {
    const deep = pathOf(maxSocketPath - 2);
    mkdirSync(deep, { mode: 0o700 });
    for (const path of [pathOf(maxSocketPath), `${deep}/s`]) {
      expect(Buffer.byteLength(path)).toBe(maxSocketPath);
      await leaveStaleOrNothing(path);
      await listen(medium, path);
      (await medium.connect(`unix:${path}`)).destroy();
    }
    expect(readdirSync(deep)).toEqual(['s']);
  });

  /** A stale socket too, where its temporary name still fits: it is moved aside under a name that must fit as well. */
  async function leaveStaleOrNothing(path: string): Promise<void> {
    const short = at('short');
    await leaveStaleSocket(short);
    renameSync(short, path);
  }

  test('C10 bytes count, not characters', () => {
    const path = `/${'ü'.repeat(60)}`;
    expect(() => parseAddress(`unix:${path}`)).toThrow('is 121 bytes long');
  });

  test('C10 a base that is too long is refused before anything is made, naming the variable', () => {
    const long = join(directory, 'x'.repeat(100));
    mkdirSync(long, { mode: 0o700 });
    vi.stubEnv('XDG_RUNTIME_DIR', long);
    expect(() => privateDirectory()).toThrow(
      /is \d+ bytes long; at most 10[37] fit: let XDG_RUNTIME_DIR name a shorter directory, or give an explicit address/,
    );
    vi.stubEnv('XDG_RUNTIME_DIR', undefined);
    vi.stubEnv('TMPDIR', long);
    expect(() => privateDirectory()).toThrow('let TMPDIR name a shorter directory');
    expect(readdirSync(long)).toEqual([]);
  });

  test('C10 the default path is short', () => {
    const made = privateDirectory(directory);
    expect(made.address.length - `unix:${directory}`.length).toBeLessThanOrEqual('/qm-XXXXXX/s'.length);
  });
});

describe('the private directory', () => {
  test('S4 is fresh, ours alone, and goes with all that is in it', async () => {
    const first = privateDirectory(directory);
    const second = privateDirectory(directory);
    expect(first.path).not.toBe(second.path);
    expect(dirname(first.path)).toBe(directory);
    expect(modeOf(first.path)).toBe(0o700);
    assertPrivateDirectory(first.path);
    listeners.push(await nodeIpc.listen(first.address, (transport) => transport.destroy(), { maxConnections: 1 }));
    writeConnectionFile(first.connectionFile, { address: first.address, authKey: 'c2VjcmV0', pid: process.pid });
    expect(readdirSync(first.path)).toEqual(['s', 's.json']);
    expect(connectionFileFor(first.address)).toBe(first.connectionFile);
    first.remove();
    first.remove();
    expect(existsSync(first.path)).toBe(false);
    second.remove();
  });

  test('S4 nothing weakens its mode: not the umask', () => {
    const before = process.umask(0);
    try {
      expect(modeOf(privateDirectory(directory).path)).toBe(0o700);
    } finally {
      process.umask(before);
    }
  });

  test('XDG_RUNTIME_DIR first, then the temporary directory', () => {
    const runtime = makeDirectory(at('runtime'), 0o700);
    vi.stubEnv('XDG_RUNTIME_DIR', runtime);
    vi.stubEnv('TMPDIR', directory);
    expect(dirname(privateDirectory().path)).toBe(runtime);
    for (const none of [undefined, at('gone'), 'relative']) {
      vi.stubEnv('XDG_RUNTIME_DIR', none);
      expect(dirname(privateDirectory().path)).toBe(directory);
    }
  });

  test('a base that does not exist is named', () => {
    expect(() => privateDirectory(at('gone'))).toThrow(`cannot make a private directory in "${at('gone')}"`);
  });

  test('S5 a base in which others may rename our directory is refused', () => {
    const base = makeDirectory(at('base'), 0o777);
    vi.stubEnv('XDG_RUNTIME_DIR', base);
    expect(() => privateDirectory()).toThrow('others may write to it (mode 0777) and it is not sticky');
    chmodSync(base, 0o775);
    expect(() => privateDirectory()).toThrow(expect.objectContaining({ code: 'EACCES' }));
    expect(readdirSync(base)).toEqual([]);
    chmodSync(base, 0o1777);
    expect(dirname(privateDirectory().path)).toBe(base);
  });

  test.runIf(root)("S5 somebody else's base is refused", () => {
    const base = makeDirectory(at('base'), 0o700);
    chownSync(base, foreignUid, foreignUid);
    expect(() => privateDirectory(base)).toThrow(`it belongs to uid ${foreignUid}`);
    expect(readdirSync(base)).toEqual([]);
  });

  test('S5 a base behind a link is used by its real path', () => {
    const base = makeDirectory(at('base'), 0o700);
    symlinkSync(base, at('link'));
    expect(dirname(privateDirectory(at('link')).path)).toBe(base);
  });

  test('S5 what is not 0700 and ours is not private', () => {
    expect(() => assertPrivateDirectory(makeDirectory(at('open'), 0o750))).toThrow('others may enter it (mode 0750)');
    symlinkSync(makeDirectory(at('real'), 0o700), at('link'));
    expect(() => assertPrivateDirectory(at('link'))).toThrow('it is a symbolic link');
    writeFileSync(at('file'), '');
    expect(() => assertPrivateDirectory(at('file'))).toThrow('is not a directory');
  });
});

describe.each(media)('S5 %s: a socket is bound and looked for in trusted directories only', (_, medium) => {
  async function refusedBoth(path: string, why: string): Promise<void> {
    const before = readdirSync(dirname(path));
    await expect(listen(medium, path)).rejects.toThrow(why);
    await expect(medium.connect(`unix:${path}`)).rejects.toThrow(why);
    expect(readdirSync(dirname(path))).toEqual(before);
  }

  test('S5 others may write to it: refused, with a remedy', async () => {
    await refusedBoth(
      join(makeDirectory(at('world'), 0o777), 's'),
      'others may write to it (mode 0777); run chmod go-w',
    );
    await refusedBoth(
      join(makeDirectory(at('group'), 0o770), 's'),
      'others may write to it (mode 0770); run chmod go-w',
    );
  });

  test('S5 sticky like /tmp: refused, because others may take the name first', async () => {
    const sticky = makeDirectory(at('sticky'), 0o1777);
    await refusedBoth(join(sticky, 's'), 'make a directory of your own in it (mkdir -m 700)');
  });

  test('S5 a link in place of the directory: refused', async () => {
    symlinkSync(makeDirectory(at('real'), 0o700), at('link'));
    await refusedBoth(join(at('link'), 's'), 'it is a symbolic link; name the directory itself');
  });

  test('S5 no such directory', async () => {
    await expect(listen(medium, at('gone/s'))).rejects.toThrow(`the directory "${at('gone')}" does not exist`);
  });

  test('S5 a directory that others may read is fine; the socket in it is closed to them', async () => {
    const path = join(makeDirectory(at('readable'), 0o755), 's');
    const before = process.umask(0);
    try {
      await listen(medium, path);
    } finally {
      process.umask(before);
    }
    expect(modeOf(path)).toBe(0o600);
    (await medium.connect(`unix:${path}`)).destroy();
  });

  test.runIf(root)("S5 somebody else's directory, somebody else's socket: refused", async () => {
    const foreign = makeDirectory(at('foreign'), 0o700);
    chownSync(foreign, foreignUid, foreignUid);
    await refusedBoth(join(foreign, 's'), `it belongs to uid ${foreignUid}`);
    await listen(medium, at('s'));
    chownSync(at('s'), foreignUid, foreignUid);
    await expect(medium.connect(`unix:${at('s')}`)).rejects.toThrow(`it belongs to uid ${foreignUid}`);
    await expect(listen(medium, at('s'))).rejects.toThrow(`it is a socket of uid ${foreignUid}`);
  });

  test('S5 a link or a file in place of the socket: refused, and left alone', async () => {
    await listen(medium, at('real'));
    symlinkSync(at('real'), at('link'));
    await expect(medium.connect(`unix:${at('link')}`)).rejects.toThrow('it is a symbolic link; name the socket itself');
    await expect(listen(medium, at('link'))).rejects.toThrow('exists and is not a socket');
    writeFileSync(at('file'), 'precious');
    await expect(medium.connect(`unix:${at('file')}`)).rejects.toThrow('is not a socket');
    await expect(listen(medium, at('file'))).rejects.toMatchObject({ code: 'EEXIST' });
    expect(readFileSync(at('file'), 'utf8')).toBe('precious');
    expect(readdirSync(directory).sort()).toEqual(['file', 'link', 'real']);
  });

  test('S5 nothing is made or changed beside the socket, wherever it lies', async () => {
    // The place where node-ipc keeps its own sockets: below it, it would mkdir and chmod.
    vi.stubEnv('XDG_RUNTIME_DIR', directory);
    const own = makeDirectory(at('node-ipc'), 0o755);
    await listen(medium, join(own, 's'));
    expect(modeOf(own)).toBe(0o755);
    expect(readdirSync(own)).toEqual(['s']);
    expect(readdirSync(directory)).toEqual(['node-ipc']);
  });
});

/** What another user gets who connects to the socket: an error's code, or 'connected'. */
async function asNobody(socket: string): Promise<string> {
  const attempt = `require('node:net').connect(${JSON.stringify(socket)})
    .on('error', (error) => console.log(error.code))
    .on('connect', function () { console.log('connected'); this.destroy(); })`;
  const child = spawn(process.execPath, ['-e', attempt], {
    uid: 65_534,
    gid: 65_534,
    cwd: '/',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.on('data', (chunk) => (said += String(chunk)));
  await new Promise((resolve) => child.once('close', resolve));
  return said.trim();
}

test.runIf(root)('S4 another user cannot reach the socket, and it has no abstract name', async () => {
  // Not below the folder of this run, which keeps others out by itself.
  const made = privateDirectory('/tmp');
  try {
    listeners.push(await nodeIpc.listen(made.address, (transport) => transport.destroy(), { maxConnections: 10 }));
    const path = made.address.slice('unix:'.length);
    expect(await asNobody(path)).toBe('EACCES');
    chmodSync(made.path, 0o711);
    expect(await asNobody(path)).toBe('EACCES'); // the socket's own mode
    chmodSync(path, 0o666);
    expect(await asNobody(path)).toBe('connected'); // so it was these two that kept it out
    if (process.platform === 'linux') {
      const names = readFileSync('/proc/net/unix', 'utf8').split('\n');
      const ours = names.filter((line) => line.includes(basename(made.path)));
      expect(ours.length).toBeGreaterThan(0);
      expect(ours.filter((line) => line.includes('@'))).toEqual([]);
    }
  } finally {
    made.remove();
  }
});

describe.each(media)('M4 %s: a path that is taken', (_, medium) => {
  test('M4 a stale socket is replaced', async () => {
    await leaveStaleSocket(at('s'));
    await expect(medium.connect(`unix:${at('s')}`)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await listen(medium, at('s'));
    (await medium.connect(`unix:${at('s')}`)).destroy();
    expect(readdirSync(directory)).toEqual(['s']);
  });

  test("M4 a live owner is left alone, and named by its connection file's pid", async () => {
    let accepted = 0;
    await listen(medium, at('s'), (transport) => {
      accepted++;
      transport.destroy();
    });
    await expect(listen(medium, at('s'))).rejects.toThrow(`a live process listens at "${at('s')}" already`);
    writeConnectionFile(at('s.json'), { address: `unix:${at('s')}`, authKey: 'c2VjcmV0', pid: 4711 });
    const refused = listen(medium, at('s'));
    await expect(refused).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await expect(refused).rejects.toThrow('process 4711 listens at');
    const options = { maxConnections: 1, ownerOf: () => 815 };
    await expect(medium.listen(`unix:${at('s')}`, () => {}, options)).rejects.toThrow('process 815 listens at');
    (await medium.connect(`unix:${at('s')}`)).destroy();
    expect(readdirSync(directory).sort()).toEqual(['s', 's.json']);
    expect(accepted).toBeGreaterThan(0);
  });

  test('M4 of many that come to one stale path at once, one gets it and keeps it', async () => {
    await leaveStaleSocket(at('s'));
    const attempts = await Promise.allSettled(Array.from({ length: 20 }, () => listen(medium, at('s'))));
    const refused = attempts.filter((attempt) => attempt.status === 'rejected');
    expect(refused.map(({ reason }) => (reason as { code: string }).code)).toEqual(Array(19).fill('EADDRINUSE'));
    expect(readdirSync(directory)).toEqual(['s']);
    (await medium.connect(`unix:${at('s')}`)).destroy();
  });

  test('M4 a live socket that takes the path at the last moment is put back and left alone', async () => {
    await leaveStaleSocket(at('s'));
    const other = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => other.listen(at('other'), resolve));
    const { renameSync: rename } = fs;
    fs.renameSync = (from, to) => {
      fs.renameSync = rename;
      syncBuiltinESMExports();
      fs.unlinkSync(at('s')); // what another manager does that found the same stale socket
      fs.linkSync(at('other'), at('s'));
      rename(from, to);
    };
    syncBuiltinESMExports();
    await expect(listen(medium, at('s'))).rejects.toMatchObject({ code: 'EADDRINUSE' });
    expect(fs.renameSync).toBe(rename);
    expect(lstatSync(at('s')).ino).toBe(lstatSync(at('other')).ino);
    (await medium.connect(`unix:${at('s')}`)).destroy();
    expect(readdirSync(directory).sort()).toEqual(['other', 's']);
    await new Promise((resolve) => other.close(resolve));
  });

  test('M4 a listener that closes takes only its own socket away', async () => {
    const first = await listen(medium, at('s'));
    renameSync(at('s'), at('moved'));
    await listen(medium, at('s'));
    await first.close();
    (await medium.connect(`unix:${at('s')}`)).destroy();
    expect(readdirSync(directory).sort()).toEqual(['moved', 's']);
  });

  test('M4 the socket is gone as soon as close() returns, so that it may run on exit', async () => {
    const listener = await listen(medium, at('s'));
    void listener.close();
    expect(readdirSync(directory)).toEqual([]);
  });
});

describe('the connection file', () => {
  const info = {
    address: 'unix:/run/qm/s',
    authKey: Buffer.from('a key of 32 bytes, or thereabouts').toString('base64'),
    pid: 4711,
  };
  const key = info.authKey;

  test('what was written is read; mode 0600 whatever the umask', () => {
    let remove = (): void => {};
    for (const mask of [0, 0o777]) {
      const before = process.umask(mask);
      try {
        remove = writeConnectionFile(at('c.json'), info);
      } finally {
        process.umask(before);
      }
      expect(modeOf(at('c.json'))).toBe(0o600);
      expect(readConnectionFile(at('c.json'))).toEqual(info);
    }
    expect(readdirSync(directory)).toEqual(['c.json']);
    remove();
    remove();
    expect(readdirSync(directory)).toEqual([]);
  });

  test('M4 a connection file that another manager has put in its place is left alone', () => {
    const remove = writeConnectionFile(at('c.json'), info);
    writeConnectionFile(at('c.json'), { ...info, pid: 4712 });
    remove();
    expect(readConnectionFile(at('c.json')).pid).toBe(4712);
  });

  test('S5 a link in its place is replaced, not followed', () => {
    writeFileSync(at('victim'), 'precious');
    symlinkSync(at('victim'), at('c.json'));
    expect(() => readConnectionFile(at('c.json'))).toThrow('it is a symbolic link');
    writeConnectionFile(at('c.json'), info);
    expect(readFileSync(at('victim'), 'utf8')).toBe('precious');
    expect(lstatSync(at('c.json')).isFile()).toBe(true);
  });

  test('S5 it is not written where others could replace it, and nothing is left of a failure', () => {
    const world = makeDirectory(at('world'), 0o777);
    expect(() => writeConnectionFile(join(world, 'c.json'), info)).toThrow('others may write to it');
    mkdirSync(at('taken.json'));
    expect(() => writeConnectionFile(at('taken.json'), info)).toThrow();
    expect(readdirSync(world)).toEqual([]);
    expect(readdirSync(directory).sort()).toEqual(['taken.json', 'world']);
  });

  test.each([0o640, 0o604, 0o660])('S7 mode %o is refused: others may know the key', (mode) => {
    writeConnectionFile(at('c.json'), info);
    chmodSync(at('c.json'), mode);
    expect(() => readConnectionFile(at('c.json'))).toThrow(`its mode is 0${mode.toString(8)}, so others know its key`);
  });

  test.runIf(root)("S5 somebody else's file is refused", () => {
    writeConnectionFile(at('c.json'), info);
    chownSync(at('c.json'), foreignUid, foreignUid);
    expect(() => readConnectionFile(at('c.json'))).toThrow(`it belongs to uid ${foreignUid}`);
  });

  test('what is not a regular file is refused', async () => {
    expect(() => readConnectionFile(at('gone.json'))).toThrow('it does not exist; is the manager running?');
    expect(() => readConnectionFile(directory)).toThrow('it is not a regular file');
    await listen(plainNet, at('s'));
    expect(() => readConnectionFile(at('s'))).toThrow();
  });

  const malformed: [what: string, text: string, why: string][] = [
    ['no JSON', `${key} is the key`, 'it is not JSON'],
    ['empty', '', 'it is not JSON'],
    ['null', 'null', 'it is not a JSON object'],
    ['a string', `"${key}"`, 'it is not a JSON object'],
    ['no address', JSON.stringify({ authKey: key, pid: 1 }), '"address" is not an address'],
    ['an address without a scheme', JSON.stringify({ ...info, address: '/run/qm/s' }), '"address" is not an address'],
    ['no key', JSON.stringify({ address: info.address, pid: 1 }), '"authKey" is not base64'],
    ['a key that is not base64', JSON.stringify({ ...info, authKey: `${key}!` }), '"authKey" is not base64'],
    ['no pid', JSON.stringify({ ...info, pid: undefined }), '"pid" is not a process id'],
    ['a pid of 0', JSON.stringify({ ...info, pid: 0 }), '"pid" is not a process id'],
    ['huge', JSON.stringify({ ...info, more: 'x'.repeat(70_000) }), 'bytes'],
  ];

  test.each(malformed)('S7 malformed (%s): a clear error without a word of its text', (_, text, why) => {
    writeFileSync(at('c.json'), text, { mode: 0o600 });
    let error: unknown;
    try {
      readConnectionFile(at('c.json'));
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ code: 'EINVAL' });
    expect(String(error)).toContain(why);
    const { message, stack, cause } = error as Error;
    expect(`${message} ${stack} ${String(cause)}`).not.toContain(key.slice(0, 12));
  });

  test('a second link to the file changes nothing', () => {
    writeConnectionFile(at('c.json'), info);
    linkSync(at('c.json'), at('d.json'));
    expect(readConnectionFile(at('d.json'))).toEqual(info);
  });
});
