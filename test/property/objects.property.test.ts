/**
 * Locks and queues under random interleavings of several sessions, step by step beside a model that is a few lists.
 * A failure prints the seed and the shortest sequence of steps that shows it.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Client, LockGuard } from 'quartermaster';
import { arrived, lose } from '../kit/arrived.ts';
import { freshName, managerOfTest, type Setting, type TestManager } from '../kit/managers.ts';

const SESSIONS = 3;
const settings: [Setting, number][] = [
  ['memory', 1000],
  ['socket', 80],
];

/** A wait as its caller sees it, and as the model says it must be. */
class Waiting<T> {
  readonly session: number;
  readonly aborting = new AbortController();
  seen: 'waiting' | 'given' | 'aborted' | 'lost' = 'waiting';
  expected: 'waiting' | 'given' | 'aborted' | 'lost' = 'waiting';
  value: T | undefined;
  expectedValue: unknown;

  constructor(session: number, begin: (signal: AbortSignal) => Promise<T>) {
    this.session = session;
    begin(this.aborting.signal).then(
      (value) => {
        this.seen = 'given';
        this.value = value;
      },
      (error: unknown) => {
        this.seen = error === this.aborting.signal.reason ? 'aborted' : 'lost';
      },
    );
  }
}

/** Sessions that may die and are replaced, each by a client of its own. */
class Sessions {
  readonly clients: Client[] = [];
  readonly #manager: TestManager;
  readonly #observer: Client;

  constructor(manager: TestManager, observer: Client) {
    this.#manager = manager;
    this.#observer = observer;
  }

  async open(): Promise<this> {
    while (this.clients.length < SESSIONS) this.clients.push(await this.#manager.client());
    return this;
  }

  async die(session: number): Promise<void> {
    await lose(this.clients[session]!, this.#observer);
    this.clients[session] = await this.#manager.client();
  }

  /** Everything that was sent has been handled, and everything that followed from it has been heard. */
  async settle(): Promise<void> {
    for (let round = 0; round < 2; round++) await Promise.all(this.clients.map(arrived));
  }

  async close(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.close()));
  }
}

const pick = <T>(list: readonly T[], nth: number): T | undefined =>
  list.length === 0 ? undefined : list[nth % list.length];
const session = fc.nat(SESSIONS - 1);

describe.each(settings)('over %s', (setting, numRuns) => {
  test('a lock: who waits has it in the order of asking, whoever aborts, dies or releases twice', async () => {
    const manager = await managerOfTest(setting);
    const observer = await manager.client();
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.record({ do: fc.constant('acquire' as const), session }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('tryAcquire' as const), session }) },
      { weight: 4, arbitrary: fc.record({ do: fc.constant('release' as const), nth: fc.nat() }) },
      { weight: 3, arbitrary: fc.record({ do: fc.constant('abort' as const), nth: fc.nat() }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('die' as const), session }) },
    );
    const property = fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const sessions = await new Sessions(manager, observer).open();
      const name = freshName('lock');
      const observed = observer.lock(name);
      const all: Waiting<LockGuard | undefined>[] = [];
      // The model: who has it, who waits.
      let holder: Waiting<LockGuard | undefined> | undefined;
      let line: Waiting<LockGuard | undefined>[] = [];
      let lastToken = 0n;
      const pass = (): void => {
        holder = line.shift();
        if (holder !== undefined) holder.expected = 'given';
      };

      for (const step of steps) {
        switch (step.do) {
          case 'acquire': {
            const lock = sessions.clients[step.session]!.lock(name);
            const waiting = new Waiting(step.session, (signal) => lock.acquire({ signal }));
            all.push(waiting);
            line.push(waiting);
            if (holder === undefined) pass();
            break;
          }
          case 'tryAcquire': {
            const lock = sessions.clients[step.session]!.lock(name);
            const waiting = new Waiting<LockGuard | undefined>(step.session, () => lock.tryAcquire());
            all.push(waiting);
            waiting.expected = 'given';
            if (holder === undefined) holder = waiting;
            else waiting.expectedValue = 'nothing';
            break;
          }
          case 'release': {
            // Any grant there ever was: only that of the holder counts.
            const given = all.filter(({ value }) => value !== undefined);
            const waiting = pick(given, step.nth);
            const releasing = waiting?.value?.release();
            if (waiting?.expected === 'lost') await expect(releasing).rejects.toThrow();
            else await releasing;
            if (waiting !== undefined && waiting === holder) pass();
            break;
          }
          case 'abort': {
            const waiting = pick(line, step.nth);
            waiting?.aborting.abort();
            if (waiting !== undefined) {
              waiting.expected = 'aborted';
              line = line.filter((each) => each !== waiting);
            }
            break;
          }
          case 'die': {
            for (const waiting of all) {
              if (waiting.session === step.session && waiting.expected === 'waiting') waiting.expected = 'lost';
            }
            line = line.filter(({ expected }) => expected === 'waiting');
            const held = holder;
            if (held?.session === step.session) pass();
            await sessions.die(step.session);
            for (const waiting of all) {
              if (waiting.session !== step.session || waiting.value === undefined) continue;
              // The guard that was held hears of it; those released before do not.
              expect(waiting.value.signal.aborted).toBe(waiting === held || waiting.expected === 'lost');
              if (waiting === held) waiting.expected = waiting.seen = 'lost';
            }
            break;
          }
        }
        await sessions.settle();
        expect(all.map(({ seen }) => seen)).toEqual(all.map(({ expected }) => expected));
        for (const { expectedValue, value } of all) if (expectedValue === 'nothing') expect(value).toBe(undefined);
        const owner = await observed.owner();
        expect(owner?.token).toBe(holder?.value?.token);
        expect(owner?.session).toBe(holder === undefined ? undefined : sessions.clients[holder.session]!.session);
        if (owner !== undefined) {
          expect(owner.token).toBeGreaterThanOrEqual(lastToken);
          lastToken = owner.token;
        }
      }
      await sessions.close();
    });
    await fc.assert(property, { numRuns });
  });

  test('a queue: every item is in it or with one getter, in the order of its kind, whoever aborts or dies', async () => {
    const manager = await managerOfTest(setting);
    const observer = await manager.client();
    const priority = fc.nat(2);
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ do: fc.constant('put' as const), session, priority }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('putNowait' as const), session, priority }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('putMany' as const), session, priority, count: fc.nat(3) }) },
      { weight: 4, arbitrary: fc.record({ do: fc.constant('get' as const), session }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('getNowait' as const), session }) },
      {
        weight: 1,
        arbitrary: fc.record({ do: fc.constant('getMany' as const), session, max: fc.integer({ min: 1, max: 3 }) }),
      },
      { weight: 3, arbitrary: fc.record({ do: fc.constant('abort' as const), nth: fc.nat() }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('die' as const), session }) },
    );
    const options = fc.record({
      order: fc.constantFrom('fifo' as const, 'lifo' as const, 'priority' as const),
      maxSize: fc.constantFrom(1, 2, 3, Infinity),
    });
    const property = fc.asyncProperty(options, fc.array(step, { maxLength: 40 }), async ({ order, maxSize }, steps) => {
      const sessions = await new Sessions(manager, observer).open();
      const name = freshName('queue');
      const observed = observer.queue<number>(name, { order, maxSize });
      await observed.size();
      const queueOf = (nth: number) => sessions.clients[nth]!.queue<number>(name);
      const all: Waiting<unknown>[] = [];
      // The model: items in the order of their putting, and who waits.
      type Item = { value: number; priority: number };
      let items: Item[] = [];
      let getters: { waiting: Waiting<unknown>; max: number }[] = [];
      let putters: { waiting: Waiting<unknown>; entries: Item[] }[] = [];
      let numbers = 0;

      const takeOne = (): number => {
        const ranked = items.map((item, at) => ({ item, rank: order === 'lifo' ? at : -at }));
        ranked.sort((a, b) => (order === 'priority' ? b.item.priority - a.item.priority : 0) || b.rank - a.rank);
        const { item } = ranked[0]!;
        items = items.filter((each) => each !== item);
        return item.value;
      };
      const take = (max: number): unknown =>
        max === 0 ? takeOne() : Array.from({ length: Math.min(max, items.length) }, takeOne);
      const serve = (): void => {
        for (;;) {
          if (items.length > 0 && getters.length > 0) {
            const { waiting, max } = getters.shift()!;
            waiting.expected = 'given';
            waiting.expectedValue = take(max);
          } else if (putters.length > 0 && items.length + putters[0]!.entries.length <= maxSize) {
            const { waiting, entries } = putters.shift()!;
            waiting.expected = 'given';
            items.push(...entries);
          } else return;
        }
      };
      const put = (nth: number, entries: Item[], begin: (signal: AbortSignal) => Promise<unknown>): void => {
        const waiting = new Waiting(nth, begin);
        all.push(waiting);
        // What can never be in it is refused: as if its session were lost to it.
        if (entries.length > maxSize) waiting.expected = 'lost';
        else putters.push({ waiting, entries });
      };
      const newItem = (priority: number): Item => ({ value: numbers++, priority });

      for (const step of steps) {
        switch (step.do) {
          case 'put': {
            const item = newItem(step.priority);
            put(step.session, [item], (signal) => queueOf(step.session).put(item.value, { ...step, signal }));
            break;
          }
          case 'putMany': {
            const many = Array.from({ length: step.count }, () => newItem(step.priority));
            const values = many.map(({ value }) => value);
            put(step.session, many, (signal) => queueOf(step.session).putMany(values, { ...step, signal }));
            break;
          }
          case 'putNowait': {
            const item = newItem(step.priority);
            const waiting = new Waiting(step.session, () => queueOf(step.session).putNowait(item.value, step));
            all.push(waiting);
            if (putters.length === 0 && items.length < maxSize) {
              waiting.expected = 'given';
              items.push(item);
            } else {
              waiting.expected = 'lost';
            }
            break;
          }
          case 'get':
          case 'getMany': {
            const max = step.do === 'get' ? 0 : step.max;
            const waiting = new Waiting<unknown>(step.session, (signal) =>
              max === 0 ? queueOf(step.session).get({ signal }) : queueOf(step.session).getMany(max, { signal }),
            );
            all.push(waiting);
            getters.push({ waiting, max });
            break;
          }
          case 'getNowait': {
            const waiting = new Waiting<unknown>(step.session, () => queueOf(step.session).getNowait());
            all.push(waiting);
            waiting.expected = 'given';
            if (items.length > 0) waiting.expectedValue = takeOne();
            break;
          }
          case 'abort': {
            const waiting = pick(
              all.filter(({ expected }) => expected === 'waiting'),
              step.nth,
            );
            waiting?.aborting.abort();
            if (waiting !== undefined) waiting.expected = 'aborted';
            break;
          }
          case 'die': {
            for (const waiting of all) {
              if (waiting.session === step.session && waiting.expected === 'waiting') waiting.expected = 'lost';
            }
            await sessions.die(step.session);
            break;
          }
        }
        getters = getters.filter(({ waiting }) => waiting.expected === 'waiting');
        putters = putters.filter(({ waiting }) => waiting.expected === 'waiting');
        serve();
        await sessions.settle();
        expect(all.map(({ seen }) => seen)).toEqual(all.map(({ expected }) => expected));
        for (const { expectedValue, value } of all) expect(value).toEqual(expectedValue);
        const left = items;
        const inOrder = Array.from({ length: items.length }, takeOne);
        items = left;
        expect(await observed.snapshot()).toEqual(inOrder);
      }
      await sessions.close();
    });
    await fc.assert(property, { numRuns });
  });
});
