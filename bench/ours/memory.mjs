/**
 * T9: bytes for each of `n` small tasks (an input of 30 bytes), in a fresh manager process.
 *
 *     pending   the manager's, for tasks that nobody takes; and how fast they are put, all in one go
 *     finished  the manager's, for records of tasks that have succeeded
 *     handles   this process's, for each outstanding `run()` and for each handle of a `put()`
 *
 * Garbage is collected before each reading, in the manager by a custom type that the benchmark registers there.
 */
import { setTimeout } from 'node:timers/promises';
import { startManager, work } from 'quartermaster';
import { check, parameters, report } from '../measured.mjs';
import { residentBytes } from '../processes.mjs';
import { memoryInUse } from './memory-type.mjs';

const { n, what } = parameters({ n: 200_000, what: 'pending' });
const WARM_UP = 2_000;
const BATCH = 1_000;
const INPUT_BYTES = 30;

const input = { i: 1, text: 'x'.repeat(15) }; // its encoded size is checked below
const client = await startManager({
  modules: [new URL('memory-type.mjs', import.meta.url)],
  queue: { keepRecords: { count: n + WARM_UP } },
});
const memory = /** @type {import('quartermaster').ObjectProxy<import('./memory-type.mjs').Memory>} */ (
  client.object('memory')
);
const tasks = client.tasks();
try {
  if (what === 'pending') report(await pending());
  else if (what === 'finished') report(await finished());
  else if (what === 'handles') report(await handles());
  else throw new TypeError(`what must be pending, finished or handles, not ${what}`);
} finally {
  await client.shutdown();
}

async function pending() {
  await putAll(WARM_UP);
  const before = await memory.inUse();
  const start = performance.now();
  const ids = await putAll(n);
  const seconds = (performance.now() - start) / 1000;
  const settled = await settledBytes(client.pid);
  const after = await memory.inUse();
  await checkCounts('ready', n + WARM_UP);
  const record = await tasks.dict.get(/** @type {string} */ (ids.at(-1)));
  check(record?.bytesIn === INPUT_BYTES, `an input of ${record?.bytesIn} bytes, not ${INPUT_BYTES}`);
  return {
    n,
    seconds,
    perSec: n / seconds,
    ...each(before, after),
    settled: (settled - before.resident) / n,
  };
}

/** @param {number} count */
async function putAll(count) {
  const puts = new Array(count);
  for (let i = 0; i < count; i++) puts[i] = tasks.put('small', input);
  return (await Promise.all(puts)).map(({ id }) => id);
}

async function finished() {
  const stop = new AbortController();
  const loop = work(tasks, { small: () => 1 }, { signal: stop.signal });
  await finish(WARM_UP);
  const before = await memory.inUse();
  await finish(n);
  const after = await memory.inUse();
  stop.abort();
  await loop;
  await checkCounts('succeeded', n + WARM_UP);
  return { n, ...each(before, after) };
}

/**
 * In batches: what is measured is records alone.
 *
 * @param {number} count
 */
async function finish(count) {
  for (let done = 0; done < count; done += BATCH) {
    const results = await Promise.all(
      Array.from({ length: Math.min(BATCH, count - done) }, () => tasks.run('small', input)),
    );
    for (const result of results) check(result === 1, `a task gave ${String(result)}, not 1`);
  }
}

async function handles() {
  await putAll(WARM_UP);
  const empty = await memoryInUse();
  const kept = await inBatches(() => tasks.put('small', input));
  const withHandles = await memoryInUse();
  check(new Set(kept.map(({ id }) => id)).size === n, 'two handles have one id');
  kept.length = 0;
  const between = await memoryInUse();
  const outstanding = [];
  for (let i = 0; i < n; i++) {
    outstanding.push(tasks.run('small', input));
    if (i % BATCH === 0) await tasks.dict.size(); // calls take effect in order: what was put has been sent
  }
  await checkCounts('ready', 2 * n + WARM_UP);
  const withRuns = await memoryInUse();
  const stop = new AbortController();
  const loop = work(tasks, { small: () => 1 }, { signal: stop.signal });
  check(
    (await Promise.all(outstanding)).every((result) => result === 1),
    'a task gave something other than 1',
  );
  stop.abort();
  await loop;
  const { resident, live } = each(between, withRuns);
  const ofPut = each(empty, withHandles);
  return { n, resident, live, residentOfPut: ofPut.resident, liveOfPut: ofPut.live };
}

/**
 * @template T
 * @param {() => Promise<T>} put
 */
async function inBatches(put) {
  /** @type {T[]} */
  const all = [];
  while (all.length < n) {
    all.push(...(await Promise.all(Array.from({ length: Math.min(BATCH, n - all.length) }, put))));
  }
  return all;
}

/**
 * @param {{ resident: number, live: number }} before
 * @param {{ resident: number, live: number }} after
 */
function each(before, after) {
  return { resident: (after.resident - before.resident) / n, live: (after.live - before.live) / n };
}

/**
 * @param {'ready' | 'succeeded'} state
 * @param {number} expected
 */
async function checkCounts(state, expected) {
  const counts = await tasks.dict.counts();
  check(counts[state] === expected, `${counts[state]} tasks are ${state}, not ${expected}`);
}

/**
 * Resident bytes once they have not changed for half a second: garbage that nobody has asked to collect included.
 *
 * @param {number} pid
 */
async function settledBytes(pid) {
  let last = residentBytes(pid);
  for (let unchanged = 0; unchanged < 10;) {
    await setTimeout(50);
    const now = residentBytes(pid);
    unchanged = Object.is(now, last) ? unchanged + 1 : 0;
    last = now;
  }
  return last;
}
