/** Where it was measured. */
import os from 'node:os';

/** @typedef {{ cpu: string, cores: number, node: string, system: string, load: number }} Machine */

/** @returns {Machine} */
export function thisMachine() {
  return {
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown CPU',
    cores: os.availableParallelism(),
    node: process.version,
    system: `${os.type()} ${os.release()}`,
    load: os.loadavg()[0],
  };
}
