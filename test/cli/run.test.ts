/** `quartermaster run` as users start it: real processes, in a folder of their own. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { folderWith, quartermaster, runGraphFile } from '../kit/command.ts';

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
