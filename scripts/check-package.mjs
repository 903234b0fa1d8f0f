// Checks the package as its users get it: publint reads package.json, the tarball's contents are compared with what
// should be in it, and the tarball is installed into a project of its own, without install scripts, and imported there.
// Leaves nothing behind.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { formatMessage } from 'publint/utils';
import { publint } from 'publint';
import { npm } from './npm.mjs';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));

const problems = [...(await publintProblems()), ...contentProblems()];
if (problems.length === 0) tryInstalled();
for (const problem of problems) console.error(`quartermaster: ${problem}`);
if (problems.length > 0) process.exitCode = 1;

async function publintProblems() {
  const { messages } = await publint({ pkgDir: root, strict: true });
  return messages.map((message) => `publint: ${formatMessage(message, manifest, { color: false })}`);
}

/** What is in the tarball and should not be, and the other way round. */
function contentProblems() {
  /** @type {string[]} */
  const files = JSON.parse(npmOutput(['pack', '--dry-run', '--json'], root))[0].files.map((file) => file.path);
  const present = new Set(files);
  const documents = ['package.json', 'README.md', 'CHANGELOG.md', 'SECURITY.md', 'LICENSE'];
  documents.push('schema/graph.schema.json', 'docs/graph-files.md');
  const isSource = /^src\/.*\.ts$/;
  const isOutput = /^dist\/.*\.(d\.ts|js)(\.map)?$/;
  const wanted = [
    ...documents,
    ...files.filter((file) => isSource.test(file) && !file.endsWith('.d.ts')).flatMap((file) => outputsOf(file)),
    ...files.filter((file) => isOutput.test(file)).map((file) => sourceOf(file)),
  ];
  const missing = [...new Set(wanted)].filter((file) => !present.has(file));
  const extra = files.filter((file) => !documents.includes(file) && !isSource.test(file) && !isOutput.test(file));
  console.log(`${files.length} files in the tarball`);
  return [
    ...missing.map((file) => `${file} is missing in the tarball`),
    ...extra.map((file) => `${file} is in the tarball and should not be`),
  ];
}

/** @param {string} source */
function outputsOf(source) {
  const stem = source.replace(/^src\/(.*)\.ts$/, 'dist/$1');
  return [`${stem}.js`, `${stem}.js.map`, `${stem}.d.ts`, `${stem}.d.ts.map`];
}

/** @param {string} output */
function sourceOf(output) {
  return output.replace(/^dist\/(.*?)(\.d\.ts|\.js)(\.map)?$/, 'src/$1.ts');
}

/** Installs the tarball where nothing of this work tree is in reach, and imports each of its entries. */
function tryInstalled() {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'qm-package-'));
  try {
    const [{ filename }] = JSON.parse(npmOutput(['pack', '--json', '--pack-destination', folder], root));
    writeFileSync(path.join(folder, 'package.json'), '{ "name": "user", "private": true, "type": "module" }');
    npmOutput(['install', '--ignore-scripts', '--no-audit', '--no-fund', `./${filename}`], folder);
    for (const entry of Object.keys(manifest.exports).filter((key) => !key.endsWith('.json'))) {
      const name = path.posix.join(manifest.name, entry);
      const text = `console.log(Object.keys(await import('${name}')).length)`;
      const count = execFileSync(process.execPath, ['--input-type=module', '-e', text], {
        cwd: folder,
        encoding: 'utf8',
      });
      console.log(`import('${name}') from the installed tarball: ${count.trim()} exports`);
    }
    for (const command of Object.keys(manifest.bin)) tryCommand(command, folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * The installed command runs a graph file, as its users start it.
 *
 * @param {string} command
 * @param {string} folder
 */
function tryCommand(command, folder) {
  const options = { cwd: folder, encoding: /** @type {const} */ ('utf8'), shell: process.platform === 'win32' };
  const bin = path.join(folder, 'node_modules', '.bin', command);
  const version = execFileSync(bin, ['--version'], options).trim();
  if (version !== manifest.version) throw new Error(`${command} --version printed '${version}'`);
  const graph = { jobs: { a: { run: 'echo made' }, b: { run: 'echo "${{ jobs.a.output }} it"' } } };
  writeFileSync(path.join(folder, 'build.json'), JSON.stringify(graph));
  const lines = execFileSync(bin, ['run', 'build.json', '--json'], options).trim().split('\n');
  const ended = lines.map((line) => JSON.parse(line)).filter(({ state }) => state === 'succeeded');
  const outputs = ended.map(({ output }) => output).join(', ');
  if (outputs !== 'made, made it') throw new Error(`${command} run made ${outputs}`);
  console.log(`${command} ${version} from the installed tarball ran a graph file`);
}

/**
 * @param {string[]} args
 * @param {string} cwd
 */
function npmOutput(args, cwd) {
  const [command, full, options] = npm([...args, '--loglevel=error']);
  return execFileSync(command, full, { ...options, cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
}
