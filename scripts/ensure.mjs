// Brings the work tree to the point where the next command can run: `npm start`, `npm test` and their kin begin here,
// also in a fresh clone. Installs what package-lock.json says when it is not what stands in node_modules, compiles
// what is missing or older than its sources, and says one line for each step. With --clean the compiled output is made anew.
//
// Only built-in modules: nothing is installed yet the first time. All output goes to stderr, so that
// `npm start | program` carries the program's own output alone.

import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { installProblem, needsBuild, orphans, projects, sourcesOf } from './freshness.mjs';
import { withLock } from './lock.mjs';
import { npm } from './npm.mjs';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const clean = process.argv.includes('--clean');

class StepFailed extends Error {
  exitCode = 1;
}

main();

function main() {
  refuseOldNode();
  if (installProblem(root) === undefined && !projects.some(mustBuild)) return;
  try {
    withLock(path.join(root, 'build', 'lock'), ensure, {
      waiting: (pid) => say(`waiting for process ${pid}, which is building`),
    });
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error;
    say(error.message);
    process.exitCode = error.exitCode;
  }
}

function refuseOldNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  say(`Quartermaster needs Node.js 20.19 or newer; this is ${process.versions.node}.`);
  process.exit(1);
}

function ensure() {
  // Asked again: whoever held the lock before us may have done the work.
  const problem = installProblem(root);
  if (problem !== undefined) install(problem);
  for (const project of projects) if (mustBuild(project)) build(project);
}

/** @param {import('./freshness.mjs').Project} project */
function mustBuild(project) {
  return sourcesOf(root, project).length > 0 && (clean || needsBuild(root, project));
}

/** @param {string} problem */
function install(problem) {
  say(`npm ci (${problem})`);
  run(...npm(['ci', '--include=dev', '--loglevel=error']));
}

/** @param {import('./freshness.mjs').Project} project */
function build(project) {
  say(`${clean ? 'clean and ' : ''}tsc -p ${project.config}`);
  const stamp = path.join(root, project.stamp);
  rmSync(stamp, { force: true });
  if (clean) rmSync(path.join(root, project.output), { recursive: true, force: true });
  // Files are timed by a coarser clock than ours: 10 ms earlier, so that an edit during the build counts as newer.
  const started = new Date(Date.now() - 10);
  run(process.execPath, [path.join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', project.config]);
  for (const file of orphans(root, project)) rmSync(file);
  mkdirSync(path.dirname(stamp), { recursive: true });
  writeFileSync(stamp, '');
  utimesSync(stamp, started, started);
}

/**
 * Runs one step to its end; a failing one ends this program with its exit code.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {{ shell: boolean }} [options]
 */
function run(command, args, { shell } = { shell: false }) {
  const { status, signal, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2], shell });
  if (status === 0) return;
  const failure = new StepFailed(`That step failed: ${error?.message ?? signal ?? `exit code ${status}`}.`);
  failure.exitCode = status ?? 1;
  throw failure;
}

/** @param {string} line */
function say(line) {
  process.stderr.write(`quartermaster: ${line}\n`);
}
