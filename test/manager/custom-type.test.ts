import { describe, expect, onTestFinished, test } from 'vitest';
import { Manager, UnknownMethodError } from 'quartermaster';

function freshManager(): Manager {
  const manager = new Manager();
  onTestFinished(() => manager.close());
  return manager;
}

class Parent {
  inherited(): string {
    return 'inherited';
  }
}
class Child extends Parent {
  own(): string {
    return 'own';
  }
  _hidden(): string {
    return 'hidden';
  }
}

describe('register', () => {
  test('exposes the methods of a class and its ancestors', async () => {
    const object = freshManager().register('Child', Child).client().object<Child>('Child');
    expect([await object.own(), await object.inherited()]).toEqual(['own', 'inherited']);
    expect(await object.snapshot()).toEqual({});
  });

  test('exposes exactly `methods` where they are given', async () => {
    const object = freshManager()
      .register('Child', Child, { methods: ['inherited'] })
      .client()
      .object<Child>('Child');
    expect(await object.inherited()).toBe('inherited');
    await expect(object.own()).rejects.toThrow(UnknownMethodError);
  });

  test('takes factories: functions, arrow functions, and what they return', async () => {
    const manager = freshManager();
    manager.register('Plain', (n: number) => ({ n, double: () => n * 2 }));
    manager.register('Built', function (this: unknown, n: number) {
      return new (class {
        get(): number {
          return n;
        }
      })();
    });
    const client = manager.client();
    expect(await client.object<{ double(): number }>('Plain', [21]).double()).toBe(42);
    expect(await client.object<{ get(): number }>('Built', [7]).get()).toBe(7);
  });

  test.each(['name', 'typeId', 'snapshot', 'dispose', 'withLock'])(
    "refuses a class with a method '%s', which every proxy has",
    (name) => {
      const Clashing = { [name]: class { [name](): void {} } }[name]!; // prettier-ignore
      expect(() => freshManager().register('Clashing', Clashing)).toThrow(name);
      expect(() => freshManager().register('Clashing', Clashing, { methods: [name] })).toThrow(TypeError);
      // Left out of `methods`, it is not in the way.
      expect(() => freshManager().register('Clashing', Clashing, { methods: [] })).not.toThrow();
    },
  );

  test.each([
    'constructor',
    'then',
    '__proto__',
    'prototype',
    'toString',
    'hasOwnProperty',
    '_own',
    '__defineGetter__',
  ])("refuses to expose '%s'", (name) => {
    expect(() => freshManager().register('Child', Child, { methods: [name] })).toThrow(TypeError);
  });

  test('refuses ids and factories that are none, and the same id twice', () => {
    const manager = freshManager();
    for (const id of ['', 1, undefined] as string[]) expect(() => manager.register(id, Child)).toThrow(TypeError);
    for (const factory of [undefined, {}, 'Child'] as never[]) {
      expect(() => manager.register('Child', factory)).toThrow(TypeError);
    }
    manager.register('Child', Child);
    expect(() => manager.register('Child', Child)).toThrow('registered already');
    for (const id of ['dict', 'queue', 'lock', 'tasks']) {
      expect(() => manager.register(id, Child)).toThrow('registered already');
    }
  });

  test('a method that `methods` names and the object lacks is told at the first call', async () => {
    const object = freshManager()
      .register('Child', Child, { methods: ['nowhere'] })
      .client()
      .object<Child>('Child');
    await expect(object.own()).rejects.toThrow(/names a method 'nowhere'/);
  });
});
