/** What generators of registered types do at a client, in every setting. */
import { describe, expect, test } from 'vitest';
import { type Client, ProxyDisposedError, UnserializableError } from 'quartermaster';
import { FEED_WINDOW } from '#qm/protocol/messages.js';
import type { Gatekeeper, Rows } from '../kit/custom-types.mjs';
import { arrived, lose, loseParty } from '../kit/arrived.ts';
import { freshName, managerOfSuite, managerOfTest, type Setting } from '../kit/managers.ts';
import { partyOfTest } from '../kit/parties.ts';

interface Stats {
  started: number;
  pulled: number;
  returned: number;
}

/** As `Rows` is at a client that names no types: every method may be anything. */
type Loose = Record<string, (...args: unknown[]) => Promise<never> & AsyncIterable<unknown>>;

const first = <T>(from: AsyncIterable<T>): AsyncIterator<T> => from[Symbol.asyncIterator]();

export function generatorsContract(setting: Setting): void {
  describe(`generators (${setting})`, () => {
    const modules = [new URL('../kit/custom-types.mjs', import.meta.url)];
    const manager = managerOfSuite(setting, { modules });
    const rowsOf = (client: Client, name = freshName('rows')) => client.object<Rows, 'branches'>('Rows', [], name);
    const statsOf = async (rows: { stats(): Promise<Stats> }): Promise<Stats> => rows.stats();
    /** Reads the object's figures until they are as wanted. */
    const until = async (rows: { stats(): Promise<Stats> }, wanted: (stats: Stats) => boolean): Promise<Stats> => {
      for (;;) {
        const stats = await statsOf(rows);
        if (wanted(stats)) return stats;
      }
    };

    test('what they yield arrives in order, from generators, async generators, iterators and promises of them', async () => {
      const rows = rowsOf(await manager().client());
      const numbers = Array.from({ length: 1000 }, (_, i) => i);
      const read: number[] = [];
      for await (const row of rows.count(1000)) read.push(row);
      expect(read).toEqual(numbers);
      expect(await rows.slowly(200).toArray()).toEqual(numbers.slice(0, 200));
      expect(await rows.values().toArray()).toEqual([1, 2]);
      expect(await rows.count(0).toArray()).toEqual([]);
      const loose = rows as unknown as Loose;
      const later: unknown[] = [];
      for await (const row of loose['later']!(3)) later.push(row);
      expect(later).toEqual([0, 1, 2]);
      // Data that can be iterated over is data.
      expect(await rows.list()).toEqual([1, 2, 3]);
      expect(await statsOf(rows)).toEqual({ started: 4, pulled: 1203, returned: 4 });
    });

    test('awaited, a generator is the iterable; any other method is not iterated over', async () => {
      const rows = rowsOf(await manager().client()) as unknown as Loose;
      const iterable: AsyncIterable<number> = await rows['count']!(2);
      const read: number[] = [];
      for await (const row of iterable) read.push(row);
      expect(read).toEqual([0, 1]);
      for (const call of [rows['list']!(), rows['stats']!()]) {
        await expect(first(call).next()).rejects.toThrow(/returned no generator: await its result/);
        await call;
      }
      await expect(first(rows['nowhere']!()).next()).rejects.toMatchObject({ code: 'QM_UNKNOWN_METHOD' });
      await expect(first(rows['count']!(() => {})).next()).rejects.toThrow(UnserializableError);
    });

    test('an infinite one is pulled by the window, and no further while nobody reads; leaving ends it', async () => {
      const client = await manager().client();
      for (const name of ['count', 'slowly'] as const) {
        const rows = rowsOf(client);
        const reading = first(rows[name]());
        await until(rows, ({ pulled }) => pulled === FEED_WINDOW);
        for (let i = 0; i < 20; i++) expect((await statsOf(rows)).pulled).toBe(FEED_WINDOW);
        for (let i = 0; i < 2 * FEED_WINDOW; i++) expect(await reading.next()).toEqual({ done: false, value: i });
        const { pulled } = await until(rows, (stats) => stats.pulled === 3 * FEED_WINDOW);
        expect(pulled).toBe(3 * FEED_WINDOW);
        expect((await statsOf(rows)).returned).toBe(0);
        await reading.return!();
        expect(await reading.next()).toEqual({ done: true, value: undefined });
        expect((await until(rows, ({ returned }) => returned === 1)).started).toBe(1);
      }
    });

    test('leaving the loop, and an error in its body, run the finally of the generator', async () => {
      const rows = rowsOf(await manager().client());
      for await (const row of rows.count()) if (row === 100) break;
      expect(await statsOf(rows)).toMatchObject({ returned: 1 });
      const body = async (): Promise<void> => {
        for await (const row of rows.count()) if (row === 3) throw new Error('enough');
      };
      await expect(body()).rejects.toThrow('enough');
      expect(await statsOf(rows)).toMatchObject({ started: 2, returned: 2 });
    });

    test('what it throws arrives after what it has yielded: name, message, code, cause, remote stack', async () => {
      const rows = rowsOf(await manager().client());
      for (const name of ['failing', 'failingSlowly'] as const) {
        const reading = first(rows[name](70));
        for (let i = 0; i < 70; i++) expect(await reading.next()).toEqual({ done: false, value: i });
        const error = (await reading.next().then(undefined, (thrown: unknown) => thrown)) as Error & { code?: string };
        expect(error).toBeInstanceOf(RangeError);
        expect(error).toMatchObject({ name: 'RangeError', message: 'no more rows', code: 'E_ROWS' });
        expect(error.cause).toMatchObject({ message: 'the cause' });
        expect(error.stack).toContain('custom-types.mjs');
        expect(await reading.next()).toEqual({ done: true, value: undefined });
      }
      await expect(rows.unserializable().toArray()).rejects.toMatchObject({
        path: 'what unserializable() yields.callback',
      });
      expect(await statsOf(rows)).toMatchObject({ returned: 3 });
      await expect((rows as unknown as { wrong(): { toArray(): Promise<unknown> } }).wrong().toArray()).rejects.toThrow(
        'no object',
      );
    });

    test('an unread failure is nobody’s, and is told to whoever reads later', async () => {
      const rows = rowsOf(await manager().client()) as unknown as Loose;
      const [failing, nowhere] = [rows['failing']!(0), rows['nowhere']!()];
      await rows['stats']!();
      await new Promise((resolve) => setImmediate(resolve));
      await expect(first(failing).next()).rejects.toThrow('no more rows');
      await expect(first(nowhere).next()).rejects.toThrow('no method');
    });

    test('between two steps the object is free; during an async step it is not', async () => {
      const client = await manager().client();
      const [rows, keeper] = [rowsOf(client), client.object<Gatekeeper>('Gatekeeper')];
      const name = freshName('gate');
      const reading = first(rows.stay(name));
      while (!(await keeper.waiting(name))) await arrived(client);
      const order: string[] = [];
      const stats = statsOf(rows).then(() => order.push('stats'));
      await arrived(client);
      expect(order).toEqual([]);
      await keeper.open(name);
      expect(await reading.next()).toEqual({ done: false, value: name });
      await stats;
      await reading.return!();
    });

    test('a step waits while somebody else holds the object; one that began in a hold goes on in it and after', async () => {
      const [one, two] = [await manager().client(), await manager().client()];
      const name = freshName('rows');
      const [mine, theirs] = [rowsOf(one, name), rowsOf(two, name)];
      let inHold: AsyncIterator<number> | undefined;
      let waiting: Promise<number[]> | undefined;
      await mine.withLock(async (held) => {
        inHold = first(held.count(200));
        expect(await inHold.next()).toEqual({ done: false, value: 0 });
        waiting = theirs.count(100).toArray();
        await arrived(two);
        expect((await held.stats()).started).toBe(1);
        for (let i = 1; i < 100; i++) expect((await inHold.next()).value).toBe(i);
      });
      for (let i = 100; i < 200; i++) expect((await inHold!.next()).value).toBe(i);
      expect(await inHold!.next()).toMatchObject({ done: true });
      expect(await waiting).toHaveLength(100);
    });

    test('hundreds at once, each with values of its own', async () => {
      const client = await manager().client();
      const rows = rowsOf(client);
      const all = await Promise.all(
        Array.from({ length: 300 }, (_, i) => (i % 2 === 0 ? rows.count(i) : rows.slowly(i % 20)).toArray()),
      );
      expect(all.map((read) => read.length)).toEqual(all.map((_, i) => (i % 2 === 0 ? i : i % 20)));
      expect(await statsOf(rows)).toMatchObject({ started: 300, returned: 300 });
      const abandoned = Array.from({ length: 300 }, () => first(rows.count()));
      await Promise.all(abandoned.map((reading) => reading.next()));
      await Promise.all(abandoned.map((reading) => reading.return!()));
      expect(await statsOf(rows)).toMatchObject({ started: 600, returned: 600 });
      const session = manager().core?.sessions.get(client.session);
      if (session !== undefined) expect([session.feeds.open.size, session.feeds.kept]).toEqual([0, 0]);
    });

    test('large values: no more of them on their way than the window has bytes', async () => {
      const rows = rowsOf(await manager().client());
      let i = 0;
      for await (const value of rows.large(20, 300_000)) {
        expect([value.length, value[0]]).toEqual([300_000, i++]);
      }
      expect(i).toBe(20);
    });

    test('of returnsProxy, what is yielded arrives as proxies; those that nobody reads are freed', async () => {
      const small = await managerOfTest(setting, { modules, limits: { objects: 40 } });
      const client = await small.client();
      const rows = rowsOf(client);
      for (let round = 0; round < 3; round++) {
        const reading = first(rows.branches(30));
        for (let i = 0; i < 3; i++) {
          const { value: branch } = (await reading.next()) as {
            value: { book(n: number): Promise<number> } & AsyncDisposable;
          };
          expect(await branch.book(i)).toBe(i);
          await branch[Symbol.asyncDispose]();
        }
        await reading.return!();
        await arrived(client);
      }
    });

    test('X4 the end of its session ends a generator, also when its process is killed', async () => {
      const client = await manager().client();
      const name = freshName('rows');
      const rows = rowsOf(client, name);
      const party = await partyOfTest(manager());
      await party.run(async ({ client, kept }, name) => {
        const rows = client.object<Rows>('Rows', [], name);
        const reading = rows.count()[Symbol.asyncIterator]();
        kept['reading'] = [reading, rows.slowly()];
        for (let i = 0; i < 100; i++) await reading.next();
      }, name);
      await loseParty(party, client);
      expect(await until(rows, ({ returned }) => returned === 2)).toMatchObject({ started: 2 });

      const dying = await manager().client();
      const reading = first(rowsOf(dying, name).slowly());
      await reading.next();
      const rest = (async () => {
        for (;;) await reading.next();
      })();
      const lost = expect(rest).rejects.toMatchObject({
        code: setting === 'memory' ? 'QM_MANAGER_GONE' : 'QM_CONNECTION_LOST',
      });
      await lose(dying, client);
      await lost;
      await until(rows, ({ returned }) => returned === 3);
    });

    test('a step under way is told by return() that nobody waits for it', async () => {
      const client = await manager().client();
      const name = freshName('gate');
      const [rows, keeper] = [rowsOf(client), client.object<Gatekeeper>('Gatekeeper')];
      const reading = first(rows.byHand(name) as unknown as AsyncIterable<string>);
      while (!(await keeper.waiting(name))) await arrived(client);
      void reading.next().catch(() => {});
      await reading.return!();
      expect((await statsOf(rows)).returned).toBe(1);
    });

    test('disposing of the proxy, and of the object, ends what is read through it', async () => {
      const client = await manager().client();
      const rows = client.object<Rows>('Rows');
      const reading = first(rows.count());
      await reading.next();
      await rows.dispose();
      const rest = (async () => {
        for (;;) if ((await reading.next()).done === true) return;
      })();
      await expect(rest).rejects.toThrow(ProxyDisposedError);
    });
  });
}
