/** The memory of arenas that a process has open, as the system shows it. */
import { readdirSync, readlinkSync } from 'node:fs';

export const hasArenas = process.platform === 'linux';

/** How many descriptors of that process lead to a file without a name in /dev/shm. */
export function arenasOpenIn(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).filter((file) => {
    try {
      return /^\/dev\/shm\/#\d+ \(deleted\)$/.test(readlinkSync(`/proc/${pid}/fd/${file}`));
    } catch {
      return false; // it was closed meanwhile
    }
  }).length;
}
