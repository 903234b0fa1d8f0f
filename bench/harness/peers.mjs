/**
 * The peers: other people's pools, in the rounds of our workloads. Those of npm are installed below `bench/peers` by
 * `npm run bench:peers` alone; BullMQ needs a redis-server, Python's a python3, which are used where they are found.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { installProblem } from '../../scripts/freshness.mjs';
import { withLock } from '../../scripts/lock.mjs';
import { npm } from '../../scripts/npm.mjs';
import { file, peer } from './bench.mjs';

/**
 * @typedef {import('./bench.mjs').Bench} Bench
 * @typedef {import('./bench.mjs').Entrant} Entrant
 */

const folder = file('peers');

/** By the names of their packages: what their workers are. */
const pools = /** @type {const} */ ({
  piscina: 'threads',
  tinypool: 'threads',
  workerpool: 'processes',
  'jest-worker': 'processes',
  bullmq: 'processes and Redis',
});

/** Whose time grows faster than the number of their tasks, or is long anyway. */
const slow = ['tinypool', 'workerpool', 'bullmq'];

/** Whether what `npm run bench:peers` installs is there. */
export function areInstalled() {
  return installProblem(folder) === undefined;
}

/**
 * Installs the peers where they are missing or other than the lockfile says.
 *
 * @throws {Error} where that fails
 */
export function install() {
  if (areInstalled()) return;
  const [command, args, { shell }] = npm(['ci', '--ignore-scripts', '--loglevel=error']);
  withLock(file('../build/peers-lock'), () => {
    if (areInstalled()) return;
    console.error('quartermaster: npm ci (in bench/peers)');
    const { status, error } = spawnSync(command, args, { cwd: folder, stdio: ['ignore', 2, 2], shell });
    if (status !== 0)
      throw new Error(`the peers could not be installed: ${error?.message ?? `npm ended with ${status}`}`);
  });
}

/**
 * Pools of npm and Python in one workload. Without `--peers` none of npm's, and those of Python where `always` says so.
 *
 * @param {Bench} bench
 * @param {'noop' | 'map' | 'payload' | 'skew'} workload
 * @param {Record<string, string | number>} given
 * @param {{ python?: readonly ('apply_async' | 'submit' | 'map')[], always?: boolean, slowRounds?: number | undefined }} [options]
 *   `slowRounds`: at most so many of those that take very long
 * @returns {{ entrants: Entrant[], notes: string[] }}
 */
export function pooled(bench, workload, given, { python = ['apply_async'], always = false, slowRounds } = {}) {
  const entrants = [];
  const notes = [];
  if (!bench.settings.peers && !always) return { entrants, notes };
  if (bench.settings.peers) {
    for (const [name, workers] of Object.entries(pools)) {
      if (name === 'bullmq' && !isThere('redis-server')) continue;
      const program = peer('pool-tasks', { peer: name, workload, ...given });
      const label = `${labelOf(name)} (${workers})`;
      const few = slowRounds !== undefined && slow.includes(name) ? { rounds: slowRounds } : {};
      entrants.push({ key: name, label, program, ...few });
    }
    if (!isThere('redis-server')) notes.push('There is no redis-server here: no figures of BullMQ.');
  }
  if (!isThere('python3')) return { entrants, notes: [...notes, 'There is no python3 here: no figures of its pools.'] };
  for (const through of python) {
    const program = pythonProgram('pool', { workload, through, ...given });
    entrants.push({ key: `python-${through}`, label: pythonNames[through], program });
  }
  return { entrants, notes };
}

const pythonNames = {
  apply_async: 'Python Pool.apply_async',
  submit: 'Python ProcessPoolExecutor.submit',
  map: 'Python Pool.map, with its own chunks',
};

/**
 * @param {string} name
 * @param {Record<string, string | number>} given
 * @returns {import('./program.mjs').Program}
 */
export function pythonProgram(name, given) {
  const args = Object.entries(given).map(([key, value]) => `${key}=${value}`);
  return { command: 'python3', args: [path.join(folder, `${name}.py`), ...args] };
}

/** With its version. @param {string} name of a package that is installed */
export function labelOf(name) {
  const text = readFileSync(path.join(folder, 'node_modules', name, 'package.json'), 'utf8');
  return `${name} ${JSON.parse(text).version}`;
}

/** @type {Map<string, boolean>} */
const found = new Map();

/** Whether such a program can be started. @param {'python3' | 'redis-server'} command */
export function isThere(command) {
  const known = found.get(command) ?? spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;
  found.set(command, known);
  return known;
}
