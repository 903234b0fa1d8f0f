/** What shared counters and values do, in every setting. */
import { describe, expect, test } from 'vitest';
import { TypeMismatchError, UnserializableError } from 'quartermaster';
import { freshName, managerOfSuite, type Setting } from '../kit/managers.ts';
import { partyOfSuite } from '../kit/parties.ts';

export function counterContract(setting: Setting): void {
  describe(`counter (${setting})`, () => {
    const manager = managerOfSuite(setting);
    const party = partyOfSuite(manager);

    test('get, add and set', async () => {
      const client = await manager().client();
      const counter = client.counter();
      expect(await counter.get()).toBe(0);
      expect(await counter.add()).toBe(1);
      expect(await counter.add(2.5)).toBe(3.5);
      expect(await counter.add(-10)).toBe(-6.5);
      await counter.set(2 ** 53);
      expect(await counter.get()).toBe(2 ** 53);
      expect(await counter.snapshot()).toBe(2 ** 53);
    });

    test('initial counts for the maker only', async () => {
      const client = await manager().client();
      const name = freshName('counter');
      expect(await client.counter(name, { initial: 5 }).add()).toBe(6);
      expect(await client.counter(name, { initial: 100 }).get()).toBe(6);
      expect(await client.counter(name).get()).toBe(6);
      expect(await party().run(({ client }, name) => client.counter(name, { initial: 50 }).add(), name)).toBe(7);
    });

    test('what is no number is refused, and changes nothing', async () => {
      const client = await manager().client();
      const counter = client.counter();
      for (const wrong of ['1', null, 1n, {}, [1], true, () => 1, Symbol('s'), NaN] as never[]) {
        const of = String(wrong);
        if (!Number.isNaN(wrong)) {
          await expect(counter.add(wrong), of).rejects.toThrow(TypeError);
          await expect(counter.set(wrong), of).rejects.toThrow(TypeError);
        }
        if (typeof wrong !== 'function' && typeof wrong !== 'symbol' && !Number.isNaN(wrong)) {
          await expect(client.counter(undefined, { initial: wrong }).get(), of).rejects.toThrow(TypeError);
        }
      }
      await expect(counter.set(undefined as never)).rejects.toThrow(TypeError);
      expect(await counter.get()).toBe(0);
      await expect(client.counter(undefined, { start: 1 } as never).get()).rejects.toThrow('start');
    });

    test('what two processes add at once is all there', async () => {
      const client = await manager().client();
      const name = freshName('counter');
      const counter = client.counter(name);
      const there = party().run(async ({ client }, name) => {
        const counter = client.counter(name);
        return Promise.all(Array.from({ length: 1000 }, () => counter.add()));
      }, name);
      const here = await Promise.all(Array.from({ length: 1000 }, () => counter.add()));
      const sums = new Set([...here, ...(await there)]);
      expect(sums.size).toBe(2000);
      expect(await counter.get()).toBe(2000);
    });
  });
}

export function valueContract(setting: Setting): void {
  describe(`value (${setting})`, () => {
    const manager = managerOfSuite(setting);
    const party = partyOfSuite(manager);

    test('get and set anything that can cross', async () => {
      const client = await manager().client();
      const value = client.value<unknown>();
      expect(await value.get()).toBe(undefined);
      for (const each of [
        1,
        'x',
        null,
        true,
        10n ** 30n,
        { a: [1, { b: new Date(0) }] },
        new Map([[1, 2]]),
        undefined,
      ]) {
        await value.set(each);
        expect(await value.get()).toEqual(each);
        expect(await value.snapshot()).toEqual(each);
      }
      await expect(value.set({ callback: () => {} })).rejects.toThrow(UnserializableError);
      expect(await value.get()).toBe(undefined);
    });

    test('initial counts for the maker only', async () => {
      const client = await manager().client();
      const name = freshName('value');
      expect(await client.value(name, { n: 1 }).get()).toEqual({ n: 1 });
      expect(await client.value(name, { n: 2 }).get()).toEqual({ n: 1 });
      expect(await party().run(({ client }, name) => client.value(name, 3).get(), name)).toEqual({ n: 1 });
      await client.value<unknown>(name).set(4);
      expect(await client.value(name, 5).get()).toBe(4);
      const other = freshName('value');
      expect(await client.value(other).get()).toBe(undefined);
      expect(await client.value(other, 1).get()).toBe(undefined);
      expect(() => client.value(freshName(), () => {})).toThrow(UnserializableError);
    });

    test('compareAndSet: scalars by SameValueZero, other values by content', async () => {
      const client = await manager().client();
      const value = client.value<unknown>();
      expect(await value.compareAndSet(null, 1)).toBe(false);
      expect(await value.compareAndSet(undefined, NaN)).toBe(true);
      expect(await value.compareAndSet(NaN, -0)).toBe(true);
      expect(await value.compareAndSet(0, { a: 1, b: { c: [1], d: 2 } })).toBe(true);
      expect(await value.compareAndSet({ a: 1 }, 'no')).toBe(false);
      expect(await value.compareAndSet({ b: { d: 2, c: [1] }, a: 2 }, 'no')).toBe(false);
      expect(await value.compareAndSet({ b: { d: 2, c: [1] }, a: 1 }, [])).toBe(true);
      expect(await value.compareAndSet([], 'end')).toBe(true);
      expect(await value.get()).toBe('end');
    });

    test('of compareAndSets from two processes, each step is made by one of them', async () => {
      const client = await manager().client();
      const name = freshName('value');
      const value = client.value(name, 0);
      await value.get();
      const there = party().run(async ({ client }, name) => {
        const value = client.value<number>(name);
        let wins = 0;
        while (wins < 200) {
          const now = (await value.get()) as number;
          if (await value.compareAndSet(now, now + 1)) wins++;
        }
      }, name);
      for (let wins = 0; wins < 200;) {
        const now = await value.get();
        if (await value.compareAndSet(now, now + 1)) wins++;
      }
      await there;
      expect(await value.get()).toBe(400);
    });

    test('a name of another type', async () => {
      const client = await manager().client();
      const name = freshName('value');
      await client.value(name, 1).get();
      await expect(client.counter(name).get()).rejects.toThrow(TypeMismatchError);
      await expect(client.tasks(name).dict.size()).rejects.toThrow(TypeMismatchError);
    });
  });
}
