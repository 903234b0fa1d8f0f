/** Tiny tasks stay with as many workers as there are processors for: windows by frames made by hand. */
import { availableParallelism } from 'node:os';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { methods, Role, ToClient, ToManager } from '#qm/protocol/messages.js';
import type { Client, PutOptions } from 'quartermaster';
import { KEY, type Listening, listening } from '../kit/listening.ts';
import { RawClient } from '../kit/raw-client.ts';
import { until } from '../kit/until.ts';

/** So many have a processor: one is the manager's, one is that of whoever puts the tasks. */
const BUSY = Math.max(1, availableParallelism() - 2);
/** A window of the tiniest tasks. */
const TINY = 512;

/** Who has ended nothing for so long (ms) is stuck, however long this process has waited for a processor meanwhile. */
const STUCK = 5000;

// These workers run nothing: they are stuck when a test says so.
beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }));
afterEach(() => void vi.useRealTimers());

interface Worker extends RawClient {
  readonly welcome: Awaited<ReturnType<typeof RawClient.enter>>['welcome'];
}

/** One more than there are processors for, all of them loops that wait: the first ones are the busy ones. */
async function workers(
  at: Listening,
  window = TINY,
  tags: (number: number) => string[] = () => [],
  lastWindow = window,
): Promise<Worker[]> {
  const all: Worker[] = [];
  for (let i = 0; i <= BUSY; i++) {
    const raw = await RawClient.enter(at.address, { key: KEY, name: `w${i}` });
    raw.open(1, 'tasks', 'q', ['offer', [`w${i}`, tags(i), []]]);
    raw.send(ToManager.LOOP, (writer) => {
      writer.u32(1);
      writer.u8(3);
    });
    raw.take(1, i === BUSY ? lastWindow : window);
    await heard(raw);
    all.push(raw);
  }
  return all;
}

/** Resolves when the manager has read all that it has said. */
async function heard(raw: RawClient): Promise<void> {
  await raw.answer(raw.call(0, methods.manager.indexOf('ping')));
}

function resize(raw: RawClient, window: number): void {
  raw.send(ToManager.WINDOW, (writer) => {
    writer.u32(1);
    writer.u16(window);
  });
}

/** How many leases each holds, by name: once the queue has dealt out what it wants to. */
async function held(client: Client): Promise<Record<string, number>> {
  const held: Record<string, number> = {};
  for (const { name, leased } of await client.inspect.workers()) if (name.startsWith('w')) held[name] = leased;
  return held;
}

const queueOf = ({ manager }: Listening) => manager.client().tasks('q');

/** All in one turn; resolves when they are dealt out. */
async function put(at: Listening, count: number, options: PutOptions = {}): Promise<void> {
  const queue = queueOf(at);
  await Promise.all(Array.from({ length: count }, (_, i) => queue.put('x', i, options)));
  await queue.dict.size();
}

const dealt = (counts: number[]): Record<string, number> =>
  Object.fromEntries(counts.map((count, i) => [`w${i}`, count]));

test('whoever has a processor is filled first, one after the other, and nobody else is woken', async () => {
  const at = await listening();
  const all = await workers(at);
  await put(at, 100);
  expect(await held(at.manager.client())).toEqual(dealt([100, ...Array.from({ length: BUSY }, () => 0)]));
  await put(at, BUSY * TINY);
  expect(await held(at.manager.client())).toEqual(dealt([...Array.from({ length: BUSY }, () => TINY), 0]));
  expect((await queueOf(at).dict.counts()).ready).toBe(100);
  // Who asks again is told that there is nothing for it.
  const last = all[BUSY] as Worker;
  last.send(ToManager.TAKE, (writer) => {
    writer.u32(7);
    writer.u32(1);
    writer.u8(1);
    writer.u16(TINY);
  });
  const { reader } = await last.next(ToClient.TAKEN);
  expect([reader.u32(), reader.u16()]).toEqual([7, 0]);
});

test('more than twenty-four windows are work for the others too, unless the busy ones have run dry lately', async () => {
  for (const [since, others] of [
    [25, true],
    [15, false],
  ] as const) {
    const at = await listening();
    await workers(at);
    vi.advanceTimersByTime(since);
    await put(at, BUSY * 25 * TINY + 1);
    expect((await held(at.manager.client()))[`w${BUSY}`]! > 0).toBe(others);
  }
});

test('windows of longer tasks are not meant: who waits gets one first', async () => {
  const at = await listening();
  await workers(at, TINY - 1);
  await put(at, BUSY + 1);
  expect(await held(at.manager.client())).toEqual(dealt(Array.from({ length: BUSY + 1 }, () => 1)));
});

test('who takes by hand is never passed over', async () => {
  const at = await listening();
  await workers(at);
  const wait = new AbortController();
  const taken = queueOf(at).get({ signal: wait.signal });
  const first = queueOf(at).get({ signal: wait.signal });
  await put(at, 2 * BUSY + 4);
  expect([(await taken).input, (await first).input].every((input) => typeof input === 'number')).toBe(true);
  expect((await held(at.manager.client()))[`w${BUSY}`]).toBeGreaterThan(0);
});

test('what asks for a tag goes to who has it, whoever else is busy', async () => {
  const at = await listening();
  await workers(at, TINY, (number) => (number === BUSY ? ['gpu'] : []));
  await put(at, BUSY * TINY + 10);
  expect((await held(at.manager.client()))[`w${BUSY}`]).toBe(0);
  await put(at, 1, { tags: ['gpu'] });
  expect((await held(at.manager.client()))[`w${BUSY}`]).toBeGreaterThan(0);
});

test('whatever is left to one that shrinks its window, or goes, is for the others', async () => {
  for (const end of [(raw: RawClient) => resize(raw, 1), (raw: RawClient) => void raw.destroy()]) {
    const at = await listening();
    const all = await workers(at);
    await put(at, BUSY * TINY + 10);
    end(all[0] as Worker);
    await (all[BUSY] as Worker).next(ToClient.TASK);
  }
});

test('one whose tasks are not tiny any more is asked for what it has not started', async () => {
  const at = await listening();
  const all = await workers(at, TINY, () => [], 1);
  const helper = await helperOf(all[0] as Worker, at);
  await put(at, 3);
  expect((await held(at.manager.client()))['w0']).toBe(3);
  resize(all[0] as Worker, TINY - 1);
  expect(await asked(helper)).toHaveLength(3);
});

test('one that gets stuck is asked for what it has not started, and for what it is given after that', async () => {
  const at = await listening();
  const all = await workers(at, TINY, () => [], 1);
  const stuck = all[0] as Worker;
  const helper = await helperOf(stuck, at);
  await put(at, 3);
  vi.advanceTimersByTime(STUCK);
  expect(await asked(helper)).toHaveLength(3);
  // It goes on, and gets more.
  await completes(stuck, 1);
  resize(stuck, TINY + 1);
  await heard(stuck);
  await put(at, 2);
  expect((await held(at.manager.client()))['w0']).toBe(4);
  giveBack(helper, []);
  const later = await asked(helper);
  expect(later).toHaveLength(4);
  giveBack(helper, later.slice(2));
  const other = all[BUSY] as Worker;
  expect(await numberOf(other)).toBe(4);
  other.take(1, 1);
  expect(await numberOf(other)).toBe(5);
  other.take(1, 1);
  await heard(other);
  // What it has kept, it has started: it is not asked for that again, but for what it is given when it takes more.
  resize(stuck, TINY);
  await heard(stuck);
  await put(at, 1);
  vi.advanceTimersByTime(STUCK);
  const next = await asked(helper);
  expect(next.at(-1)).toBeGreaterThan(later.at(-1)!);
});

test('a helper that comes in while somebody holds the queue has nothing dealt out', async () => {
  const at = await listening();
  const all = await workers(at, TINY, () => [], 1);
  await put(at, BUSY * TINY + 3);
  await queueOf(at).withLock(async () => {
    resize(all[0] as Worker, TINY + 10);
    await heard(all[0] as Worker);
    await helperOf(all[0] as Worker, at);
    expect((await held(at.manager.client()))['w0']).toBe(TINY);
  });
  await until(async () => (await held(at.manager.client()))['w0'] === TINY + 3);
});

test('one that is stuck has nothing left to it, though nobody answers for it', async () => {
  const at = await listening();
  const all = await workers(at);
  await put(at, BUSY * TINY + 10);
  vi.advanceTimersByTime(STUCK);
  expect(await numberOf(all[BUSY] as Worker)).toBe(BUSY * TINY + 1);
});

test('one that has nothing to do keeps its window, though it is asked for what it might hold', async () => {
  const at = await listening();
  const [worker] = (await workers(at, TINY, () => [], 1)) as [Worker];
  const helper = await helperOf(worker, at);
  await put(at, 2);
  vi.advanceTimersByTime(STUCK);
  await asked(helper);
  await completes(worker, 2);
  resize(worker, TINY + 1);
  await heard(worker);
  giveBack(helper, []);
  // No helper may say this: by its end what it said before has been read.
  helper.call(0, methods.manager.indexOf('ping'));
  await helper.ended;
  await put(at, 5);
  expect(await held(at.manager.client())).toEqual(dealt([5, ...Array.from({ length: BUSY }, () => 0)]));
});

function helperOf({ welcome: { session, secret } }: Worker, { address }: Listening): Promise<RawClient> {
  return RawClient.enter(address, { key: KEY, role: Role.helper, claim: session, secret });
}

/** The number of the next task that it is given. */
async function numberOf(worker: RawClient): Promise<number> {
  return (await worker.task()).number;
}

/** It ends the next tasks that it has been given; resolves when the manager knows. */
async function completes(worker: RawClient, count: number): Promise<void> {
  for (let left = count; left > 0;) {
    const { reader } = await worker.next(ToClient.TASK);
    reader.u32();
    while (reader.left > 0 && left > 0) {
      const end = reader.entry();
      worker.complete(0, { lease: reader.u48(), number: reader.u48() });
      reader.skipTo(end);
      left--;
    }
  }
  await heard(worker);
}

async function asked(helper: RawClient): Promise<number[]> {
  const { reader } = await helper.next(ToClient.RECALL);
  expect(reader.u32()).toBe(1);
  return Array.from({ length: reader.u32() }, () => reader.u48());
}

function giveBack(helper: RawClient, leases: number[]): void {
  helper.send(ToManager.GIVE_BACK, (writer) => {
    writer.u32(1);
    writer.u32(leases.length);
    for (const lease of leases) writer.u48(lease);
  });
}
