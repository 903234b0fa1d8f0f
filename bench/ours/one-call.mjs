/**
 * T3: one call of a proxy at a time, each awaited before the next, `n` pairs of them: a queue's put and getNowait, or a
 * dict's set and get, with a small value that is encoded and decoded.
 */
import { startManager } from 'quartermaster';
import { check, parameters, report } from '../measured.mjs';
import { countCpu } from '../processes.mjs';
import { quantile } from '../statistics.mjs';

const { n, object } = parameters({ n: 5_000, object: 'queue' }); // or dict
const WARM_UP = 2_000; // pairs, as the limit program

const client = await startManager();
try {
  const value = { id: 1, fn: 'noop', arg: { i: 1 } };
  const queue = client.queue();
  const dict = /** @type {import('quartermaster').DictProxy<number, unknown>} */ (client.dict());
  /** @type {[(k: number) => Promise<void>, (k: number) => Promise<unknown>]} */
  const [write, read] =
    object === 'queue'
      ? [() => queue.put(value), () => queue.getNowait()]
      : [(k) => dict.set(k, value), (k) => dict.get(k)];

  const microseconds = new Float64Array(2 * n);
  const cpu = countCpu({ manager: client.pid }); // over the warm-up too, as for the limit
  for (let k = -WARM_UP; k < n; k++) {
    const start = performance.now();
    await write(k);
    const between = performance.now();
    const back = await read(k);
    const end = performance.now();
    checkValue(back, value);
    if (k < 0) continue;
    microseconds[2 * k] = (between - start) * 1000;
    microseconds[2 * k + 1] = (end - between) * 1000;
  }
  const used = cpu();
  check((await queue.size()) === 0, 'the queue is not empty');
  check((await dict.size()) === (object === 'dict' ? WARM_UP + n : 0), 'the dict has not what was set');
  const p50us = quantile(microseconds, 0.5);
  const p99us = quantile(microseconds, 0.99);
  report({ n: 2 * n, p50us, p99us, ...used });
} finally {
  await client.shutdown();
}

/**
 * @param {any} back
 * @param {{ id: number, fn: string, arg: { i: number } }} value
 */
function checkValue(back, { id, fn, arg }) {
  check(back?.id === id && back.fn === fn && back.arg.i === arg.i, `${JSON.stringify(back)} came back`);
}
