/** Where managers live and who may reach them there: `listen()`, `startManager()` and `connect()` at real paths. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { AuthenticationError, connect, Manager, ManagerGoneError, startManager, startWorkers } from 'quartermaster';
import { listening, managerProcess } from '../kit/listening.ts';
import { run } from '../kit/run.ts';

const root = process.geteuid?.() === 0;
const foreignUid = 12_345;
const key = 'a key of the tests';

let directory: string;
beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'qm-')));
  return () => rmSync(directory, { recursive: true });
});

const at = (name: string): string => join(directory, name);
const modeOf = (path: string): number => lstatSync(path).mode & 0o7777;

function newManager(): Manager {
  const manager = new Manager({ authKey: key });
  onTestFinished(() => manager.close());
  return manager;
}

/** Nothing was begun, and nothing is left of it. */
async function expectRefused(address: string, error: object): Promise<void> {
  const before = readdirSync(directory).sort();
  await expect(newManager().listen(address)).rejects.toMatchObject(error);
  await expect(startManager({ address, authKey: key })).rejects.toMatchObject(error);
  expect(readdirSync(directory).sort()).toEqual(before);
}

describe('C10 the length of a path', () => {
  test('C10 107 bytes are listened at and connected to; 108 are refused with the length, on both sides', async () => {
    const longest = at('x'.repeat(107 - directory.length - 1));
    expect(longest.length).toBe(107);
    const { address, connectionFile } = await newManager().listen(`unix:${longest}`);
    expect(connectionFile).toBe(`${longest}.json`);
    for (const target of [address, connectionFile]) {
      const client = await connect(target, { authKey: key });
      await client.counter('n').add(1);
      await client.close();
    }
    const error = {
      code: 'ENAMETOOLONG',
      message: expect.stringContaining('is 108 bytes long; at most 107 fit') as string,
    };
    await expect(connect(`unix:${longest}x`, { authKey: key })).rejects.toMatchObject(error);
    const other = at(`y${'x'.repeat(107 - directory.length - 1)}`);
    await expectRefused(`unix:${other}`, error);
  });
});

describe('M4 a path that is taken', () => {
  test('M4 the socket of a manager that was killed is recovered, its connection file replaced', async () => {
    const address = `unix:${at('s')}`;
    const killed = await managerProcess({ address });
    const { pid } = killed;
    const lost = killed.lock('l').acquire();
    await (await lost).release();
    const waiting = killed.queue('q').get();
    process.kill(pid, 'SIGKILL');
    await expect(waiting).rejects.toThrow(ManagerGoneError);
    expect(lstatSync(at('s')).isSocket()).toBe(true);
    await expect(connect(at('s.json'))).rejects.toMatchObject({
      code: 'ECONNREFUSED',
      message: expect.stringContaining('nobody listens at') as string,
    });

    const next = await managerProcess({ address });
    expect(next.pid).not.toBe(pid);
    expect(next.connectionFile).toBe(at('s.json'));
    const client = await connect(at('s.json'));
    onTestFinished(() => client.close());
    expect(client.pid).toBe(next.pid);
    await next.shutdown();
    expect(readdirSync(directory)).toEqual([]);
  });

  test('M4 a live owner is named by its pid, keeps its path, and is not disturbed', async () => {
    const address = `unix:${at('s')}`;
    const owner = await managerProcess({ address });
    const file = readFileSync(at('s.json'), 'utf8');
    await expectRefused(address, {
      code: 'EADDRINUSE',
      message: expect.stringContaining(`process ${owner.pid} listens at`) as string,
    });
    expect(readFileSync(at('s.json'), 'utf8')).toBe(file);
    expect(await owner.counter('n').add(1)).toBe(1);
    const client = await connect(at('s.json'));
    expect(await client.counter('n').add(1)).toBe(2);
    await client.close();
  });

  test('M4 a manager that was refused can listen elsewhere', async () => {
    const address = `unix:${at('s')}`;
    await newManager().listen(address);
    const other = newManager();
    const listeners = process.listenerCount('exit');
    for (let i = 0; i < 20; i++) await expect(other.listen(address)).rejects.toMatchObject({ code: 'EADDRINUSE' });
    expect(process.listenerCount('exit')).toBe(listeners);
    const { connectionFile } = await other.listen(`unix:${at('t')}`);
    await (await connect(connectionFile)).close();
  });

  test('M4 what is no socket is never removed', async () => {
    writeFileSync(at('file'), 'mine');
    mkdirSync(at('folder'));
    writeFileSync(at('target'), 'mine too');
    symlinkSync(at('target'), at('link'));
    for (const name of ['file', 'folder', 'link']) await expectRefused(`unix:${at(name)}`, { code: 'EEXIST' });
    expect(readFileSync(at('file'), 'utf8')).toBe('mine');
    expect(readFileSync(at('link'), 'utf8')).toBe('mine too');
  });

  test('M4 a file that only has the name of a connection file is never replaced', async () => {
    for (const text of ['{"my": "settings"}', 'not even JSON', '']) {
      writeFileSync(at('app.json'), text, { mode: 0o600 });
      await expectRefused(`unix:${at('app')}`, {
        code: 'EEXIST',
        message: expect.stringContaining('is not a connection file') as string,
      });
      expect(readFileSync(at('app.json'), 'utf8')).toBe(text);
    }
  });

  test('two calls of listen() at once: one listens, the other is told so', async () => {
    const manager = newManager();
    const [one, two] = await Promise.allSettled([manager.listen(), manager.listen()]);
    expect([one.status, two.status].sort()).toEqual(['fulfilled', 'rejected']);
    await manager.close();
  });

  test('workers of an embedded manager that start at once share its one address', async () => {
    const tasks = at('tasks.mjs');
    writeFileSync(tasks, 'export default { pid: () => process.pid };');
    vi.stubEnv('XDG_RUNTIME_DIR', directory);
    onTestFinished(() => void vi.unstubAllEnvs());
    const manager = newManager();
    const client = manager.client();
    const groups = await Promise.all([1, 2].map(() => startWorkers(client, tasks, { count: 1 })));
    expect(await client.tasks('default').run('pid')).toBeTypeOf('number');
    expect(readdirSync(directory).filter((name) => name.startsWith('qm-'))).toHaveLength(1);
    await Promise.all(groups.map((group) => group.close()));
    await manager.close();
    expect(readdirSync(directory)).toEqual(['tasks.mjs']);
  });

  test('a manager that is closed while it begins to listen leaves nothing behind', async () => {
    vi.stubEnv('XDG_RUNTIME_DIR', directory);
    onTestFinished(() => void vi.unstubAllEnvs());
    const manager = newManager();
    const listening = manager.listen();
    await manager.close();
    await listening;
    expect(readdirSync(directory)).toEqual([]);
  });
});

describe('S4 nobody else gets in', () => {
  test('S4 the directory is 0700, the socket and the file 0600, whatever the umask; all of it goes with the manager', async () => {
    const before = process.umask(0);
    onTestFinished(() => void process.umask(before));
    const manager = newManager();
    const { address, connectionFile } = await manager.listen();
    const socket = address.slice('unix:'.length);
    expect([dirname(socket), socket, connectionFile].map(modeOf)).toEqual([0o700, 0o600, 0o600]);
    await manager.close();
    expect(existsSync(dirname(socket))).toBe(false);
  });

  test('S4 the same for a manager in a process of its own', async () => {
    const manager = await managerProcess();
    const socket = manager.address.slice('unix:'.length);
    expect([dirname(socket), socket, manager.connectionFile].map(modeOf)).toEqual([0o700, 0o600, 0o600]);
    await manager.shutdown();
    expect(existsSync(dirname(socket))).toBe(false);
  });

  test.runIf(root)('S4 another user reaches neither the socket nor the key', async () => {
    const inPrivate = await newManager().listen();
    chmodSync(directory, 0o755);
    const inOpen = await newManager().listen(`unix:${at('s')}`);
    const program = `
      const net = require('node:net'), fs = require('node:fs');
      const [socket, file] = process.argv.slice(1);
      try { fs.readFileSync(file); console.log('read the key'); } catch (error) { console.log(error.code); }
      net.connect(socket, () => { console.log('connected'); process.exit(); }).on('error', (error) => console.log(error.code));
    `;
    for (const { address, connectionFile } of [inPrivate, inOpen]) {
      const args = ['-e', program, address.slice('unix:'.length), connectionFile];
      const { stdout } = spawnSync(process.execPath, args, { uid: foreignUid, cwd: '/', encoding: 'utf8' });
      expect(stdout).toBe('EACCES\nEACCES\n');
    }
  });
});

describe('S5 places that others could have prepared', () => {
  /** Refused by a manager that would listen there and by a client that would connect there. */
  async function expectUntrusted(address: string, why: string): Promise<void> {
    const error = { code: 'EACCES', message: expect.stringContaining(why) as string };
    await expectRefused(address, error);
    await expect(connect(address, { authKey: key })).rejects.toMatchObject(error);
  }

  test('S5 a directory that others may write to, sticky or not', async () => {
    mkdirSync(at('open'));
    for (const mode of [0o777, 0o770, 0o707, 0o1777]) {
      chmodSync(at('open'), mode);
      await expectUntrusted(`unix:${at('open/s')}`, 'others may write to it');
    }
  });

  test('S5 a link in place of the directory', async () => {
    mkdirSync(at('real'), { mode: 0o700 });
    symlinkSync(at('real'), at('linked'));
    await expectUntrusted(`unix:${at('linked/s')}`, 'it is a symbolic link');
  });

  test.runIf(root)('S5 a directory of somebody else', async () => {
    mkdirSync(at('foreign'), { mode: 0o700 });
    chownSync(at('foreign'), foreignUid, foreignUid);
    await expectUntrusted(`unix:${at('foreign/s')}`, `it belongs to uid ${foreignUid}`);
  });

  test.runIf(root)('S5 a socket of somebody else is neither connected to nor removed', async () => {
    const { address } = await newManager().listen(`unix:${at('s')}`);
    chownSync(at('s'), foreignUid, foreignUid);
    await expect(connect(address, { authKey: key })).rejects.toMatchObject({
      code: 'EACCES',
      message: expect.stringContaining(`it belongs to uid ${foreignUid}`) as string,
    });
    rmSync(at('s.json'));
    await expectRefused(address, { code: 'EACCES' });
    expect(lstatSync(at('s')).uid).toBe(foreignUid);
  });

  test('S5 a link in place of the socket is not followed', async () => {
    await newManager().listen(`unix:${at('s')}`);
    symlinkSync(at('s'), at('link'));
    await expect(connect(`unix:${at('link')}`, { authKey: key })).rejects.toMatchObject({ code: 'EACCES' });
  });

  test('S5 a base directory that others may write to: no private directory is made in it', async () => {
    mkdirSync(at('base'));
    chmodSync(at('base'), 0o777);
    vi.stubEnv('XDG_RUNTIME_DIR', at('base'));
    onTestFinished(() => void vi.unstubAllEnvs());
    await expect(newManager().listen()).rejects.toMatchObject({ code: 'EACCES' });
    await expect(startManager()).rejects.toMatchObject({ code: 'EACCES' });
    expect(readdirSync(at('base'))).toEqual([]);
  });

  test('S5 a connection file that others could have read or written', async () => {
    const { connectionFile } = await newManager().listen();
    for (const mode of [0o644, 0o660, 0o604]) {
      chmodSync(connectionFile, mode);
      await expect(connect(connectionFile)).rejects.toMatchObject({
        code: 'EACCES',
        message: expect.stringContaining('cannot be trusted') as string,
      });
    }
    chmodSync(connectionFile, 0o600);
    symlinkSync(connectionFile, at('link.json'));
    await expect(connect(at('link.json'))).rejects.toMatchObject({
      message: expect.stringContaining('it is a symbolic link') as string,
    });
    if (!root) return;
    chownSync(connectionFile, foreignUid, foreignUid);
    await expect(connect(connectionFile)).rejects.toMatchObject({
      message: expect.stringContaining(`it belongs to uid ${foreignUid}`) as string,
    });
  });
});

describe('what connect() says', () => {
  test('without a target and without QUARTERMASTER_CONNECTION', async () => {
    for (const value of [undefined, '']) {
      vi.stubEnv('QUARTERMASTER_CONNECTION', value);
      await expect(connect()).rejects.toThrow(
        new TypeError(
          'connect() needs a connection file or an address: pass one, or set QUARTERMASTER_CONNECTION to the path of a connection file',
        ),
      );
    }
    vi.unstubAllEnvs();
  });

  test('QUARTERMASTER_CONNECTION names the connection file', async () => {
    const manager = await managerProcess();
    vi.stubEnv('QUARTERMASTER_CONNECTION', manager.connectionFile);
    onTestFinished(() => void vi.unstubAllEnvs());
    const client = await connect();
    expect([client.pid, client.address]).toEqual([manager.pid, manager.address]);
    await client.close();
  });

  test('no such file', async () => {
    await expect(connect(at('none.json'))).rejects.toMatchObject({
      code: 'ENOENT',
      message: `cannot read the connection file "${at('none.json')}": it does not exist; is the manager running?`,
    });
  });

  test.skipIf(process.platform === 'win32')('a socket in its place', async () => {
    const { address } = await managerProcess();
    const path = address.replace('unix:', '');
    await expect(connect(path)).rejects.toMatchObject({
      code: 'ENXIO',
      message: `cannot read the connection file "${path}": it is a socket; to connect to it itself, give 'unix:' and its absolute path, and its authKey`,
    });
  });

  test('files that are none of ours', async () => {
    const texts: [string, string][] = [
      ['', 'it is not JSON'],
      ['{', 'it is not JSON'],
      ['[]', '"address" is not an address'],
      ['{"address":7}', '"address" is not an address'],
      ['{"address":"unix:/x/s","authKey":"!!"}', '"authKey" is not base64'],
      ['{"address":"unix:/x/s","authKey":"YWJj","pid":"1"}', '"pid" is not a process id'],
    ];
    for (const [text, why] of texts) {
      writeFileSync(at('file.json'), text, { mode: 0o600 });
      await expect(connect(at('file.json'))).rejects.toMatchObject({
        code: 'EINVAL',
        message: `"${at('file.json')}" is not a connection file: ${why}`,
      });
    }
  });

  test('an address without the key', async () => {
    await expect(connect('unix:/run/qm/s')).rejects.toThrow(
      new TypeError(
        "connecting to the address 'unix:/run/qm/s' needs the authKey option; a connection file has the key in it",
      ),
    );
  });

  test('nobody listens there, and never has', async () => {
    await expect(connect(`unix:${at('s')}`, { authKey: key })).rejects.toMatchObject({
      code: 'ENOENT',
      message: expect.stringContaining('nobody listens at') as string,
    });
  });

  test('addresses of other kinds', async () => {
    await expect(connect('tcp://localhost:1', { authKey: key })).rejects.toMatchObject({ code: 'ENOTSUP' });
    await expect(connect('nonsense:x', { authKey: key })).rejects.toThrow(TypeError);
    await expect(connect('unix:relative/s', { authKey: key })).rejects.toThrow(TypeError);
  });

  test('the key as an option goes before that of the file', async () => {
    const { connectionFile } = await listening();
    await expect(connect(connectionFile, { authKey: 'another key' })).rejects.toThrow(AuthenticationError);
  });

  test('a key of fewer than 8 bytes is refused by the manager', () => {
    expect(() => new Manager({ authKey: 'short' })).toThrow(RangeError);
  });

  test('a name that is too long, or none', async () => {
    const { connectionFile } = await listening();
    await expect(connect(connectionFile, { name: 'x'.repeat(5_000) })).rejects.toThrow(RangeError);
    await expect(connect(connectionFile, { name: 5 as unknown as string })).rejects.toThrow(TypeError);
    const client = await connect(connectionFile, { name: '名'.repeat(100) });
    await client.close();
  });
});

/** Node.js 20 would take the numbers of the last stat, a socket's, for a reason not to follow a link on the way. */
test('after connecting, modules behind a link are still loaded under their own path', async () => {
  const manager = new Manager({ authKey: key });
  onTestFinished(() => manager.close());
  const { connectionFile } = await manager.listen();
  mkdirSync(at('package'));
  for (const name of ['one', 'two']) writeFileSync(at(`package/${name}.mjs`), 'export default import.meta.url;');
  symlinkSync('package', at('link'));
  writeFileSync(
    at('main.mjs'),
    `
    import '${pathToFileURL(at('package/one.mjs')).href}';
    import { connect } from '${pathToFileURL(join(import.meta.dirname, '../../dist/index.js')).href}';
    const client = await connect(process.argv[2]);
    console.log((await import('${pathToFileURL(at('link/two.mjs')).href}')).default);
    await client.close();
    `,
  );
  const { stdout } = await run(process.execPath, [at('main.mjs'), connectionFile]);
  expect(stdout.trim()).toBe(pathToFileURL(at('package/two.mjs')).href);
});
