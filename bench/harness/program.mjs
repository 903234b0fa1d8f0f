/**
 * Runs one measured program: a child process in a process group and with a temporary folder of its own. It ends by
 * itself, or is ended after `timeout` ms with all that it has started; either way nothing of it is left.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startedWith } from '../processes.mjs';

/**
 * @typedef {object} Program
 * @property {string} [command] default: this Node.js
 * @property {readonly string[]} args
 * @property {number | undefined} [spinRate] steps of the limit's spin that make a µs of work; default: a thousand, whatever they take
 * @typedef {Record<string, number>} Figures what it says in the last line of its output; null is NaN
 */

/** It gave a wrong result, or did not come to its end. */
export class ProgramFailed extends Error {}

/** How long (ms) a process that was told to end may still take once its program has ended. */
const GRACE = 3_000;

/** By their folders. @type {Map<string, import('node:child_process').ChildProcess>} */
const running = new Map();
process.once('exit', () => {
  for (const [folder, child] of running) endAll(folder, child);
});
for (const [signal, number] of /** @type {const} */ ([
  ['SIGINT', 2],
  ['SIGTERM', 15],
])) {
  process.once(signal, () => process.exit(128 + number));
}

/**
 * @param {string} name for messages
 * @param {Program} program
 * @param {number} timeout
 * @returns {Promise<Figures>}
 */
export async function runProgram(name, { command = process.execPath, args, spinRate = 1000 }, timeout) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'qmb-')); // short: the path of a Unix socket has at most 107 bytes
  const child = spawn(command, args, {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...environmentOf(folder), PEER_SPIN_NODE: String(spinRate) }, // or each measures the CPU first
  });
  running.set(folder, child);
  const late = { is: false };
  const timer = setTimeout(() => {
    late.is = true;
    endAll(folder, child);
  }, timeout);
  try {
    const { how, output, errors } = await ended(child);
    if (late.is) throw new ProgramFailed(`${name} was not done after ${timeout} ms`);
    if (how !== 0) throw new ProgramFailed(`${name} ended with ${how}: ${reasonIn(errors)}`);
    await sayWhatIsLeft(name, folder);
    return figuresIn(name, output);
  } finally {
    clearTimeout(timer);
    endAll(folder, child);
    running.delete(folder);
  }
}

/** @param {string} folder */
function environmentOf(folder) {
  return { TMPDIR: folder, TEMP: folder, TMP: folder, XDG_RUNTIME_DIR: folder };
}

/**
 * @param {import('node:child_process').ChildProcessByStdio<null, import('node:stream').Readable, import('node:stream').Readable>} child
 * @returns {Promise<{ how: number | string, output: string, errors: string }>}
 */
function ended(child) {
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (errors += text));
  return new Promise((resolve, reject) => {
    child.once('error', (error) => reject(new ProgramFailed(`it could not be started: ${error.message}`)));
    child.once('close', (code, signal) => resolve({ how: code ?? String(signal), output, errors }));
  });
}

/**
 * The line of an uncaught error, or else all that it said.
 *
 * @param {string} errors
 */
function reasonIn(errors) {
  const lines = errors.trim().split('\n');
  return lines.find((line) => /^\w*Error\b|^wrong result/.test(line)) ?? lines.slice(-20).join('\n');
}

/**
 * @param {string} name
 * @param {string} output
 * @returns {Figures}
 */
function figuresIn(name, output) {
  const line = output.trim().split('\n').at(-1) ?? '';
  try {
    return JSON.parse(line, (_, value) => (value === null ? NaN : value));
  } catch {
    throw new ProgramFailed(`${name} ended with no figures but '${line}'`);
  }
}

/**
 * A product that leaves processes behind has a fault, but not a wrong result: it is said, and they are ended.
 *
 * @param {string} name
 * @param {string} folder
 */
async function sayWhatIsLeft(name, folder) {
  const deadline = Date.now() + GRACE;
  let left = processesOf(folder);
  while (left.length > 0 && Date.now() < deadline) {
    await sleep(25);
    left = processesOf(folder);
  }
  for (const pid of left) console.error(`${name} has left process ${pid} behind`);
}

/**
 * Ends what is left of a program, by id, and removes its folder.
 *
 * @param {string} folder
 * @param {import('node:child_process').ChildProcess} child
 */
function endAll(folder, child) {
  const lives = child.pid !== undefined && child.exitCode === null && child.signalCode === null;
  if (lives) kill(-child.pid); // its process group
  for (const pid of processesOf(folder)) kill(pid);
  rmSync(folder, { recursive: true, force: true });
}

/** @param {number} pid */
function kill(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it has ended
  }
}

/**
 * Wherever they are, also in process groups of their own.
 *
 * @param {string} folder
 */
function processesOf(folder) {
  return startedWith((variable) => variable === `TMPDIR=${folder}`);
}
