/** `quartermaster run` as users start it: real processes, in a folder of their own. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { folderWith, isGone, quartermaster, runGraphFile } from '../kit/command.ts';

test('the file of the help runs: each job after those it comes after, with their outputs', async () => {
  const { stdout: help } = await quartermaster(folderWith({}), ['run', '--help']);
  const [, block = ''] = /^ {2}# build\.yaml\n((?: {2}.*\n)+)/m.exec(help) ?? [];
  const made = block
    .replace('npm run build', 'echo compiled')
    .replace('npm test', 'echo tested')
    .replace('npm pack --silent', 'echo user-1.0.0.tgz');
  const { code, stderr, states, outputs } = await runGraphFile(folderWith({ 'build.yaml': made }), 'build.yaml');
  expect({ code, stderr, states }).toEqual({
    code: 0,
    stderr: '',
    states: { compile: 'succeeded', test: 'succeeded', package: 'succeeded', note: 'succeeded' },
  });
  expect(outputs['note']).toBe('made user-1.0.0.tgz');
});

describe('outputs', () => {
  test('what a job has said never becomes a command', async () => {
    const folder = folderWith({
      'build.yaml': `
jobs:
  evil: { run: "printf '%s' '\\"; touch hacked; echo $(touch hacked) \`touch hacked\` \\\\'" }
  quoted: { run: 'printf "%s" "\${{ jobs.evil.output }}"' }
  bare: { run: 'printf "%s " \${{ jobs.evil.output }}' }
  env: { run: 'printf "%s" "$IT"', env: { IT: 'x \${{ jobs.evil.output }}' } }
`,
    });
    const { outputs, states } = await runGraphFile(folder, 'build.yaml');
    const evil = '"; touch hacked; echo $(touch hacked) `touch hacked` \\';
    expect(states).toMatchObject({ quoted: 'succeeded', bare: 'succeeded', env: 'succeeded' });
    expect(outputs).toMatchObject({ evil, quoted: evil, env: `x ${evil}` });
    expect(existsSync(path.join(folder, 'hacked'))).toBe(false);
  });

  test('text, JSON, a file, a part, all of a matrix, one of its combinations; values go to handlers as they are', async () => {
    const folder = folderWith({
      'tasks.mjs': `
import { basename } from 'node:path';
export default {
  make: () => ({ when: new Date(0), map: new Map([[1, 2n]]), list: [1, { deep: 'x' }] }),
  see: (input) => { console.log('seen'); return [input.made.when.getTime(), input.made.map.get(1), input.deep, input.text, input.all, input.n, basename(process.cwd())]; },
};`,
      'sub/x': '',
      'build.yaml': `
tasks: tasks.mjs
jobs:
  json: { run: 'echo ''{"version": [3, {"name": "deep"}]}''', output: json }
  file: { run: 'printf "a\\nb\\n" > out.txt; echo no', cwd: sub, output: { file: out.txt } }
  part: { run: 'echo "\${{ jobs.json.output.version[1].name }} \${{ jobs.file.output }}"' }
  each: { matrix: { n: [1, 2], os: [a b] }, run: 'echo "\${{ matrix.n }}-\${{ matrix.os }}"' }
  all: { run: 'echo "\${{ jobs.each.output }}"' }
  one: { matrix: { n: [2] }, run: 'echo "\${{ jobs.each[matrix.n, a b].output }}"' }
  made: { task: make }
  see:
    task: see
    with:
      made: \${{ jobs.made.output }}
      deep: \${{ jobs.made.output.list[1].deep }}
      text: 'all: \${{ jobs.each.output }} $\${{ kept }}'
      all: ['\${{ jobs.each.output }}']
      n: 7
`,
    });
    const { code, outputs, errors, events } = await runGraphFile(folder, 'build.yaml');
    expect({ code, errors }).toEqual({ code: 0, errors: {} });
    expect(outputs).toMatchObject({
      json: { version: [3, { name: 'deep' }] },
      file: 'a\nb\n',
      part: 'deep a\nb',
      'each:1:a-b': '1-a b',
      all: '1-a b\n2-a b',
      'one:2': '2-a b',
    });
    const { log = '' } = events.findLast(({ job }) => job === 'see')!;
    expect(readFileSync(log, 'utf8')).toBe('seen\n');
    // A bigint: JSON cannot carry it, and does not pretend to.
    expect(outputs['see']).toBeUndefined();
  });
});

describe('failures', () => {
  const files = {
    'build.yaml': `
workers: 1
jobs:
  good: { run: echo fine, priority: 2 }
  bad: { run: 'exec 2>&1; echo said; echo "on stderr" >&2; printf "\\033[31mred\\033[0m \\007" ; exit 3', priority: 1 }
  needs: { after: bad, run: echo never }
  indirectly: { after: needs, run: echo never }
  apart: { after: good, run: echo apart }
`,
  };

  test('by default nothing begins after one, and the command ends with 1', async () => {
    const { code, states, errors } = await runGraphFile(folderWith(files), 'build.yaml');
    expect(code).toBe(1);
    expect(errors).toMatchObject({ bad: 'exit code 3' });
    expect(states).toMatchObject({ good: 'succeeded', bad: 'failed', needs: 'skipped', indirectly: 'skipped' });
  });

  test('--keep-going runs all that does not need what failed', async () => {
    const { code, states, errors } = await runGraphFile(folderWith(files), 'build.yaml', '--keep-going');
    expect(code).toBe(1);
    expect(states).toEqual({
      good: 'succeeded',
      bad: 'failed',
      needs: 'skipped',
      indirectly: 'skipped',
      apart: 'succeeded',
    });
    expect(errors).toEqual({
      bad: 'exit code 3',
      needs: "'bad' has not succeeded",
      indirectly: "'bad' has not succeeded",
    });
  });

  test('plain lines show the end of what it said, without what a terminal would obey, and where the rest is', async () => {
    const folder = folderWith(files);
    const { code, stdout, stderr } = await quartermaster(folder, ['run', 'build.yaml', '-k']);
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
    const log = path.join(folder, '.quartermaster/build.yaml/logs/bad.log');
    expect(stdout).toContain(['  │ said', '  │ on stderr', '  │ red \\x07', `  └ ${log}`].join('\n'));
    expect(stdout).toMatch(/^✗ bad {2}\d+ ms {2}exit code 3$/m);
    expect(stdout).toMatch(/^2 of 5 jobs succeeded, 1 failed, 2 skipped in /m);
    expect(stdout).not.toContain('\u001B');
    expect(readFileSync(log, 'utf8')).toBe('said\non stderr\n\u001B[31mred\u001B[0m \u0007');
  });

  test('retries: the log has every attempt, and the last one counts', async () => {
    const folder = folderWith({
      'build.yaml': `jobs: { flaky: { run: 'echo try; test -e done || { touch done; exit 1; }', retries: 2 } }`,
    });
    const { code, states, events } = await runGraphFile(folder, 'build.yaml');
    expect({ code, states }).toEqual({ code: 0, states: { flaky: 'succeeded' } });
    const { log = '', attempt } = events.findLast(({ job }) => job === 'flaky')!;
    expect(attempt).toBe(2);
    expect(readFileSync(log, 'utf8')).toBe('try\n--- attempt 2\ntry\n');
  });

  test.each<[what: string, job: string, error: RegExp]>([
    ['a command that is not there', 'run: nosuchcommand', /^exit code 127: a command in it was not found$/],
    ['one of several lines', 'run: "true\\nfalse\\ntrue"', /^exit code 1$/],
    ['a signal', 'run: kill -SEGV $$', /^ended by SIGSEGV$/],
    [
      'a directory that is not there',
      'run: x, cwd: nowhere',
      /^its cwd, .*nowhere, is no directory: make it, or name another one$/,
    ],
    ['a run that takes too long', 'run: sleep 100, runTimeout: 50ms', /^ran for longer than its runTimeout of 50 ms$/],
    ['an output that is no JSON', 'run: echo x, output: json', /^its standard output is not JSON, as 'output' says: /],
    [
      'an output that is not there',
      'run: echo x, output: { file: none }',
      /^its output, the file none, cannot be read \(ENOENT\): /,
    ],
    ['a handler that throws', 'task: fail', /^no good$/],
  ])('%s is told in a line', async (_, job, error) => {
    const folder = folderWith({
      'tasks.mjs': `export default { fail: () => { throw new Error('no good'); } };`,
      'build.yaml': `tasks: tasks.mjs\njobs: { a: { ${job} } }`,
    });
    const { code, errors, stderr } = await runGraphFile(folder, 'build.yaml');
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
    expect(errors['a']).toMatch(error);
  });

  test('a part that an output does not have, and an output that no variable can hold', async () => {
    const folder = folderWith({
      'build.yaml': `
jobs:
  a: { run: 'echo ''{"x": 1}''', output: json }
  b: { run: 'echo \${{ jobs.a.output.y }}' }
  long: { run: 'head -c 200000 /dev/zero | tr "\\0" x' }
  c: { run: 'echo "\${{ jobs.long.output }}"' }
`,
    });
    const { errors } = await runGraphFile(folder, 'build.yaml', '-k');
    expect(errors['b']).toMatch(/^\$\{\{ jobs\.a\.output\.y \}\}: the output has no 'y': /);
    expect(errors['c']).toMatch(/^\$\{\{ jobs\.long\.output \}\} has 200000 bytes, more than a command can be given: /);
  });
});

describe('nothing runs', () => {
  test.each<[what: string, files: Record<string, string>, args: string[], message: RegExp]>([
    ['without a file', {}, ['none.yaml'], /^quartermaster: there is no file none\.yaml: name the graph file to run$/],
    ['with a file that is none', {}, ['.'], /^quartermaster: \. cannot be read \(EISDIR\): /],
    ['with a mistake in the file', { a: 'jobs: { a: {} }' }, ['a'], /^quartermaster: a:1:9: job 'a' needs one of /],
    [
      'with a job that is none',
      { a: 'jobs: { abc: { run: x } }' },
      ['a', '--only', 'abd'],
      /--only: a has no job 'abd'; did you mean 'abc'\?$/,
    ],
    [
      'with an option that is none',
      {},
      ['a', '--wrokers', '2'],
      /^quartermaster: unknown option '--wrokers' \(Did you mean --workers\?\): see --help$/,
    ],
    [
      'with no workers',
      {},
      ['a', '-w', '0'],
      /argument '0' is invalid\. It must be a whole number from 1 to 1000: see --help$/,
    ],
    ['without an argument', {}, [], /^quartermaster: missing required argument 'file': see --help$/],
    [
      'with a handler that is not there',
      {
        a: 'tasks: t.mjs\njobs: { a: { run: touch ran }, b: { task: sqare } }',
        't.mjs': 'export default { square: () => 1 };',
      },
      ['a'],
      /^quartermaster: a: the tasks module cannot be used: .*t\.mjs has no handler 'sqare'; did you mean 'square'\?$/,
    ],
    [
      'with a module that cannot be loaded',
      { a: 'tasks: t.mjs\njobs: { a: { run: touch ran }, b: { task: b } }', 't.mjs': 'throw new Error("broken");' },
      ['a'],
      /^quartermaster: a: the tasks module cannot be used: broken$/,
    ],
    [
      'with --from where an output is needed that no run has made',
      { a: 'jobs: { a: { run: x }, b: { run: "echo ${{ jobs.a.output }}" } }' },
      ['a', '--from', 'b'],
      /^quartermaster: job 'b' needs the output of 'a', which no earlier run has: run it without --from$/,
    ],
  ])('%s: one line, and 2', async (_, files, args, message) => {
    const folder = folderWith(files);
    const { code, stdout, stderr } = await quartermaster(folder, ['run', ...args, '--json']);
    expect(code).toBe(2);
    expect(stdout.split('\n').filter((line) => line.includes('"job"'))).toEqual([]);
    expect(stderr.trimEnd()).toMatch(message);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(existsSync(path.join(folder, 'ran'))).toBe(false);
  });

  test('with --dry-run: order, critical path, drawings', async () => {
    const folder = folderWith({
      'build.yaml':
        'jobs: { b: { after: a, run: touch ran }, a: { run: touch ran }, c: { run: "x ${{ jobs.b.output }}" } }',
    });
    const dry = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await quartermaster(folder, ['run', 'build.yaml', '--dry-run', ...args]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      return stdout;
    };
    expect(await dry()).toBe(
      [
        'build.yaml: 3 jobs in this order, as many at a time as may run',
        '  a  touch ran',
        '  b  touch ran  (after a)',
        '  c  x ${{ jobs.b.output }}  (after b)',
        'critical path: a → b → c',
        '',
      ].join('\n'),
    );
    expect(await dry('--format', 'mermaid')).toMatch(/^flowchart LR\n/);
    expect(await dry('--format', 'dot')).toMatch(/^digraph jobs \{\n/);
    expect(JSON.parse(await dry('--json', '--only', 'b'))).toEqual({
      file: 'build.yaml',
      order: [
        { id: 'a', after: [] },
        { id: 'b', after: ['a'] },
      ],
      upToDate: [],
      criticalPath: { path: ['a', 'b'] },
    });
    expect(readdirSync(folder)).toEqual(['build.yaml']);
  });
});

describe('what a job is given', () => {
  test('workers with tags and amounts of their own; keys; the environment and the directory', async () => {
    const folder = folderWith({
      'sub/build.yaml': `
workers: [{ count: 1 }, { count: 1, tags: [gpu], resources: { memory: 4 } }]
resources: { licence: 1 }
defaults: { env: { A: one, B: two } }
jobs:
  gpu: { tags: gpu, resources: { memory: 4, licence: 1 }, run: 'echo "$A $B $QM_PASSED $QUARTERMASTER_RUN"', env: { B: '3' } }
  here: { run: basename "$(pwd)", key: k }
  bash: { run: 'x=(1 2); echo \${#x[@]}', shell: bash, key: k }
`,
    });
    const { code, stdout } = await quartermaster(folder, ['run', 'sub/build.yaml', '--json'], {
      env: { QM_PASSED: 'on' },
    });
    expect(code).toBe(0);
    for (const output of ['one 3 on ', 'sub', '2']) expect(stdout).toContain(`"output":${JSON.stringify(output)}`);
  });

  test('what a job leaves running ends with it', async () => {
    const folder = folderWith({ 'build.yaml': `jobs: { a: { run: 'sleep 1000 & echo $!' } }` });
    const { code, outputs } = await runGraphFile(folder, 'build.yaml');
    expect(code).toBe(0);
    expect(isGone(Number(outputs['a']))).toBe(true);
  });

  test('--verbose shows all that each job wrote; NO_COLOR and a pipe leave colours out', async () => {
    const folder = folderWith({ 'build.yaml': `jobs: { a: { run: 'seq 1 30' } }` });
    const { stdout } = await quartermaster(folder, ['run', 'build.yaml', '--verbose']);
    expect(stdout.split('\n').filter((line) => line.startsWith('[a] '))).toHaveLength(30);
  });

  test('a handler may put tasks; what it prints is its log', async () => {
    const folder = folderWith({
      'tasks.mjs': `
export default {
  parent: async (n, context) => { console.error('in parent'); return await (await context.put('child', n)).result(); },
  child: (n) => n * 2,
};`,
      'build.yaml': 'tasks: tasks.mjs\njobs: { p: { task: parent, with: 21 } }',
    });
    const { outputs, events } = await runGraphFile(folder, 'build.yaml');
    expect(outputs).toEqual({ p: 42 });
    expect(readFileSync(events.findLast(({ job }) => job === 'p')!.log!, 'utf8')).toBe('in parent\n');
  });
});
