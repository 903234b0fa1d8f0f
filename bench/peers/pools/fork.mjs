/**
 * Nothing but `child_process.fork()` and its JSON messages: a task goes to the child that has the fewest, and at most
 * `WINDOW` of them wait at each.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { perform } from '../operations.mjs';

const WINDOW = 4;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.on('message', (/** @type {{ id: number, call: any }} */ { id, call }) => {
    process.send?.({ id, output: perform(call) });
  });
  process.send?.('ready');
}

/** @param {number} count */
export async function open(count) {
  /** @type {Map<number, (output: unknown) => void>} */
  const outstanding = new Map();
  /** @type {{ id: number, call: unknown }[]} */
  const waiting = [];
  let first = 0;
  let ids = 0;
  const workers = Array.from({ length: count }, () => ({ child: fork(fileURLToPath(import.meta.url)), has: 0 }));
  await Promise.all(workers.map(({ child }) => once(child, 'message')));
  const next = () => {
    for (;;) {
      if (first === waiting.length) return;
      const least = workers.reduce((a, b) => (b.has < a.has ? b : a));
      if (least.has >= WINDOW) return;
      least.has++;
      least.child.send(waiting[first++]);
      if (first === waiting.length) first = waiting.length = 0;
    }
  };
  for (const worker of workers) {
    worker.child.on('message', (/** @type {{ id: number, output: unknown }} */ { id, output }) => {
      worker.has--;
      next();
      const resolve = outstanding.get(id);
      outstanding.delete(id);
      resolve?.(output);
    });
  }
  return {
    run: (/** @type {string} */ operation, /** @type {unknown} */ input) =>
      new Promise((resolve) => {
        const id = ids++;
        outstanding.set(id, resolve);
        waiting.push({ id, call: { operation, input } });
        next();
      }),
    workers: workers.map(({ child }) => Number(child.pid)),
    close: async () => {
      for (const { child } of workers) child.disconnect();
    },
  };
}
