/** The memory of arenas that a process has open, as the system shows it. */
import { readdirSync, readlinkSync, statSync } from 'node:fs';

export const hasArenas = process.platform === 'linux';

/** How many descriptors of that process lead to a file without a name in /dev/shm. */
export function arenasOpenIn(pid: number): number {
  return descriptors(pid).length;
}

/** How much memory (bytes) those files take. */
export function arenaMemoryOf(pid: number): number {
  return descriptors(pid).reduce((sum, file) => sum + 512 * statSync(file).blocks, 0);
}

function descriptors(pid: number): string[] {
  const files = readdirSync(`/proc/${pid}/fd`).map((file) => `/proc/${pid}/fd/${file}`);
  return files.filter((file) => {
    try {
      return /^\/dev\/shm\/#\d+ \(deleted\)$/.test(readlinkSync(file));
    } catch {
      return false; // it was closed meanwhile
    }
  });
}
