/**
 * The type tests (*.types.ts) are compiled by `npm run types` and never run. Here they are seen red: without its
 * `@ts-expect-error`, every refused line must be an error, and nothing else may be one.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { run } from '../kit/run.ts';

const root = path.dirname(path.dirname(import.meta.dirname));
const tsc = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc');
const files = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.types.ts'));
const expectation = /^\s*\/\/ @ts-expect-error/;
/** "is declared but never read": would hide that a line is accepted after all. */
const UNUSED = /TS(6133|6192|6196|6198)/;

test('every line that the types must refuse is refused for what it says', async () => {
  const folder = freshFolder();
  const refused = new Set<string>();
  for (const name of [...files, 'tasks.ts']) {
    const lines = readFileSync(path.join(import.meta.dirname, name), 'utf8').split('\n');
    for (const [at, line] of lines.entries()) if (expectation.test(line)) refused.add(`${name}:${at + 2}`);
    const bare = lines.map((line) => (expectation.test(line) ? '// refused' : line));
    writeFileSync(path.join(folder, name), bare.join('\n'));
  }
  expect(refused.size).toBeGreaterThan(40);
  const errors = await compile(folder);
  expect(new Set(errors.map(({ place }) => place))).toEqual(refused);
  expect(errors.filter(({ text }) => UNUSED.test(text))).toEqual([]);
});

test('a wrong program is refused, line by line', async () => {
  const folder = freshFolder();
  const wrong = `import { JobGraph, startManager } from 'quartermaster';
const manager = await startManager();
const tasks = manager.tasks<{ double(n: number): number }>();
await tasks.put('double', 2);
await tasks.put('double', 'two');
await tasks.put('triple', 2);
const text: string = await tasks.run('double', 2);
new JobGraph<{ shout(s: string): string }>().add('shout', new JobGraph<{ n(): number }>().add('n'));
export { text };
`;
  writeFileSync(path.join(folder, 'wrong.ts'), wrong);
  const errors = await compile(folder);
  expect(errors.map(({ place }) => place)).toEqual(['wrong.ts:5', 'wrong.ts:6', 'wrong.ts:7', 'wrong.ts:8']);
});

test('npm run types compiles every type test', async () => {
  const { stdout } = await run(process.execPath, [tsc, '-p', 'test', '--listFilesOnly'], { cwd: root });
  const compiled = stdout.split('\n').map((file) => path.basename(file));
  expect(compiled).toEqual(expect.arrayContaining(files));
  const { scripts } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
    scripts: { types: string };
  };
  expect(scripts.types).toMatch(/\btsc -p test\b/);
});

/** A folder in which 'quartermaster' is this package, and files are compiled as strictly as the tests. */
function freshFolder(): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'types-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const config = {
    extends: path.join(root, 'tsconfig.base.json'),
    compilerOptions: {
      noEmit: true,
      allowImportingTsExtensions: true,
      moduleDetection: 'force',
      typeRoots: [path.join(root, 'node_modules', '@types')],
      paths: { quartermaster: [path.join(root, 'dist', 'index.d.ts')] },
    },
    include: ['*.ts'],
  };
  writeFileSync(path.join(folder, 'tsconfig.json'), JSON.stringify(config));
  writeFileSync(path.join(folder, 'package.json'), '{ "type": "module" }');
  return folder;
}

async function compile(folder: string): Promise<{ place: string; text: string }[]> {
  const { stdout } = await run(process.execPath, [tsc, '-p', folder, '--pretty', 'false'], { cwd: folder });
  return stdout.split('\n').flatMap((line) => {
    const [, file, at, text] = /^(?:.*[/\\])?([\w.]+)\((\d+),\d+\): (.*)$/.exec(line) ?? [];
    return file === undefined ? [] : [{ place: `${file}:${at}`, text: text as string }];
  });
}
