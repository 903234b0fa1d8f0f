/** Graph files, from their text to the jobs that will run: and everything that can be wrong with one, with its place. */
import { describe, expect, test } from 'vitest';
import { CommandError } from '#qm/cli/command-error.js';
import { SourceDocument } from '#qm/cli/graph-file/document.js';
import { planOf } from '#qm/cli/graph-file/plan.js';
import { select } from '#qm/cli/graph-file/selection.js';
import type { Plan } from '#qm/cli/graph-file/model.js';

function plan(text: string, file = 'build.yaml'): Plan {
  return planOf(new SourceDocument(file, text));
}

function problems(text: string, file?: string): readonly string[] {
  try {
    plan(text, file);
  } catch (error) {
    if (error instanceof CommandError && error.exitCode === 2) return error.lines;
    throw error;
  }
  return [];
}

const before = (made: Plan): Record<string, readonly string[]> =>
  Object.fromEntries(made.jobs.map((job) => [job.id, job.before]));

describe('a plan', () => {
  test('edges by after, by references, and each once', () => {
    const made = plan(`
jobs:
  a: { run: x }
  b: { run: x, after: a }
  c: { run: 'x \${{ jobs.a.output }} \${{ jobs.b.output }}', after: [b], env: { E: '\${{ jobs.d.output }}' } }
  d: { run: x }
`);
    expect(before(made)).toEqual({ a: [], b: ['a'], c: ['b', 'd', 'a'], d: [] });
    expect(made.jobs.find(({ id }) => id === 'c')?.uses).toEqual(['d', 'a', 'b']);
  });

  test('a matrix: combinations, exclude, include; ids are told apart where signs are not', () => {
    const made = plan(`
jobs:
  t:
    matrix: { n: [1, 2], os: [a/b, 'a b'], exclude: [{ n: 1, os: a/b }], include: [{ n: 3, os: c }] }
    run: x \${{ matrix.n }}
  all: { after: t, run: x }
  one: { run: 'x \${{ jobs.t[2, a/b].output }}' }
  by-id: { after: 't:3:c', run: x }
  same: { matrix: { n: [3] }, after: 't:\${{ matrix.n }}:c', run: x }
`);
    expect(made.jobs.map(({ id }) => id).slice(0, 4)).toEqual(['t:1:a-b', 't:2:a-b', 't:2:a-b~2', 't:3:c']);
    expect(before(made)).toMatchObject({
      all: ['t:1:a-b', 't:2:a-b', 't:2:a-b~2', 't:3:c'],
      one: ['t:2:a-b'],
      'by-id': ['t:3:c'],
      'same:3': ['t:3:c'],
    });
  });

  test('defaults count where a job does not say otherwise; env is merged', () => {
    const made = plan(`
workers: [{ count: 2 }, { tags: gpu, resources: { memory: 8 } }]
resources: { disk: 2 }
defaults: { env: { A: 1, B: true }, cwd: sub, retries: 2, runTimeout: 1.5m, shell: bash, backoff: 10, key: k, priority: 4 }
jobs:
  a: { run: x }
  b: { run: x, env: { B: two }, cwd: '.', retries: 0, runTimeout: 20, shell: sh, tags: [gpu], resources: { memory: 8, disk: 2 } }
`);
    const [a, b] = made.jobs;
    expect(a?.settings).toEqual({
      tags: [],
      resources: {},
      key: 'k',
      retries: 2,
      priority: 4,
      backoff: 10,
      runTimeout: 90_000,
    });
    expect(b?.settings).toMatchObject({ retries: 0, runTimeout: 20, tags: ['gpu'], resources: { memory: 8, disk: 2 } });
    expect(a?.work).toMatchObject({ shell: 'bash', cwd: ['sub'], env: { A: ['1'], B: ['true'] } });
    expect(b?.work).toMatchObject({ shell: 'sh', cwd: ['.'], env: { A: ['1'], B: ['two'] } });
    expect(made.workers).toEqual([
      { count: 2, tags: [], resources: {} },
      { count: 1, tags: ['gpu'], resources: { memory: 8 } },
    ]);
  });

  test('JSON is the same, with tabs and a $schema', () => {
    const json = JSON.stringify({ $schema: 'x', jobs: { a: { run: 'x' } } }, undefined, '\t');
    expect(before(plan(json, 'build.json'))).toEqual({ a: [] });
  });

  test('--only takes what a job comes after, --from what comes after it, both what both take', () => {
    const made = plan('jobs: { a: {run: x}, b: {run: x, after: a}, c: {run: x, after: b}, d: {run: x, after: a} }');
    const ids = (only: string[], from: string[]): string[] => select(made, { only, from }).map(({ id }) => id);
    expect(ids([], [])).toEqual(['a', 'b', 'c', 'd']);
    expect(ids(['b'], [])).toEqual(['a', 'b']);
    expect(ids([], ['b', 'd'])).toEqual(['b', 'c', 'd']);
    expect(ids(['c'], ['b'])).toEqual(['b', 'c']);
    expect(() => ids(['bb'], [])).toThrow("--only: build.yaml has no job 'bb'; did you mean 'b'?");
  });

  test('a chain of 20,000 jobs takes no recursion', () => {
    const jobs = Array.from({ length: 20_000 }, (_, i) => `"j${i}":{"run":"x"${i > 0 ? `,"after":"j${i - 1}"` : ''}}`);
    expect(select(plan(`{"jobs":{${jobs.join(',')}}}`, 'x.json'), { only: ['j19999'], from: [] })).toHaveLength(20_000);
  });
});

const forty = Array.from({ length: 40 }, (_, i) => i).join(',');

describe('what is wrong, with file, line and column', () => {
  test.each<[what: string, text: string, lines: readonly string[]]>([
    ['nothing', '', ['1:1: the file must be an object, not nothing']],
    ['no jobs', 'jobs: {}', ['1:7: jobs must be an object that is not empty, not an empty object']],
    [
      'an unknown key',
      'jobs:\n  a:\n    runs: x',
      [
        "2:3: job 'a' needs one of run (a shell command) and task (the name of a handler)",
        "3:5: job 'a' has no 'runs': did you mean 'run'?",
      ],
    ],
    [
      'an unknown key at the top',
      'job: {}\njobs: { a: { run: x } }',
      ["1:1: the file has no 'job': did you mean 'jobs'?"],
    ],
    [
      'run and task',
      'tasks: t\njobs: { a: { run: x, task: y } }',
      ["2:9: job 'a' has both: keep one of run (a shell command) and task (the name of a handler)"],
    ],
    ['a wrong type', 'jobs: { a: { run: [x] } }', ["1:19: run of job 'a' must be a text, not a list"]],
    [
      'a wrong number',
      'jobs: { a: { run: x, retries: -1 } }',
      ["1:31: retries of job 'a' must be a whole number of 0 or more, not -1"],
    ],
    [
      'a wrong time',
      'jobs: { a: { run: x, runTimeout: soon } }',
      [`1:34: runTimeout of job 'a' must be a time such as 30s, 5m, 1h or a number of ms, not "soon"`],
    ],
    [
      'a wrong choice',
      'jobs: { a: { run: x, shell: fish } }',
      [`1:29: shell of job 'a' must be one of sh, bash, not "fish"`],
    ],
    [
      'a wrong name',
      'jobs: { a/b: { run: x } }',
      ["1:9: the name 'a/b' must be letters, digits, '_' and '-', a letter or '_' first, at most 100 characters"],
    ],
    [
      'a wrong output',
      'jobs: { a: { run: x, output: xml } }',
      [`1:30: output of job 'a' must be text, json, or { file: path, as: text or json }, not "xml"`],
    ],
    [
      'a matrix of nothing',
      'jobs: { a: { run: x, matrix: { n: [] } } }',
      ["1:35: matrix.n of job 'a' must be a list of values, such as [20, 22], not an empty list"],
    ],
    [
      'a matrix that excludes all',
      'jobs: { a: { run: x, matrix: { n: [1], exclude: [{ n: 1 }] } } }',
      ["1:30: the matrix of job 'a' has no combination left: give it values, or include some"],
    ],
    [
      'a matrix without end',
      `jobs: { a: { run: x, matrix: { n: [${forty}], m: [${forty}] } } }`,
      ["1:30: the matrix of job 'a' has more than 1000 combinations: part it"],
    ],
    [
      'no such job',
      'jobs:\n  build: { run: x }\n  b:\n    run: x\n    after: [build, biuld]',
      ["5:20: after of job 'b' names no job 'biuld'; did you mean 'build'?"],
    ],
    [
      'no such output',
      'jobs:\n  a: { run: x }\n  b:\n    run: |\n      x\n      y ${{ jobs.c.output }}',
      ["6:13: job 'b': there is no job 'c'; known: a, b"],
    ],
    [
      'no such combination',
      'jobs: { a: { run: x, matrix: { n: [1] } }, b: { run: "${{ jobs.a[2].output }}" } }',
      ["1:59: job 'b': job 'a' has no combination [2]; it has [1]"],
    ],
    [
      'no such value',
      'jobs: { a: { run: "x ${{ matrix.n }}" } }',
      ["1:22: job 'a': ${{ matrix.n }}: there is no such value; this job has no matrix"],
    ],
    [
      'no such expression',
      'jobs: { a: { run: "x ${{ secrets.A }}" } }',
      [
        "1:22: job 'a': ${{ secrets.A }} is not known: write ${{ jobs.NAME.output }}, with .part or [0] behind it, or ${{ matrix.NAME }}",
      ],
    ],
    [
      'an open expression',
      'jobs: { a: { run: "x ${{ jobs" } }',
      ["1:22: job 'a': '${{' has no '}}': close it, or write '$${{'"],
    ],
    [
      'an expression in defaults',
      'defaults: { env: { A: "${{ jobs.b.output }}" } }\njobs: { a: { run: x } }',
      ["1:28: job 'a': there is no job 'b'; known: a"],
    ],
    [
      'an output in after',
      'jobs: { a: { run: x }, b: { run: x, after: "${{ jobs.a.output }}" } }',
      ["1:44: after of job 'b' names a job, not its output: write a"],
    ],
    [
      'a cycle',
      'jobs:\n  a: { run: x, after: c }\n  b: { run: x, after: a }\n  c: { run: "x ${{ jobs.b.output }}" }',
      ['2:3: jobs wait for each other: a after c after b after a; take one of these edges out'],
    ],
    [
      'itself',
      'jobs:\n  a: { run: "${{ jobs.a.output }}" }',
      ['2:3: jobs wait for each other: a after a; take one of these edges out'],
    ],
    [
      'tags that no worker has',
      'workers: [{ tags: [a] }]\njobs: { j: { run: x, tags: [a, b] } }',
      [
        "2:28: job 'j' asks for workers with a, b, and there are none: give them the tags, as in 'workers: [{ count: 1, tags: [a, b] }]'",
      ],
    ],
    [
      'more than there is',
      'resources: { memory: 2 }\njobs: { j: { run: x, resources: { memory: 3, cpu: 1 } } }',
      [
        "2:33: job 'j' asks for 3 of 'memory', and there are 2: say how much there is by 'resources' at the top of the file",
        "2:33: job 'j' asks for 1 of 'cpu', and there is none: say how much there is by 'resources' at the top of the file",
      ],
    ],
    [
      'a handler without a module',
      'jobs: { a: { task: t } }',
      ["1:20: task of job 'a' needs a tasks module: name it at the top of the file, as in 'tasks: ./tasks.mjs'"],
    ],
    [
      'a module that is not there',
      'tasks: ./nowhere.mjs\njobs: { a: { task: t } }',
      ['1:8: there is no tasks module ./nowhere.mjs: it is looked for relative to this file'],
    ],
    [
      'what is for commands',
      'tasks: package.json\njobs: { a: { task: t, env: { A: b } } }',
      ["2:23: env of job 'a' is for commands ('run'): a handler finds its input in 'with'"],
    ],
    [
      'what is for handlers',
      'jobs: { a: { run: x, with: 1 } }',
      ["1:28: with of job 'a' is for handlers: a command finds its input in env, or in ${{ … }} within 'run'"],
    ],
    ['a name twice', 'jobs:\n  a: { run: x }\n  a: { run: y }', ["3:3: 'a' is there twice: keep one"]],
  ])('%s', (_, text, lines) => {
    expect(problems(text)).toEqual(lines.map((line) => `build.yaml:${line}`));
  });

  test('all of it at once, in the order of the text', () => {
    const places = problems('jobs:\n  b: { run: 1 }\n  a: { x: 1, retries: no }').map((line) => line.split(': ')[0]);
    expect(places).toEqual(['build.yaml:2:13', 'build.yaml:3:3', 'build.yaml:3:8', 'build.yaml:3:23']);
  });

  test('what is no YAML, no JSON, or would blow up', () => {
    expect(problems('jobs:\n  a:\n    run: echo "a: b" c: d')).toEqual([
      `build.yaml:3:10: a text with ': ' in it must be quoted as a whole, or stand on the lines below 'run: |'`,
    ]);
    expect(problems('jobs: { a: { task: t, with: [${{ jobs.b.output }}] } }')).toEqual([
      "build.yaml:1:31: '${{ … }}' within { } or [ ] must be quoted",
    ]);
    expect(problems('jobs: {')[0]).toMatch(/^build\.yaml:1:\d+: /);
    expect(problems('{"jobs": {"a": {"run": "x",}}}', 'b.json')[0]).toMatch(/^b\.json:1:28: this is not JSON: /);
    const bomb = `a: &a [x]\n${Array.from('bcdefghij', (name, i) => `${name}: &${name} [${`*${'abcdefghij'[i]},`.repeat(9)}]`).join('\n')}`;
    expect(problems(bomb)[0]).toContain('alias');
  });
});
