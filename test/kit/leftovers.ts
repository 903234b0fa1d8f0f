/**
 * What a run of tests leaves behind. Every process of the run inherits a TMPDIR and XDG_RUNTIME_DIR of its own, so a
 * leftover is told from somebody else's exactly: a file in that folder, or a process that was started with it, even
 * one in a session and process group of its own (Linux only: it is read from /proc).
 */
import { mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** Makes the run's folder. Its path is short: a Unix socket's has at most 107 bytes, and tests make folders inside. */
export function freshFolder(): string {
  const base = os.tmpdir().length <= 24 || process.platform === 'win32' ? os.tmpdir() : '/tmp';
  return realpathSync(mkdtempSync(path.join(base, 'qmt-')));
}

/** The environment that marks a process as one of the run. */
export function environmentOf(folder: string): Record<string, string> {
  return {
    TMPDIR: folder,
    TEMP: folder,
    TMP: folder,
    XDG_RUNTIME_DIR: folder,
    NODE_DISABLE_COMPILE_CACHE: '1', // npm and tsc would keep theirs in TMPDIR
  };
}

/**
 * Removes the folder and ends what still runs with it, then throws an error that names what was found.
 * `grace` (ms): how long a process that was told to end may still take.
 */
export async function refuseLeftovers(folder: string, grace = 3000): Promise<void> {
  const processes = await processesLeft(folder, grace);
  for (const { pid } of processes) process.kill(pid, 'SIGKILL');
  const files = readdirSync(folder, { recursive: true }).map(String);
  rmSync(folder, { recursive: true, force: true });
  if (processes.length + files.length === 0) return;
  throw new Error(
    ['The tests left something behind:']
      .concat(processes.map(({ pid, command }) => `  process ${pid}: ${command}`))
      .concat(files.map((file) => `  file ${file}`))
      .join('\n'),
  );
}

interface Process {
  readonly pid: number;
  readonly command: string;
}

async function processesLeft(folder: string, grace: number): Promise<Process[]> {
  const deadline = Date.now() + grace;
  for (;;) {
    const left = processesOf(folder);
    if (left.length === 0 || Date.now() >= deadline) return left;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** The processes that were started with this TMPDIR, but for vitest's own, which end after the teardown. */
function processesOf(folder: string): Process[] {
  if (process.platform !== 'linux') return [];
  const found: Process[] = [];
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    try {
      if (!readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(`TMPDIR=${folder}`)) continue;
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      if (!/vitest[/\\]dist[/\\]workers/.test(command)) found.push({ pid, command });
    } catch {
      // it ended while we looked, or it is another user's
    }
  }
  return found;
}
