import { readFileSync } from 'node:fs';

/**
 * For how long (ms) the main thread of a process of this host has waited for a processor, all in all; undefined where
 * the system does not say.
 */
export function runDelay(pid: number): number | undefined {
  try {
    const nanoseconds = Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[1]);
    return Number.isNaN(nanoseconds) ? undefined : nanoseconds / 1e6;
  } catch {
    return undefined;
  }
}
