/**
 * T1 with nothing but `child_process.fork()` and its JSON messages: tasks are sent in turn to each child, with `window`
 * of them outstanding at each (0: all at once), and the replies resolve promises found by id. With `chunk`, T2: so many
 * inputs in each message.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { checkNoops, parameters, report } from '../measured.mjs';
import { countCpu } from '../processes.mjs';

const WARM_UP = 2_000;

if (process.send === undefined) await main();
else child();

async function main() {
  const { n, workers, window, chunk } = parameters({ n: 20_000, workers: 2, window: 128, chunk: 0 });
  const children = Array.from({ length: workers }, () => fork(fileURLToPath(import.meta.url)));
  /** @type {Map<number, (result: unknown) => void>} */
  const waiting = new Map();
  await Promise.all(children.map((one) => once(one, 'message')));
  for (const one of children) {
    one.on('message', (/** @type {{ id: number, result: unknown }} */ { id, result }) => {
      const resolve = waiting.get(id);
      waiting.delete(id);
      resolve?.(result);
    });
  }
  let ids = 0;
  /** @param {string} op @param {unknown} arg */
  const run = (op, arg) =>
    new Promise((resolve) => {
      const id = ids++;
      waiting.set(id, resolve);
      children[id % workers].send({ id, op, arg });
    });
  /** @param {number} count */
  const allInChunks = async (count) => {
    const chunks = new Array(Math.ceil(count / chunk));
    let next = 0;
    const flow = async () => {
      while (next * chunk < count) {
        const i = next++;
        const length = Math.min(chunk, count - i * chunk);
        chunks[i] = await run(
          'noops',
          Array.from({ length }, (_, k) => ({ i: i * chunk + k })),
        );
      }
    };
    await Promise.all(Array.from({ length: window * workers }, flow));
    return chunks.flat();
  };
  /** @param {number} count */
  const all = async (count) => {
    if (chunk > 0) return allInChunks(count);
    const results = new Array(count);
    let next = 0;
    const flow = async () => {
      while (next < count) {
        const i = next++;
        results[i] = await run('noop', { i });
      }
    };
    await Promise.all(Array.from({ length: window === 0 ? count : Math.min(count, window * workers) }, flow));
    return results;
  };
  const warmUp = chunk > 0 ? n : WARM_UP;
  checkNoops(await all(warmUp), warmUp);

  const cpu = countCpu({ workers: children.map(({ pid }) => Number(pid)) });
  const start = performance.now();
  const results = await all(n);
  const seconds = (performance.now() - start) / 1000;
  const used = cpu();
  checkNoops(results, n);
  report({ n, seconds, perSec: n / seconds, ...used });
  for (const one of children) one.disconnect();
}

function child() {
  /** @type {Record<string, (arg: any) => unknown>} */
  const operations = { noop: ({ i }) => i + 1, noops: (all) => all.map(({ i }) => i + 1) };
  process.on('message', (/** @type {{ id: number, op: string, arg: unknown }} */ { id, op, arg }) => {
    process.send?.({ id, result: operations[op](arg) });
  });
  process.send?.('ready');
}
