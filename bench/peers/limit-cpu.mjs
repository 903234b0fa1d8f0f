// @ts-check
/**
 * Loaded with `--import` before a limit program, which stays as it is: adds to its line of JSON the CPU that it and its
 * children have used since it looked at the clock for the first time, when the processes are there and it begins.
 */
import fs from 'node:fs';
import { children, countCpu } from '../processes.mjs';

if (process.send === undefined) count(); // its children are forked, and left alone

function count() {
  const { now } = performance;
  performance.now = () => {
    performance.now = now;
    const [manager, ...workers] = children(); // the first that it forks is the manager, or the only server
    const cpu = countCpu({ manager, workers });
    const write = fs.writeSync;
    fs.writeSync = /** @type {typeof fs.writeSync} */ (
      (/** @type {number} */ fd, /** @type {string} */ line) =>
        write(fd, `${JSON.stringify({ ...JSON.parse(line), ...cpu() })}\n`)
    );
    return performance.now();
  };
}
