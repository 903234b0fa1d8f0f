/** What shared lists, sets and namespaces do, in every setting. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { UnserializableError } from 'quartermaster';
import { freshName, managerOfSuite, type Setting } from '../kit/managers.ts';
import { partyOfSuite } from '../kit/parties.ts';

export function listContract(setting: Setting): void {
  describe(`list (${setting})`, () => {
    const manager = managerOfSuite(setting);
    const party = partyOfSuite(manager);

    test('does what an Array does, whatever is done in whatever order', async () => {
      const client = await manager().client();
      const value = fc.oneof(
        fc.integer({ min: 0, max: 5 }),
        fc.constantFrom('a', '', null, NaN),
        fc.constant({ n: 1 }),
      );
      const position = fc.oneof(fc.integer({ min: -8, max: 8 }), fc.constantFrom(Infinity, -Infinity));
      const step = fc.oneof(
        fc.tuple(fc.constantFrom('push', 'unshift'), value),
        fc.tuple(fc.constantFrom('pop', 'shift', 'length', 'clear')),
        fc.tuple(fc.constant('at'), position),
        fc.tuple(fc.constant('slice'), position, fc.option(position, { nil: undefined })),
        fc.tuple(
          fc.constant('splice'),
          position,
          fc.option(fc.integer({ min: -1, max: 4 }), { nil: undefined }),
          fc.array(value, { maxLength: 3 }),
        ),
        fc.tuple(fc.constantFrom('indexOf', 'includes'), value, fc.integer({ min: -8, max: 8 })),
      );
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
          await using list = client.list();
          const model: unknown[] = [];
          const methods = list as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
          for (const [method, ...args] of steps) {
            const got = await methods[method]?.(...args);
            if (method === 'splice') {
              const [start, count, values] = args as [number, number | undefined, unknown[]];
              expect(got).toEqual(model.splice(start, count ?? model.length, ...values));
            } else if (method === 'clear') {
              model.length = 0;
            } else if (method === 'length') {
              expect(got).toBe(model.length);
            } else if (method === 'indexOf' || method === 'includes') {
              const [wanted, from] = args as [unknown, number];
              const start = from < 0 ? Math.max(0, model.length + from) : from;
              const at = model.findIndex(
                (each, i) =>
                  i >= start &&
                  JSON.stringify([each]) === JSON.stringify([wanted]) &&
                  Number.isNaN(each) === Number.isNaN(wanted),
              );
              expect(got).toBe(method === 'includes' ? at !== -1 : at);
            } else {
              expect(got).toEqual(
                (model as unknown as Record<string, (...a: unknown[]) => unknown>)[method]?.(...args),
              );
            }
          }
          expect(await list.snapshot()).toEqual(model);
        }),
        { numRuns: setting === 'process' ? 30 : 60 },
      );
    });

    test('values come back as they were, and are found by their content, whatever the order of their keys', async () => {
      const list = (await manager().client()).list<unknown>();
      const values = [new Map([[1, { a: [1n] }]]), { a: 1, b: 2 }, undefined, new Date(0)];
      for (const value of values) await list.push(value);
      expect(await list.slice()).toEqual(values);
      expect(await list.indexOf({ b: 2, a: 1 })).toBe(1);
      expect(await list.includes(new Map([[1, { a: [1n] }]]))).toBe(true);
      expect(await list.includes({ a: 1 })).toBe(false);
      expect(await list.indexOf(undefined)).toBe(2);
      const seen: unknown[] = [];
      for await (const value of list) seen.push(value);
      expect(seen).toEqual(values);
    });

    test('50,000 values at once', async () => {
      const list = (await manager().client()).list<number>();
      const many = Array.from({ length: 50_000 }, (_, i) => i);
      await list.push(-1);
      await list.push(-2);
      expect(await list.splice(1, 0, many)).toEqual([]);
      expect(await list.length()).toBe(50_002);
      expect(await list.slice(0, 3)).toEqual([-1, 0, 1]);
      expect(await list.at(-1)).toBe(-2);
    });

    test('what cannot be is refused at the caller', async () => {
      const list = (await manager().client()).list<unknown>();
      await expect(list.push(() => {})).rejects.toThrow(UnserializableError);
      await expect(list.splice(0, 0, [1, () => {}])).rejects.toThrow('values[1]');
      await expect(list.at(0.5)).rejects.toThrow(RangeError);
      await expect(list.at('0' as never)).rejects.toThrow('a position must be a whole number');
      expect(await list.length()).toBe(0);
    });

    test('another process sees it; 1,000 pushes of two are all there', async () => {
      const name = freshName('list');
      const client = await manager().client();
      const list = client.list<number>(name);
      const other = party();
      await Promise.all([
        other.run(async ({ client: theirs }, at) => {
          await Promise.all(Array.from({ length: 500 }, (_, i) => theirs.list(at).push(i)));
        }, name),
        ...Array.from({ length: 500 }, (_, i) => list.push(1000 + i)),
      ]);
      const all = await list.slice();
      expect(all.filter((n) => n < 1000)).toEqual(Array.from({ length: 500 }, (_, i) => i));
      expect(all.filter((n) => n >= 1000)).toEqual(Array.from({ length: 500 }, (_, i) => 1000 + i));
    });

    test('withLock: several calls as one', async () => {
      const list = (await manager().client()).list<number>();
      await Promise.all(
        Array.from({ length: 50 }, () =>
          list.withLock(async (held) => {
            const length = await held.length();
            await held.push(length);
          }),
        ),
      );
      expect(await list.slice()).toEqual(Array.from({ length: 50 }, (_, i) => i));
    });
  });
}

export function setContract(setting: Setting): void {
  describe(`set (${setting})`, () => {
    const manager = managerOfSuite(setting);

    test('members compare as in a Set, and keep the order in which they were added', async () => {
      const set = (await manager().client()).set<string | number | bigint | boolean>();
      const members = ['1', 1, 1n, true, 'true', NaN, 0, ''];
      for (const member of members) expect(await set.add(member)).toBe(true);
      for (const member of [...members, -0]) expect(await set.add(member)).toBe(false);
      expect(await set.size()).toBe(members.length);
      expect(await set.values()).toEqual(members);
      expect(await set.has(NaN)).toBe(true);
      expect(await set.has('NaN')).toBe(false);
      expect(await set.delete(1)).toBe(true);
      expect(await set.delete(1)).toBe(false);
      expect(await set.snapshot()).toEqual(new Set(members.filter((member) => member !== 1)));
      const seen: unknown[] = [];
      for await (const member of set) seen.push(member);
      expect(seen).toEqual(await set.values());
      await set.clear();
      expect(await set.size()).toBe(0);
    });

    test('of two who add the same, one is told that it was first', async () => {
      const name = freshName('set');
      const [one, two] = [(await manager().client()).set(name), (await manager().client()).set(name)];
      for (let i = 0; i < 50; i++) {
        const added = await Promise.all([one.add(`m${i}`), two.add(`m${i}`)]);
        expect(added.filter(Boolean)).toHaveLength(1);
      }
    });

    test('what is no scalar is refused at the caller', async () => {
      const set = (await manager().client()).set();
      for (const member of [null, undefined, {}, [], Symbol('s')]) {
        await expect(set.add(member as never)).rejects.toThrow('a member must be a string, number, bigint or boolean');
      }
    });
  });
}

export function namespaceContract(setting: Setting): void {
  describe(`namespace (${setting})`, () => {
    const manager = managerOfSuite(setting);

    interface Settings {
      level: string;
      limits: { max: number };
      __proto__: string;
    }

    test('get, set, delete, all', async () => {
      const name = freshName('namespace');
      const [one, two] = [
        (await manager().client()).namespace<Settings>(name),
        (await manager().client()).namespace<Settings>(name),
      ];
      expect(await one.get('level')).toBe(undefined);
      await one.set('level', 'debug');
      await two.set('limits', { max: 3 });
      expect(await two.get('level')).toBe('debug');
      expect(await one.all()).toEqual({ level: 'debug', limits: { max: 3 } });
      expect(await one.snapshot()).toEqual(await two.all());
      expect(await one.delete('level')).toBe(true);
      expect(await two.delete('level')).toBe(false);
      expect(await one.all()).toEqual({ limits: { max: 3 } });
    });

    test('names that mean something on every object are names like others', async () => {
      const namespace = (await manager().client()).namespace();
      for (const name of ['__proto__', 'constructor', 'toString', '']) {
        expect(await namespace.get(name)).toBe(undefined);
        await namespace.set(name, name);
      }
      const all = await namespace.all();
      expect(Object.keys(all)).toEqual(['__proto__', 'constructor', 'toString', '']);
      expect(Object.getPrototypeOf(all)).toBe(Object.prototype);
      await expect(namespace.get(1 as never)).rejects.toThrow('a property must be a string');
    });
  });
}
