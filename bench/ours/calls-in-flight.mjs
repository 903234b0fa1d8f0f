/**
 * T4: `n` calls of one object, 100 of them outstanding at any time. Without payload: a counter's `add`, whose answers
 * must also come in order. With small values: a dict's `set` and `get` (the client encodes and decodes, the manager
 * never does), and a custom type's method that returns what it is given (both ends encode and decode).
 */
import { startManager } from 'quartermaster';
import { check, parameters, report } from '../measured.mjs';
import { countCpu } from '../processes.mjs';
import { quantile } from '../statistics.mjs';

const { n, depth, call } = parameters({ n: 100_000, depth: 100, call: 'counter' }); // or dict, or custom
const WARM_UP = 5_000; // as the limit program

const client = await startManager({ modules: [new URL('echo-type.mjs', import.meta.url)] });
try {
  const counter = client.counter();
  const dict = /** @type {import('quartermaster').DictProxy<number, any>} */ (client.dict());
  const echo = /** @type {import('quartermaster').ObjectProxy<import('./echo-type.mjs').Echo>} */ (
    client.object('echo')
  );
  let added = 0;

  /** @type {Record<string, (i: number) => Promise<void>>} */
  const calls = {
    counter: async () => {
      const expected = ++added;
      const sum = await counter.add(1);
      check(sum === expected, `the ${expected}th add gave ${sum}`);
    },
    dict: async (i) => {
      if (i % 2 === 0) return dict.set(i % (2 * depth), { id: i, fn: 'noop', arg: { i } });
      const back = await dict.get((i - 1) % (2 * depth));
      check(back.id === i - 1 && back.arg.i === i - 1, `get after set(${i - 1}) gave ${JSON.stringify(back)}`);
    },
    custom: async (i) => {
      const back = await echo.echo({ id: i, fn: 'noop', arg: { i } });
      check(back.id === i && back.arg.i === i, `echo of ${i} gave ${JSON.stringify(back)}`);
    },
  };
  const one = calls[call];
  if (one === undefined) throw new TypeError(`call must be ${Object.keys(calls).join(', ')}, not ${call}`);

  const cpu = countCpu({ manager: client.pid }); // over the warm-up too, as for the limit
  await inFlight(Math.min(n, WARM_UP), one);
  const { seconds, microseconds } = await inFlight(n, one);
  const used = cpu();
  const p50us = quantile(microseconds, 0.5);
  const p99us = quantile(microseconds, 0.99);
  report({ n, seconds, perSec: n / seconds, p50us, p99us, ...used });
} finally {
  await client.shutdown();
}

/**
 * @param {number} count
 * @param {(i: number) => Promise<void>} run
 */
async function inFlight(count, run) {
  const microseconds = new Float64Array(count);
  let next = 0;
  const flow = async () => {
    while (next < count) {
      const i = next++;
      const sent = performance.now();
      await run(i);
      microseconds[i] = (performance.now() - sent) * 1000;
    }
  };
  const start = performance.now();
  await Promise.all(Array.from({ length: depth }, flow));
  return { seconds: (performance.now() - start) / 1000, microseconds };
}
