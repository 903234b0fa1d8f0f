/** Every code block of the README is executed, and prints what its comments `// → …` say, line by line. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { folderWith, runGraphFile } from './kit/command.ts';
import { environmentOf, freshFolder, refuseLeftovers } from './kit/leftovers.ts';
import { run } from './kit/run.ts';

const root = path.dirname(import.meta.dirname);
const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
  name: string;
  scripts: Record<string, string>;
};

interface Block {
  readonly language: string;
  readonly text: string;
  readonly line: number;
}

const blocks = blocksOf(readFileSync(path.join(root, 'README.md'), 'utf8'));
/** A block that begins with `// name.mjs` is that file, for all programs. */
const isFile = ({ text }: Block): boolean => /^\/\/ \S+\.mjs\n/.test(text);
const programs = blocks.filter((block) => block.language === 'js' && !isFile(block));
const files = blocks.filter((block) => block.language === 'js' && isFile(block));

test('the README has programs, a file for them, and commands, in languages that are checked here', () => {
  expect(new Set(blocks.map(({ language }) => language))).toEqual(new Set(['js', 'sh', 'yaml']));
  expect(programs.length).toBeGreaterThan(3);
  expect(files.length).toBeGreaterThan(0);
});

describe.each(programs)('line $line', (program) => {
  test('runs as it stands, and prints what it says', async () => {
    const wanted = program.text.split('\n').flatMap((line) => /\/\/ → (.*)$/.exec(line)?.[1] ?? []);
    expect(wanted.length).toBeGreaterThan(0);
    const { folder, marked } = project();
    const main = path.join(folder, 'main.mjs');
    writeFileSync(main, program.text);
    const { stdout, ...rest } = await run(process.execPath, [main], { cwd: folder, env: environmentOf(marked) });
    await refuseLeftovers(marked);
    expect(rest).toEqual({ code: 0, signal: null, stderr: '' });
    expect(stdout).toBe(wanted.map((line) => `${line}\n`).join(''));
  });
});

test('its graph file runs', async () => {
  const [graph] = blocks.filter(({ language }) => language === 'yaml');
  const folder = folderWith({ 'build.yaml': graph?.text ?? '' });
  const { code, outputs } = await runGraphFile(folder, 'build.yaml');
  expect({ code, outputs }).toEqual({
    code: 0,
    outputs: { compile: '', test: 'hello', pack: 'packed what says hello' },
  });
});

test('its commands are those of package.json', () => {
  const commands = blocks.filter(({ language }) => language === 'sh').flatMap(({ text }) => text.trim().split('\n'));
  const run = `npx ${manifest.name} run build.yaml`;
  expect(commands).toEqual([`npm install ${manifest.name}`, run, 'npm start', 'npm test']);
  expect(Object.keys(manifest.scripts)).toEqual(expect.arrayContaining(['start', 'test']));
});

/** A project that has this package installed, and a temporary folder for what its programs make. */
function project(): { folder: string; marked: string } {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'readme-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  mkdirSync(path.join(folder, 'node_modules'));
  symlinkSync(root, path.join(folder, 'node_modules', manifest.name), 'junction');
  for (const { text } of files) writeFileSync(path.join(folder, /^\/\/ (\S+)/.exec(text)?.[1] as string), text);
  return { folder, marked: freshFolder() };
}

function blocksOf(markdown: string): Block[] {
  return [...markdown.matchAll(/^```(\w*)\n([^]*?)^```$/gm)].map(({ 1: language = '', 2: text = '', index }) => ({
    language,
    text,
    line: markdown.slice(0, index).split('\n').length,
  }));
}
