/** S7: the auth key is in memory, on pipes and in the connection file, and nowhere else. */
import { readFileSync, writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { expect, onTestFinished, test, vi } from 'vitest';
import { type Client, connect, Manager, startManager, startWorkers } from 'quartermaster';
import { KEY, listening, managerProcess } from '../kit/listening.ts';

/** In every form in which it could stand in a text. */
function formsOf(key: Uint8Array): string[] {
  const bytes = Buffer.from(key);
  return [
    ...(['utf8', 'latin1', 'base64', 'base64url', 'hex'] as const).map((form) => bytes.toString(form)),
    [...bytes].join(', '),
  ];
}

function expectNoKey(text: string, key: Uint8Array): void {
  for (const form of formsOf(key))
    expect(text.includes(form), `found ${form.slice(0, 4)}… in ${text.slice(0, 200)}`).toBe(false);
}

const keyIn = (connectionFile: string): Buffer =>
  Buffer.from((JSON.parse(readFileSync(connectionFile, 'utf8')) as { authKey: string }).authKey, 'base64');

/** What any process of this user, and some of others, can read about a process (Linux). */
function publicTextOf(pid: number): string {
  return ['cmdline', 'environ', 'comm', 'status']
    .map((name) => readFileSync(`/proc/${pid}/${name}`, 'latin1'))
    .join('\n');
}

const tasksModule = `
  export default {
    pid: () => process.pid,
    surroundings: () => JSON.stringify([process.argv, process.execArgv, process.env, process.title]),
    report: () => JSON.stringify(process.report.getReport()),
    boom: () => { throw new Error('boom'); },
  };
`;

test.runIf(process.platform === 'linux').each([
  ['a random key', undefined],
  ['a key that was given', KEY],
])('S7 %s: not in the arguments, environment or report of the manager and its workers', async (_what, authKey) => {
  const directory = mkdtempSync(join(tmpdir(), 'qm-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, 'tasks.mjs'), tasksModule);
  const manager = await managerProcess({ authKey });
  const key = keyIn(manager.connectionFile);
  expect(key.length).toBe(authKey === undefined ? 32 : KEY.length);
  vi.stubEnv('QUARTERMASTER_CONNECTION', manager.connectionFile);
  onTestFinished(() => void vi.unstubAllEnvs());
  const group = await startWorkers(manager, join(directory, 'tasks.mjs'), { count: 2 });
  onTestFinished(() => group.close());
  for (const pid of [manager.pid, ...group.workers().map((worker) => worker.pid)]) expectNoKey(publicTextOf(pid), key);
  const tasks = manager.tasks();
  expectNoKey(String(await tasks.run('surroundings')), key);
  expectNoKey(String(await tasks.run('report')), key);
  await expect(tasks.run('boom')).rejects.toThrow('boom');
  for (const shown of [
    await manager.inspect.workers(),
    await manager.inspect.tasks(),
    await tasks.dict.entries(),
    await tasks.run('boom').catch((error: unknown) => error),
  ]) {
    expectNoKey(inspect(shown, { depth: 10, showHidden: true }), key);
  }
});

test('S7 not in errors', async () => {
  const { address, connectionFile } = await listening();
  const directory = mkdtempSync(join(tmpdir(), 'qm-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const key = Buffer.from(KEY);
  const file = join(directory, 'bad.json');
  const bad = (text: string): Promise<Client> => {
    writeFileSync(file, text, { mode: 0o600 });
    return connect(file);
  };
  const base64 = key.toString('base64');
  const attempts: [string, () => Promise<unknown>][] = [
    ['a wrong key', () => connect(address, { authKey: `${KEY}!` })],
    ['nobody there', () => connect(`unix:${directory}/none`, { authKey: KEY })],
    ['another address', () => connect('tcp://nowhere:1', { authKey: KEY })],
    ['a broken file', () => bad(`{"authKey": "${base64}", "address": `)],
    ['a file with a wrong address', () => bad(JSON.stringify({ authKey: base64, address: 'x', pid: 1 }))],
    ['a file with a wrong pid', () => bad(JSON.stringify({ authKey: base64, address, pid: 'x' }))],
    ['a file with a wrong key', () => bad(JSON.stringify({ authKey: KEY, address, pid: 1 }))],
    ['a path that is taken', () => new Manager({ authKey: KEY }).listen(address)],
    ['a path that is taken, in a process', () => startManager({ authKey: KEY, address })],
    ['options that are wrong, in a process', () => startManager({ authKey: KEY, limits: { frameBytes: -1 } })],
  ];
  expect(keyIn(connectionFile)).toEqual(key);
  for (const [what, attempt] of attempts) {
    const error = await attempt().then(
      () => expect.unreachable(what),
      (reason: unknown) => reason,
    );
    expect(error, what).toBeInstanceOf(Error);
    expectNoKey(inspect(error, { depth: 10, showHidden: true }), key);
  }
});

test('S7 not in what a client, a manager or a proxy shows of itself', async () => {
  const { manager, connect: enter } = await listening();
  const client = await enter();
  for (const shown of [
    manager,
    manager.client(),
    client,
    client.dict('d'),
    client.tasks(),
    await managerProcess({ authKey: KEY }),
  ]) {
    expectNoKey(inspect(shown, { depth: 20, showHidden: true, getters: true }), Buffer.from(KEY));
    expectNoKey(JSON.stringify(shown) ?? '', Buffer.from(KEY));
  }
});
