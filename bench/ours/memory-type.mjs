/** A custom type for T9: collects garbage in the process that it is in, the manager's, and says what is left. */
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collectGarbage = /** @type {() => void} */ (runInNewContext('gc')); // a context made after the flag has it

/** What is left after full collections: resident and live bytes. */
export async function memoryInUse() {
  for (let i = 0; i < 5; i++) {
    collectGarbage();
    await setImmediate(); // what was freed outside the heap goes in the turn after
  }
  const { rss, heapUsed, external } = process.memoryUsage();
  return { resident: rss, live: heapUsed + external };
}

export class Memory {
  inUse() {
    return memoryInUse();
  }
}

/** @param {import('quartermaster').Manager} manager */
export default function register(manager) {
  manager.register('memory', Memory);
}
