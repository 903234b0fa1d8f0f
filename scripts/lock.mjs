// A lock between processes of one work tree, made of a directory: build/lock/<pid of the holder>.
//
//   take     a private directory holding our pid is renamed onto build/lock: fails while that one has an entry
//   steal    the dead holder's entry is renamed to ours: of all who try, rename lets exactly one succeed
//   release  our entry goes, then the empty directory (which may already be somebody else's again: left alone)
//
// A holder killed at any point leaves an entry whose pid is dead, never a half-made lock.

import { mkdirSync, readdirSync, renameSync, rmSync, rmdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const poll = 100; // ms between looks at a lock that somebody holds

/**
 * Runs `work` while this process alone holds `directory`. `waiting` is called once, with the holder's pid, when
 * somebody else has it. Gives up with an error after `patience` ms: a reused pid could look alive for ever.
 *
 * @template R
 * @param {string} directory
 * @param {() => R} work
 * @param {{ waiting?: (pid: number) => void, patience?: number }} [options]
 * @returns {R}
 */
export function withLock(directory, work, { waiting = () => {}, patience = 600_000 } = {}) {
  take(directory, waiting, Date.now() + patience);
  try {
    return work();
  } finally {
    rmSync(path.join(directory, String(process.pid)), { force: true });
    attempt(() => rmdirSync(directory));
  }
}

/**
 * @param {string} directory
 * @param {(pid: number) => void} waiting
 * @param {number} deadline
 */
function take(directory, waiting, deadline) {
  const mine = `${directory}.${process.pid}`;
  rmSync(mine, { recursive: true, force: true });
  mkdirSync(mine, { recursive: true });
  writeFileSync(path.join(mine, String(process.pid)), '');
  try {
    for (let told = false; ;) {
      if (attempt(() => renameSync(mine, directory))) return;
      const holder = holderOf(directory);
      if (holder === undefined) continue;
      if (!alive(holder)) {
        if (attempt(() => renameSync(path.join(directory, String(holder)), path.join(directory, String(process.pid)))))
          return;
        continue;
      }
      if (Date.now() > deadline)
        throw new Error(`Process ${holder} still holds ${directory}; remove it if it is stale.`);
      if (!told) waiting(holder);
      told = true;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, poll);
    }
  } finally {
    rmSync(mine, { recursive: true, force: true });
  }
}

/** @param {string} directory */
function holderOf(directory) {
  try {
    const [entry] = readdirSync(directory);
    return entry === undefined ? undefined : Number(entry);
  } catch {
    return undefined; // released between the rename and this look
  }
}

/** @param {number} pid */
function alive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM';
  }
}

/** @param {() => void} step */
function attempt(step) {
  try {
    step();
    return true;
  } catch {
    return false;
  }
}
