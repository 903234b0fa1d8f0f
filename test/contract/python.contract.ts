/**
 * What Python's dict, list, set, Namespace, Value, Array and Condition do in one call, the way that docs/python.md says
 * to do it here, in every setting.
 */
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, test } from 'vitest';
import { type DictProxy, type ListProxy, NotLockOwnerError, type SetProxy, TimeoutError } from 'quartermaster';
import { arrived } from '../kit/arrived.ts';
import { freshName, managerOfSuite, type Setting } from '../kit/managers.ts';
import { partyOfSuite } from '../kit/parties.ts';

export function pythonContract(setting: Setting): void {
  describe(`as in Python (${setting})`, () => {
    const manager = managerOfSuite(setting);
    const party = partyOfSuite(manager);

    describe('dict', () => {
      async function dictOf<V>(entries: Iterable<readonly [string, V]>): Promise<DictProxy<string, V>> {
        const dict = (await manager().client()).dict<string, V>(freshName('dict'));
        await dict.setMany(entries);
        return dict;
      }

      test('a dict of what there is: pairs, a Map, the fields of an object; more of it later, at one moment', async () => {
        const dict = await dictOf([['a', 1]]);
        await dict.setMany(new Map([['b', 2]]));
        await dict.setMany(Object.entries({ a: 10, c: 3 }));
        expect(await dict.entries()).toEqual([['a', 10], ['b', 2], ['c', 3]]); // prettier-ignore
        const copied = await dictOf(await dict.snapshot());
        expect(await copied.snapshot()).toEqual(await dict.snapshot());
      });

      test('one value for many keys', async () => {
        const dict = await dictOf(['a', 'b', 'c'].map((key) => [key, 0] as const));
        expect(await dict.entries()).toEqual([['a', 0], ['b', 0], ['c', 0]]); // prettier-ignore
      });

      test('a default for what is not there, read or taken', async () => {
        const dict = await dictOf([['a', 0]]);
        expect([(await dict.get('a')) ?? 7, (await dict.get('b')) ?? 7]).toEqual([0, 7]);
        expect([(await dict.pop('a')) ?? 7, (await dict.pop('a')) ?? 7]).toEqual([0, 7]);
        expect(await dict.size()).toBe(0);
      });

      test('popitem: the newest entry, in one hold; of two processes that take them, each gets others', async () => {
        const dict = await dictOf(Array.from({ length: 40 }, (_, i) => [`k${i}`, i] as const));
        const there = party().run(async ({ client }, name) => {
          const taken: number[] = [];
          for (let i = 0; i < 20; i++) {
            await client.dict<string, number>(name).withLock(async (held) => {
              const key = (await held.keys()).at(-1) as string;
              taken.push((await held.pop(key)) as number);
            });
          }
          return taken;
        }, dict.name as string);
        const here: number[] = [];
        for (let i = 0; i < 20; i++) {
          await dict.withLock(async (held) => {
            const key = (await held.keys()).at(-1) as string;
            here.push((await held.pop(key)) as number);
          });
        }
        const theirs = await there;
        expect(new Set([...here, ...theirs]).size).toBe(40);
        for (const taken of [here, theirs]) expect(taken).toEqual(taken.toSorted((a, b) => b - a));
        expect(await dict.size()).toBe(0);
      });

      test('a dict backwards, merged and compared: by copies, which nobody else changes', async () => {
        const dict = await dictOf([['a', 1], ['b', 2]]); // prettier-ignore
        const other = new Map([['b', 20], ['c', 30]]); // prettier-ignore
        expect((await dict.keys()).reverse()).toEqual(['b', 'a']);
        expect([...new Map([...(await dict.snapshot()), ...other])]).toEqual([['a', 1], ['b', 20], ['c', 30]]); // prettier-ignore
        expect([...new Map([...other, ...(await dict.snapshot())])]).toEqual([['b', 2], ['c', 30], ['a', 1]]); // prettier-ignore
        const copy = await dict.snapshot();
        expect(isDeepStrictEqual(copy, await (await dictOf(copy)).snapshot())).toBe(true);
        expect(isDeepStrictEqual(copy, other)).toBe(false);
        copy.set('c', 3);
        await dict.delete('a');
        expect([copy.size, await dict.size()]).toEqual([3, 1]);
      });

      test('values are copies: what is changed in place is put back, or is an object of its own', async () => {
        const client = await manager().client();
        const dict = client.dict<string, number[]>();
        await dict.set('numbers', [1]);
        (await dict.get('numbers'))?.push(2);
        expect(await dict.get('numbers')).toEqual([1]);
        await dict.withLock(async (held) => held.set('numbers', [...((await held.get('numbers')) ?? []), 2]));
        expect(await dict.get('numbers')).toEqual([1, 2]);
        const nested = client.dict<string, ListProxy<number>>();
        await nested.set('numbers', client.list<number>());
        await (await nested.get('numbers'))?.push(3);
        expect(await (await nested.get('numbers'))?.slice()).toEqual([3]);
      });
    });

    describe('list', () => {
      async function listOf<T>(values: Iterable<T>): Promise<ListProxy<T>> {
        const list = (await manager().client()).list<T>(freshName('list'));
        await list.splice(0, 0, values);
        return list;
      }

      test('a list of what there is; values added at the end, or anywhere, all at once', async () => {
        const list = await listOf('abc');
        expect(await list.slice()).toEqual(['a', 'b', 'c']);
        await list.splice(Infinity, 0, ['d', 'e']);
        await list.splice(1, 0, ['between']);
        await list.splice(-1, 0, ['before the last']);
        await list.splice(100, 0, ['at the end']);
        expect(await list.slice()).toEqual(['a', 'between', 'b', 'c', 'd', 'before the last', 'e', 'at the end']);
      });

      test('at an index: read, replaced, deleted, taken; undefined where there is none', async () => {
        const list = await listOf(['a', 'b', 'c', 'd']);
        expect([await list.at(0), await list.at(-1), await list.at(4)]).toEqual(['a', 'd', undefined]);
        expect(await list.splice(1, 1, ['B'])).toEqual(['b']);
        expect(await list.splice(-1, 1, ['D'])).toEqual(['d']);
        expect(await list.splice(0, 1)).toEqual(['a']);
        expect(await list.slice()).toEqual(['B', 'c', 'D']);
        expect([await list.splice(1, 1), await list.pop(), await list.shift(), await list.pop()]).toEqual([
          ['c'],
          'D',
          'B',
          undefined,
        ]);
      });

      test('slices: read, by steps, replaced by more or fewer, deleted', async () => {
        const list = await listOf([0, 1, 2, 3, 4, 5]);
        expect([await list.slice(1, 3), await list.slice(-2), await list.slice(4, 100)]).toEqual([[1, 2], [4, 5], [4, 5]]); // prettier-ignore
        expect((await list.slice(1)).filter((_, i) => i % 2 === 0)).toEqual([1, 3, 5]);
        await list.splice(1, 2, [10, 20, 30]);
        expect(await list.slice()).toEqual([0, 10, 20, 30, 3, 4, 5]);
        await list.splice(0, 4);
        expect(await list.slice()).toEqual([3, 4, 5]);
      });

      test('index: from a position, up to one; -1 where it is not', async () => {
        const list = await listOf(['a', 'b', 'a', 'c']);
        expect([await list.indexOf('a'), await list.indexOf('a', 1), await list.indexOf('c')]).toEqual([0, 2, 3]);
        expect((await list.slice(0, 3)).indexOf('c')).toBe(-1);
        expect([await list.indexOf('z'), await list.includes('z'), await list.includes('c')]).toEqual([
          -1,
          false,
          true,
        ]);
      });

      test('remove: the first that is equal, in one hold; nobody removes what another one has', async () => {
        const list = await listOf(['x', 'a', 'x', 'b', 'x']);
        const remove = (value: string): Promise<boolean> =>
          list.withLock(async (held) => {
            const at = await held.indexOf(value);
            return at !== -1 && (await held.splice(at, 1)).length === 1;
          });
        expect(await remove('x')).toBe(true);
        expect(await list.slice()).toEqual(['a', 'x', 'b', 'x']);
        const removed = await Promise.all([remove('x'), remove('x'), remove('x'), remove('nowhere')]);
        expect(removed.filter(Boolean)).toHaveLength(2);
        expect(await list.slice()).toEqual(['a', 'b']);
      });

      test('sort and reverse in place, in one hold: what others put in front meanwhile comes after it', async () => {
        const list = await listOf(['bb', 'a', 'dddd', 'ccc']);
        const inPlace = (change: (values: string[]) => string[]): Promise<void> =>
          list.withLock(async (held) => {
            const values = await held.slice();
            const late = list.unshift('late');
            await arrived(await manager().client());
            await held.splice(0, values.length, change(values));
            late.catch(() => {});
          });
        await inPlace((values) => values.sort());
        expect(await list.slice()).toEqual(['late', 'a', 'bb', 'ccc', 'dddd']);
        await inPlace((values) => values.sort((a, b) => b.length - a.length));
        expect(await list.slice()).toEqual(['late', 'late', 'dddd', 'ccc', 'bb', 'a']);
        await inPlace((values) => values.reverse());
        expect(await list.slice()).toEqual(['late', 'a', 'bb', 'ccc', 'dddd', 'late', 'late']);
      });

      test('counted, backwards, joined, repeated, compared: by copies, which nobody else changes', async () => {
        const list = await listOf([1, 2, 1]);
        const copy = await list.slice();
        expect(copy.filter((each) => each === 1)).toHaveLength(2);
        expect((await list.slice()).reverse()).toEqual([1, 2, 1].reverse());
        expect([...(await list.slice()), ...[7]]).toEqual([1, 2, 1, 7]);
        expect(Array.from({ length: 2 }, () => copy).flat()).toEqual([1, 2, 1, 1, 2, 1]);
        expect(isDeepStrictEqual(copy, await (await listOf([1, 2, 1])).slice())).toBe(true);
        expect(isDeepStrictEqual(copy, await (await listOf([1, 2])).slice())).toBe(false);
        copy.push(3);
        expect(await list.length()).toBe(3);
      });

      test('repeated in place, in one hold', async () => {
        const list = await listOf(['a', 'b']);
        const times = (n: number): Promise<void> =>
          list.withLock(async (held) => {
            const values = await held.slice();
            await held.splice(0, values.length, Array.from({ length: n }, () => values).flat());
          });
        await Promise.all([times(2), times(3)]);
        expect(await list.slice()).toEqual(Array.from({ length: 6 }, () => ['a', 'b']).flat());
        await times(0);
        expect(await list.length()).toBe(0);
      });
    });

    describe('set', () => {
      /** All of it at one moment: nobody sees a part. */
      const addAll = (set: SetProxy<number | string>, members: Iterable<number | string>): Promise<void> =>
        set.withLock(async (held) => {
          await Promise.all(Array.from(members, (member) => held.add(member)));
        });
      async function setOf(members: Iterable<number | string>): Promise<SetProxy<number | string>> {
        const set = (await manager().client()).set<number | string>(freshName('set'));
        await addAll(set, members);
        return set;
      }

      test('a set of what there is, and more of it, in one hold', async () => {
        const set = await setOf([1, 2]);
        expect([await set.add(3), await set.add(3)]).toEqual([true, false]);
        const reader = await manager().client();
        const sizes = await set.withLock(async (held) => {
          const seen = [];
          for (const member of [4, 5, 5, 6]) {
            await held.add(member);
            seen.push(reader.set(set.name).size());
            await arrived(reader);
          }
          return { seen };
        });
        expect(await Promise.all(sizes.seen)).toEqual([6, 6, 6, 6]);
        expect(await set.values()).toEqual([1, 2, 3, 4, 5, 6]);
      });

      test('remove and discard: delete says whether it was there', async () => {
        const set = await setOf(['a', 'b']);
        expect([await set.delete('a'), await set.delete('a')]).toEqual([true, false]);
        expect([await set.has('a'), await set.has('b'), await set.size()]).toEqual([false, true, 1]);
      });

      test('pop takes a member in one hold: of two processes, each gets others', async () => {
        const set = await setOf(Array.from({ length: 20 }, (_, i) => i));
        const there = party().run(async ({ client }, name) => {
          const taken: number[] = [];
          for (let i = 0; i < 10; i++) {
            await client.set<number>(name).withLock(async (held) => {
              const [member] = await held.values();
              await held.delete(member as number);
              taken.push(member as number);
            });
          }
          return taken;
        }, set.name as string);
        const here: number[] = [];
        for (let i = 0; i < 10; i++) {
          await set.withLock(async (held) => {
            const [member] = await held.values();
            await held.delete(member as number);
            here.push(member as number);
          });
        }
        expect(new Set([...here, ...(await there)]).size).toBe(20);
        expect(await set.size()).toBe(0);
      });

      test('union, intersection, difference and symmetric difference: of copies', async () => {
        const [one, two] = [await setOf([1, 2, 3]), await setOf([3, 4])];
        const [a, b] = [await one.snapshot(), await two.snapshot()];
        expect(new Set([...a, ...b])).toEqual(new Set([1, 2, 3, 4]));
        expect(new Set([...a].filter((each) => b.has(each)))).toEqual(new Set([3]));
        expect(new Set([...a].filter((each) => !b.has(each)))).toEqual(new Set([1, 2]));
        expect(new Set([...b].filter((each) => !a.has(each)))).toEqual(new Set([4]));
        expect(new Set([...a, ...b].filter((each) => a.has(each) !== b.has(each)))).toEqual(new Set([1, 2, 4]));
        a.clear();
        expect([await one.size(), await two.size()]).toEqual([3, 2]);
      });

      test('intersection, difference and symmetric difference in place, each in one hold', async () => {
        const set = await setOf([1, 2, 3, 4, 5]);
        await set.withLock(async (held) => {
          const kept = new Set<unknown>([2, 3, 4, 9]);
          for (const member of await held.values()) if (!kept.has(member)) await held.delete(member);
        });
        expect(await set.values()).toEqual([2, 3, 4]);
        await set.withLock(async (held) => {
          for (const member of [3, 9]) await held.delete(member);
        });
        expect(await set.values()).toEqual([2, 4]);
        await set.withLock(async (held) => {
          for (const member of [4, 6]) if (!(await held.delete(member))) await held.add(member);
        });
        expect(await set.values()).toEqual([2, 6]);
      });

      test('subset, superset, disjoint, equal: asked of copies', async () => {
        const whole = await (await setOf([1, 2, 3])).snapshot();
        const part = await (await setOf([1, 2])).snapshot();
        const isSubset = (a: Set<unknown>, b: Set<unknown>): boolean => [...a].every((each) => b.has(each));
        expect([isSubset(part, whole), isSubset(whole, part), isSubset(whole, whole)]).toEqual([true, false, true]);
        expect(isSubset(part, whole) && part.size < whole.size).toBe(true);
        expect([...part].some((each) => new Set<unknown>([3]).has(each))).toBe(false);
        expect(isDeepStrictEqual(whole, await (await setOf([3, 2, 1])).snapshot())).toBe(true);
        expect(isDeepStrictEqual(whole, part)).toBe(false);
      });
    });

    test('a namespace with values from its beginning; what it lacks is undefined', async () => {
      const namespace = (await manager().client()).namespace<{ level: string; max: number }>(freshName('namespace'));
      await namespace.withLock(async (held) => {
        await Promise.all([held.set('level', 'debug'), held.set('max', 3)]);
      });
      expect(await namespace.all()).toEqual({ level: 'debug', max: 3 });
      expect([await namespace.delete('max'), await namespace.get('max'), await namespace.delete('max')]).toEqual([true, undefined, false]); // prettier-ignore
      expect(['level' in (await namespace.all()), 'max' in (await namespace.all())]).toEqual([true, false]);
    });

    test('value += 1 in one hold, by flows of two processes: none is lost', async () => {
      const value = (await manager().client()).value(freshName('value'), 0);
      await value.get();
      const there = party().run(async ({ client }, name) => {
        const value = client.value<number>(name);
        const add = (): Promise<void> => value.withLock(async (held) => held.set(((await held.get()) ?? 0) + 1));
        await Promise.all(Array.from({ length: 50 }, add));
      }, value.name as string);
      const add = (): Promise<void> => value.withLock(async (held) => held.set((await held.get()) + 1));
      await Promise.all(Array.from({ length: 50 }, add));
      await there;
      expect(await value.get()).toBe(100);
    });

    test('a value held with a limit on the waiting: TimeoutError, and it is free afterwards', async () => {
      const value = (await manager().client()).value(freshName('value'), 'old');
      const other = (await manager().client()).value<string>(value.name);
      await value.withLock(async (held) => {
        for (const timeout of [0, 1]) {
          await expect(other.withLock(() => {}, { timeout })).rejects.toThrow(TimeoutError);
        }
        await held.set('new');
      });
      expect(await other.withLock((held) => held.get(), { timeout: 60_000 })).toBe('new');
      // What is free has not to be waited for: the shortest timeout is long enough.
      for (let i = 0; i < 50; i++) expect(await other.withLock((held) => held.get(), { timeout: 0 })).toBe('new');
    });

    test('an array is a list that keeps its length: read, written, sliced, several of it in one hold', async () => {
      const array = (await manager().client()).list<number>(freshName('array'));
      await array.splice(
        0,
        0,
        Array.from({ length: 5 }, () => 0),
      );
      await array.splice(1, 1, [7]);
      await array.splice(3, 2, [8, 9]);
      expect([await array.at(1), await array.slice(3, 5), await array.length()]).toEqual([7, [8, 9], 5]);
      const swap = (a: number, b: number): Promise<void> =>
        array.withLock(async (held) => {
          const [first, second] = [(await held.at(a)) as number, (await held.at(b)) as number];
          await held.splice(a, 1, [second]);
          await held.splice(b, 1, [first]);
        });
      await Promise.all([swap(0, 1), swap(1, 4)]);
      const seen: number[] = [];
      for await (const each of array) seen.push(each);
      expect(seen).toEqual([7, 9, 0, 8, 0]);
    });

    test('a condition by its lock: taken, tried, waited for; the guard waits and is released', async () => {
      const client = await manager().client();
      const name = freshName('condition');
      const lock = client.lock(freshName('lock'));
      const condition = client.condition(name, { lock });
      const guard = await lock.acquire();
      expect([await lock.tryAcquire(), (await condition.snapshot()) as unknown]).toEqual([
        undefined,
        { locked: true, waiting: 0 },
      ]);
      await expect(lock.acquire({ timeout: 1 })).rejects.toThrow(TimeoutError);
      const waiting = condition.wait(guard);
      const other = await lock.acquire({ timeout: 60_000 });
      expect(await condition.notify()).toBe(1);
      await other.release();
      await waiting;
      expect(await lock.owner()).toMatchObject({ token: guard.token });
      await guard.release();
      expect(await lock.locked()).toBe(false);
      await expect(condition.wait(guard)).rejects.toThrow(NotLockOwnerError);
    });
  });
}
