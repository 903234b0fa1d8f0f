/** manager, worker, put, tasks, workers, locks, completion, and what all commands have in common. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { connect } from 'quartermaster';
import { describe, expect, onTestFinished, test } from 'vitest';
import { complete, FILES } from '#qm/cli/complete.js';
import { makeProgram } from '#qm/cli/program.js';
import { folderWith, quartermaster, type Running, startQuartermaster } from '../kit/command.ts';

const commands = ['run', 'manager', 'worker', 'put', 'tasks', 'workers', 'locks', 'completion'];

const tasks = `
export default {
  square: (n) => n * n,
  greet: (name) => 'hello, ' + name,
  map: () => new Map([[1, 2n]]),
  fail: () => { throw new Error('no good\\nat all'); },
};
`;

/** A manager that `quartermaster manager` runs, and how to speak to it. */
async function manager(...args: string[]) {
  const folder = folderWith({ 'tasks.mjs': tasks });
  const running = startQuartermaster(folder, ['manager', '--json', ...args]);
  const { value } = await running.lines.next();
  const { connectionFile } = JSON.parse(value as string) as { connectionFile: string };
  onTestFinished(async () => {
    running.child.kill('SIGTERM');
    await running.toItsEnd();
  });
  const env = { QUARTERMASTER_CONNECTION: connectionFile };
  return {
    folder,
    connectionFile,
    running,
    say: (...words: string[]) => quartermaster(folder, words, { env }),
    start: (...words: string[]): Running => startQuartermaster(folder, words, env),
  };
}

/** A machine that is busy otherwise takes seconds for each of some twenty programs. */
const MANY_PROGRAMS = 240_000;

test(
  'a manager, a worker, tasks: from one terminal to the other',
  async () => {
    const { say, start } = await manager();
    const worker = start('worker', './tasks.mjs', '--count', '1', '--tag', 'gpu,big');
    await worker.until("1 worker runs tasks of queue 'default'");
    expect(await say('put', 'square', '7', '--wait')).toMatchObject({ code: 0, stdout: '49\n', stderr: '' });
    expect((await say('put', 'greet', '--text', 'moon', '-w', '--tag', 'gpu', '--priority', '3')).stdout).toBe(
      '"hello, moon"\n',
    );
    expect((await say('put', 'map', '-w')).stdout).toBe('Map(1) { 1 => 2n }\n');
    expect(await say('put', 'fail', '-w')).toMatchObject({
      code: 1,
      stdout: '',
      stderr: 'quartermaster: task t4 has not succeeded: no good at all\n',
    });
    expect((await say('put', 'square', '2', '--id', 'mine', '--after', 't1,t3', '-w')).stdout).toBe('4\n');
    expect((await say('put', 'square', '3', '--tag', 'none')).stdout).toMatch(/^t\d+\n$/);

    const table = (await say('tasks')).stdout.split('\n');
    expect(table[0]).toMatch(/^ID +NAME +QUEUE +STATE +ATTEMPT +WORKER/);
    expect(table[1]).toMatch(/^t1 +square +default +succeeded +1 +worker-1 /);
    expect((await say('tasks', '--state', 'failed')).stdout).toMatch(/^t4 +fail .*no good/m);
    expect((await say('tasks', '--unrunnable')).stdout.split('\n')).toHaveLength(3);
    expect((await say('tasks', '--queue', 'other')).stdout).toBe('no tasks\n');
    const limited = await say('tasks', '--limit', '1');
    expect(limited.stderr).toBe('quartermaster: the first 1; --limit shows more\n');
    const records = JSON.parse((await say('tasks', '--name', 'square', '--json')).stdout) as { id: string }[];
    expect(records.map(({ id }) => id)).toContain('mine');
    const one = (await say('tasks', 't4')).stdout;
    expect(one).toMatch(/^state +failed$/m);
    expect(one).toMatch(/^ {2}\S+ \S+ +leased +failed +/m);
    expect(JSON.parse((await say('tasks', 't4', '--json')).stdout)).toMatchObject({ id: 't4', state: 'failed' });
    expect(await say('tasks', 't99')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("no task 't99' in queue 'default'") as string,
    });

    expect((await say('workers')).stdout).toMatch(/^worker-1 +\d+ +\S+ +default +0 +0 +5 +yes /m);
    expect(JSON.parse((await say('workers', '--json')).stdout)).toMatchObject([{ name: 'worker-1', done: 5 }]);
    worker.child.kill('SIGTERM');
    expect((await worker.toItsEnd()).code).toBe(0);
    expect((await say('workers')).stdout).toBe('no workers\n');
  },
  MANY_PROGRAMS,
);

test('locks: who holds, who waits', async () => {
  const { say, connectionFile } = await manager();
  expect((await say('locks')).stdout).toBe('no locks are held\n');
  const client = await connect(connectionFile, { name: 'holder' });
  onTestFinished(() => client.close());
  const guard = await client.lock('door').acquire();
  const waiting = client.lock('door').acquire();
  waiting.catch(() => {});
  expect(await client.lock('door').locked()).toBe(true);
  const { stdout } = await say('locks');
  expect(stdout).toMatch(new RegExp(`^lock 'door' +holder +${process.pid} +holds `, 'm'));
  expect(stdout).toMatch(new RegExp(`^lock 'door' +holder +${process.pid} +waits `, 'm'));
  expect(JSON.parse((await say('locks', '--json')).stdout)).toMatchObject([
    { holders: [{ token: String(guard.token) }] },
  ]);
});

describe('manager', () => {
  test('prints what the other commands need, and removes its files when it is told to end', async () => {
    const folder = folderWith({});
    const running = startQuartermaster(folder, ['manager', '--resource', 'memory=4', '--resource', 'disk=1.5']);
    const line = await running.until('export ');
    const file = line.replace('  export QUARTERMASTER_CONNECTION=', '');
    expect(existsSync(file)).toBe(true);
    running.child.kill('SIGINT');
    expect((await running.toItsEnd()).code).toBe(0);
    expect(existsSync(file)).toBe(false);
  });

  test('registers custom types', async () => {
    const folder = folderWith({
      'types.mjs': `export default (manager) => manager.register('tally', () => new (class { add() { return 3; } })());`,
    });
    const running = startQuartermaster(folder, ['manager', '--json', '--module', 'types.mjs']);
    const { connectionFile } = JSON.parse((await running.lines.next()).value as string) as { connectionFile: string };
    const client = await connect(connectionFile);
    expect(await client.object<{ add(): number }>('tally').add()).toBe(3);
    await client.close();
    running.child.kill('SIGTERM');
    expect((await running.toItsEnd()).code).toBe(0);
  });

  test('whose worker hears that it has gone', async () => {
    const { running, start } = await manager();
    const worker = start('worker', './tasks.mjs', '-n', '1');
    await worker.until('1 worker');
    running.child.kill('SIGTERM');
    expect((await worker.toItsEnd()).code).toBe(1);
    expect(worker.stderr()).toBe(
      'quartermaster: the manager has gone: start another one with `quartermaster manager`\n',
    );
  });
});

describe('what is wrong is one line that says what to do', () => {
  test.each<[what: string, args: string[], code: number, message: RegExp]>([
    [
      'no manager named',
      ['tasks'],
      2,
      /^no manager is named: give its connection file with --connection, or in \$QUARTERMASTER_CONNECTION; /,
    ],
    [
      'no manager there',
      ['tasks', '-c', '/nowhere/x.json'],
      1,
      /^there is no manager at \/nowhere\/x\.json: .*; start one with `quartermaster manager`$/,
    ],
    [
      'an input that is no JSON',
      ['put', 'a', '{a}'],
      2,
      /^the input is not JSON \(.*\): quote it for the shell, or give --text for a text$/,
    ],
    ['no such state', ['tasks', '-s', 'done'], 2, /argument 'done' is invalid\. Allowed choices are blocked, /],
    [
      'no such time',
      ['put', 'a', '--delay', 'soon'],
      2,
      /It must be a time such as 30s, 5m or 1500 \(ms\): see --help$/,
    ],
    [
      'no such amount',
      ['manager', '--resource', 'x'],
      2,
      /It must be a name and an amount, as in memory=4: see --help$/,
    ],
    ['no such address', ['manager', '--address', 'tcp://x'], 1, /^it cannot listen at tcp:\/\/x: /],
    ['no such module', ['manager', '--module', 'none.mjs'], 2, /^--module none\.mjs: Cannot find module/],
    ['no such command', ['rnu'], 2, /^unknown command 'rnu' \(Did you mean run\?\): see --help$/],
    ['no such shell', ['completion', 'tcsh'], 2, /Allowed choices are bash, zsh, fish: see --help$/],
  ])('%s', async (_, args, code, message) => {
    const { stdout, stderr, ...outcome } = await quartermaster(folderWith({}), args);
    expect({ code: outcome.code, stdout }).toEqual({ code, stdout: '' });
    expect(stderr.replace(/^quartermaster: /, '').trimEnd()).toMatch(message);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  });

  test('a connection file of something else, and a module that is none, with a manager there', async () => {
    const { say, folder } = await manager();
    writeFileSync(path.join(folder, 'x.json'), 'x', { mode: 0o600 });
    expect(await say('workers', '-c', path.join(folder, 'x.json'))).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^quartermaster: .*x\.json cannot be used: .*\n$/) as string,
    });
    expect(await say('worker', './none.mjs')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^quartermaster: \.\/none\.mjs cannot be used: Cannot find module .*\n$/) as string,
    });
    expect(await say('put', 'square', '1', '--id', 't5')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^quartermaster: .*t5.*\n$/) as string,
    });
  });
});

describe('help', () => {
  test.each(commands)('%s --help has examples, and is no wider than a terminal', async (name) => {
    const { code, stdout, stderr } = await quartermaster(folderWith({}), [name, '--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('Usage: quartermaster');
    expect(stdout).toContain(`\n  quartermaster ${name}`);
    expect(stdout.split('\n').filter((line) => line.length > 120)).toEqual([]);
  });

  test('the program: its commands; --version; nothing at all', async () => {
    const folder = folderWith({});
    const { stdout } = await quartermaster(folder, ['--help']);
    for (const name of commands) expect(stdout).toMatch(new RegExp(`^ {2}${name}\\b`, 'm'));
    expect(stdout).not.toMatch(/^ {2}complete\b/m);
    const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string;
    };
    expect((await quartermaster(folder, ['--version'])).stdout).toBe(`${manifest.version}\n`);
    expect((await quartermaster(folder, [])).code).toBe(2);
  });
});

describe('completion', () => {
  const next = (...words: string[]): string[] => complete(makeProgram(), words, () => ['test', 'pack', 'text']);

  test.each<[words: string[], found: string[]]>([
    [[''], [...commands, 'help']],
    [['wo'], ['worker', 'workers']],
    [['run', ''], [FILES]],
    [['run', 'build.yaml', ''], []],
    [['run', '--dr'], ['--dry-run']],
    [['run', '--only', ''], []],
    [
      ['run', 'build.yaml', '--only', 'te'],
      ['test', 'text'],
    ],
    [
      ['run', '-k', 'build.yaml', '--from', 'pack,te'],
      ['pack,test', 'pack,text'],
    ],
    [['run', '--workers', '2', ''], [FILES]],
    [['run', '--format', 'm'], ['mermaid']],
    [['tasks', '--state', 'f'], ['failed']],
    [['tasks', '-c', ''], [FILES]],
    [
      ['completion', ''],
      ['bash', 'zsh', 'fish'],
    ],
    [
      ['worker', '--co'],
      ['--count', '--concurrency', '--connection'],
    ],
    [['--v'], ['--version']],
  ])('%j', (words, found) => {
    expect(next(...words).toSorted()).toEqual(found.toSorted());
  });

  test('bash asks the program, and takes files for what they are', async () => {
    const folder = folderWith({ 'build.yaml': 'jobs: { test: { run: x }, pack: { run: x } }' });
    const { stdout: script } = await quartermaster(folder, ['completion', 'bash']);
    const { command } = await import('../kit/command.ts');
    const ask = (...words: string[]): string[] => {
      const text = `${script}
quartermaster() { ${JSON.stringify(process.execPath)} ${JSON.stringify(command)} "$@"; }
COMP_WORDS=(quartermaster ${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}
_quartermaster; printf '%s\\n' "\${COMPREPLY[@]}"`;
      return execFileSync('bash', ['-c', text], { cwd: folder, encoding: 'utf8' }).trim().split('\n');
    };
    expect(ask('ru')).toEqual(['run']);
    expect(ask('run', 'bu')).toEqual(['build.yaml']);
    expect(ask('run', 'build.yaml', '--only', 'p')).toEqual(['pack']);
  });
});
