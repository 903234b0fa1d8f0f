/** What a shared dictionary does, in every setting. */
import { describe, expect, test } from 'vitest';
import { type DictProxy, TypeMismatchError, UnserializableError } from 'quartermaster';
import { freshName, managerOfSuite, type Setting } from '../kit/managers.ts';
import { partyOfSuite } from '../kit/parties.ts';

type Keys = string | number | bigint | boolean;

export function dictContract(setting: Setting): void {
  describe(`dict (${setting})`, () => {
    const manager = managerOfSuite(setting);
    const party = partyOfSuite(manager);

    async function freshDict<V = unknown>(): Promise<{ name: string; dict: DictProxy<Keys, V> }> {
      const client = await manager().client();
      const name = freshName('dict');
      return { name, dict: client.dict<Keys, V>(name) };
    }

    test('set, get, has, delete and pop, and what is not there', async () => {
      const { dict } = await freshDict();
      expect(await dict.get('a')).toBe(undefined);
      expect(await dict.has('a')).toBe(false);
      expect(await dict.delete('a')).toBe(false);
      expect(await dict.pop('a')).toBe(undefined);
      await dict.set('a', { n: 1 });
      expect(await dict.get('a')).toEqual({ n: 1 });
      expect(await dict.has('a')).toBe(true);
      await dict.set('a', 2);
      expect(await dict.pop('a')).toBe(2);
      expect(await dict.has('a')).toBe(false);
      await dict.set('a', 3);
      expect(await dict.delete('a')).toBe(true);
      expect(await dict.size()).toBe(0);
    });

    test('undefined and null are values like others', async () => {
      const { dict } = await freshDict();
      await dict.setMany([
        ['undefined', undefined],
        ['null', null],
      ]);
      expect(await dict.has('undefined')).toBe(true);
      expect(await dict.entries()).toEqual([
        ['undefined', undefined],
        ['null', null],
      ]);
    });

    test('keys compare as in a Map: by type and SameValueZero', async () => {
      const { dict } = await freshDict();
      const keys: Keys[] = ['1', 1, 1n, true, 'true', NaN, 0, '', 2n ** 70n];
      for (const key of keys) await dict.set(key, String(key) + typeof key);
      await dict.set(-0, 'minus zero');
      await dict.set(NaN, 'not a number');
      expect(await dict.size()).toBe(keys.length);
      expect(await dict.keys()).toEqual(keys);
      expect(await dict.getMany([1, 1n, '1', 0, NaN, 'nowhere'])).toEqual([
        '1number',
        '1bigint',
        '1string',
        'minus zero',
        'not a number',
        undefined,
      ]);
    });

    test('a key that is no scalar is refused at the caller: nothing is sent', async () => {
      const { dict } = await freshDict();
      for (const key of [null, undefined, {}, [], Symbol('s'), () => {}, new Date(0)] as never[]) {
        await expect(dict.get(key), String(typeof key)).rejects.toThrow(TypeError);
        await expect(dict.set(key, 1)).rejects.toThrow(TypeError);
        await expect(dict.has(key)).rejects.toThrow(TypeError);
        await expect(dict.delete(key)).rejects.toThrow(TypeError);
        await expect(dict.pop(key)).rejects.toThrow(TypeError);
        await expect(dict.increment(key)).rejects.toThrow(TypeError);
        await expect(dict.getOrInsert(key, 1)).rejects.toThrow(TypeError);
        await expect(dict.compareAndSet(key, 1, 2)).rejects.toThrow(TypeError);
        await expect(dict.getMany(['a', key])).rejects.toThrow(TypeError);
        await expect(
          dict.setMany([
            ['a', 1],
            [key, 1],
          ] as never),
        ).rejects.toThrow(TypeError);
      }
      expect(await dict.size()).toBe(0);
    });

    test('a value that cannot cross is refused at the caller, with its path', async () => {
      const { dict } = await freshDict();
      await dict.set('a', 1);
      const refused = { path: 'value.callback', code: 'QM_UNSERIALIZABLE' };
      await expect(dict.set('a', { callback: () => {} })).rejects.toMatchObject(refused);
      await expect(dict.getOrInsert('a', { callback: () => {} })).rejects.toMatchObject(refused);
      await expect(dict.set('a', new (class Custom {})())).rejects.toThrow(UnserializableError);
      await expect(dict.setMany([['a', 2], ['b', Symbol('s')]])).rejects.toThrow(UnserializableError); // prettier-ignore
      await expect(dict.compareAndSet('a', 1, Promise.resolve())).rejects.toThrow(UnserializableError);
      expect(await dict.entries()).toEqual([['a', 1]]);
    });

    test('keys, values, entries, iteration and snapshot are in the order of insertion', async () => {
      const { dict } = await freshDict<number>();
      await dict.setMany(new Map([['b', 1], ['a', 2], ['c', 3]])); // prettier-ignore
      await dict.set('b', 10);
      await dict.delete('a');
      await dict.set('a', 20);
      expect(await dict.keys()).toEqual(['b', 'c', 'a']);
      expect(await dict.values()).toEqual([10, 3, 20]);
      expect(await dict.entries()).toEqual([['b', 10], ['c', 3], ['a', 20]]); // prettier-ignore
      const seen: unknown[] = [];
      for await (const entry of dict) seen.push(entry);
      expect(seen).toEqual(await dict.entries());
      expect(await dict.snapshot()).toEqual(new Map([['b', 10], ['c', 3], ['a', 20]])); // prettier-ignore
      await dict.clear();
      expect(await dict.size()).toBe(0);
      expect(await dict.entries()).toEqual([]);
    });

    test('getOrInsert gives what is there, or what is put there; also undefined counts as there', async () => {
      const { dict } = await freshDict();
      expect(await dict.getOrInsert('a', { n: 1 })).toEqual({ n: 1 });
      expect(await dict.getOrInsert('a', { n: 2 })).toEqual({ n: 1 });
      await dict.set('b', undefined);
      expect(await dict.getOrInsert('b', 1)).toBe(undefined);
    });

    test('increment adds numbers and bigints, from nothing too, and mixes neither', async () => {
      const { dict } = await freshDict<unknown>();
      expect(await dict.increment('n')).toBe(1);
      expect(await dict.increment('n', 2.5)).toBe(3.5);
      expect(await dict.increment('n', -3.5)).toBe(0);
      expect(await dict.increment('big', 10n)).toBe(10n);
      expect(await dict.increment('big', -(2n ** 80n))).toBe(10n - 2n ** 80n);
      await dict.set('text', 'x');
      await expect(dict.increment('n', 1n)).rejects.toThrow(TypeMismatchError);
      await expect(dict.increment('big', 1)).rejects.toThrow(TypeMismatchError);
      await expect(dict.increment('text')).rejects.toThrow(TypeMismatchError);
      for (const by of ['1', null, {}, [1], true, () => 1] as never[]) {
        await expect(dict.increment('n', by), String(by)).rejects.toThrow(TypeError);
      }
      expect(await dict.getMany(['n', 'big', 'text'])).toEqual([0, 10n - 2n ** 80n, 'x']);
    });

    test('compareAndSet: scalars by SameValueZero', async () => {
      const { dict } = await freshDict<unknown>();
      expect(await dict.compareAndSet('a', 1, 2)).toBe(false);
      expect(await dict.has('a')).toBe(false);
      expect(await dict.compareAndSet('a', undefined, NaN)).toBe(true);
      expect(await dict.compareAndSet('a', NaN, 0)).toBe(true);
      expect(await dict.compareAndSet('a', -0, '0')).toBe(true);
      expect(await dict.compareAndSet('a', 0, 1)).toBe(false);
      expect(await dict.compareAndSet('a', '0', 1n)).toBe(true);
      expect(await dict.compareAndSet('a', 1, 2)).toBe(false);
      expect(await dict.compareAndSet('a', 1n, null)).toBe(true);
      expect(await dict.compareAndSet('a', undefined, 2)).toBe(false);
      expect(await dict.compareAndSet('a', null, undefined)).toBe(true);
      expect(await dict.get('a')).toBe(undefined);
    });

    test('compareAndSet: other values by content, whatever the order of their keys', async () => {
      const { dict } = await freshDict<unknown>();
      await dict.set('a', { x: 1, y: { p: [1, 2], q: new Date(5) }, z: new Map([['k', 1n]]) });
      const reordered = { z: new Map([['k', 1n]]), y: { q: new Date(5), p: [1, 2] }, x: 1 };
      expect(await dict.compareAndSet('a', { ...reordered, x: 2 }, 'no')).toBe(false);
      expect(await dict.compareAndSet('a', { ...reordered, y: { q: new Date(5), p: [2, 1] } }, 'no')).toBe(false);
      expect(await dict.compareAndSet('a', 1, 'no')).toBe(false);
      expect(await dict.compareAndSet('a', reordered, { next: true })).toBe(true);
      expect(await dict.get('a')).toEqual({ next: true });
      expect(await dict.compareAndSet('a', { next: true }, 1)).toBe(true);
    });

    test('structured data comes out of another process as it went in', async () => {
      const { name, dict } = await freshDict<Record<string, unknown>>();
      const value = {
        map: new Map<unknown, unknown>([[1, new Set(['a'])]]),
        date: new Date(1e12),
        big: -(2n ** 65n),
        bytes: Buffer.from([1, 2, 255]),
        pattern: /a+/giu,
        zero: -0,
        nothing: undefined,
      };
      await dict.set('v', value);
      await party().run(async ({ client }, name) => {
        const dict = client.dict(name);
        await dict.set('copy', await dict.get('v'));
      }, name);
      const copy = await dict.get('copy');
      expect(copy).toEqual(value);
      expect(Object.is(copy?.['zero'], -0)).toBe(true);
    });

    test('an error keeps its class, cause, fields and the stack of the process that it comes from', async () => {
      const { name, dict } = await freshDict<Error>();
      await party().run(async ({ client }, name) => {
        function thrower() {
          return Object.assign(new RangeError('too far', { cause: new Error('root') }), { code: 'E_FAR', at: 7 });
        }
        await client.dict(name).set('e', thrower());
      }, name);
      const error = await dict.get('e');
      expect(error).toBeInstanceOf(RangeError);
      expect(error).toMatchObject({ message: 'too far', code: 'E_FAR', at: 7, cause: { message: 'root' } });
      expect(error?.stack).toContain('thrower');
    });

    test('increments of two processes at once are all counted', async () => {
      const { name, dict } = await freshDict<number>();
      const there = party().run(async ({ client }, name) => {
        const dict = client.dict(name);
        await Promise.all(Array.from({ length: 500 }, () => dict.increment('n')));
      }, name);
      await Promise.all(Array.from({ length: 500 }, () => dict.increment('n')));
      await there;
      expect(await dict.get('n')).toBe(1000);
    });

    test('of compareAndSets that race from two processes, one wins each round', async () => {
      const { name, dict } = await freshDict<unknown>();
      const climb = async (): Promise<number> => {
        let wins = 0;
        for (let i = 0; i < 100; i++) if (await dict.compareAndSet('o', i ? { i } : undefined, { i: i + 1 })) wins++;
        return wins;
      };
      const there = party().run(async ({ client }, name) => {
        const dict = client.dict(name);
        let wins = 0;
        for (let i = 0; i < 100; i++) if (await dict.compareAndSet('o', i ? { i } : undefined, { i: i + 1 })) wins++;
        return wins;
      }, name);
      const [here, theirs] = await Promise.all([climb(), there]);
      expect(await dict.get('o')).toEqual({ i: here + theirs });
      expect(Math.max(here, theirs)).toBeGreaterThan(0);
    });

    test('calls of one client take effect in the order they were made, large or small', async () => {
      const { dict } = await freshDict<unknown>();
      const large = 'x'.repeat(3_000_000);
      const calls = [dict.set('a', large), dict.get('a'), dict.set('a', 1), dict.increment('a'), dict.get('a')];
      const [, first, , sum, last] = await Promise.all(calls);
      expect(first === large).toBe(true);
      expect([sum, last]).toEqual([2, 2]);
    });

    test('a proxy as a value comes out as a live proxy of the same object', async () => {
      const { name, dict } = await freshDict<unknown>();
      const client = await manager().client();
      const counter = client.counter();
      const mine = client.dict(name);
      await mine.set('counter', { inside: counter });
      await party().run(async ({ client }, name) => {
        const { inside } = (await client.dict(name).get('counter')) as { inside: { add(by: number): Promise<number> } };
        await inside.add(5);
      }, name);
      expect(await counter.get()).toBe(5);
      await counter.dispose();
      const { inside } = (await dict.get('counter')) as { inside: typeof counter };
      expect(await inside.add(1)).toBe(6);
    });

    test('an option is refused: a dict has none', async () => {
      const { dict } = await freshDict();
      await dict.set('a', 1);
      const client = await manager().client();
      await expect(client.queue(dict.name).size()).rejects.toThrow(TypeMismatchError);
      await expect(client.queue(dict.name).size()).rejects.toThrow(dict.name);
    });
  });
}
