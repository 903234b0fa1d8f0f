/** What objects of registered types do, in every setting. */
import { describe, expect, test } from 'vitest';
import { UnknownMethodError, UnserializableError } from 'quartermaster';
import { connectionOf } from '#qm/proxy/client.js';
import { where } from '#qm/proxy/object-proxy.js';
import { methods } from '#qm/protocol/messages.js';
import type { Item } from '#qm/protocol/wire.js';
import type { Account, Gatekeeper, Ledger, Slow } from '../kit/custom-types.mjs';
import { ALIVE, arrived, lose } from '../kit/arrived.ts';
import { freshName, managerOfSuite, managerOfTest, type Setting, sever } from '../kit/managers.ts';
import { partyOfSuite } from '../kit/parties.ts';

/** Calls whatever name, as a client without types would. */
const callOn = (proxy: object, name: string, ...args: unknown[]): Promise<unknown> =>
  (proxy as Record<string, (...args: unknown[]) => Promise<unknown>>)[name]!(...args);

export function customContract(setting: Setting): void {
  describe(`custom types (${setting})`, () => {
    const modules = [new URL('../kit/custom-types.mjs', import.meta.url)];
    const manager = managerOfSuite(setting, { modules });
    const party = partyOfSuite(manager);

    test('a named object is made once, by the arguments of the first ask, and shared', async () => {
      const client = await manager().client();
      const name = freshName('ledger');
      const ledger = client.object<Ledger>('Ledger', ['Ada', [{ amount: 5 }]], name);
      expect([ledger.name, ledger.typeId]).toEqual([name, 'Ledger']);
      expect(await ledger.book(2, 'tea')).toBe(7);
      const there = await party().run(async ({ client }, name) => {
        const ledger = client.object<Ledger>('Ledger', ['Grace'], name);
        return [await ledger.book(10, 'coffee'), await ledger.snapshot()];
      }, name);
      expect(there).toEqual([
        17,
        { owner: 'Ada', entries: [{ amount: 5 }, { amount: 2, note: 'tea' }, { amount: 10, note: 'coffee' }] },
      ]);
      const own = client.object<Ledger>('Ledger');
      expect([own.name, await own.balance()]).toEqual([undefined, 0]);
    });

    test('arguments and results cross as data', async () => {
      const client = await manager().client();
      const ledger = client.object<Ledger>('Ledger');
      const values = [1n, new Map([['a', new Set([1])]]), new Date(3), undefined, { z: -0 }, Buffer.from('x')];
      expect(await ledger.echo(...values)).toEqual(values);
      await expect(callOn(ledger, 'echo', 1, { cb: () => {} })).rejects.toMatchObject({ path: 'args[1].cb' });
      await expect(callOn(ledger, 'function')).rejects.toThrow(UnserializableError);
      expect(await ledger.balance()).toBe(0);
    });

    test('what a method throws arrives as that error, with cause, fields and the stack of the manager', async () => {
      const client = await manager().client();
      const ledger = client.object<Ledger>('Ledger');
      const error: unknown = await ledger.fail().catch((error: unknown) => error);
      expect(error).toBeInstanceOf(RangeError);
      expect(error).toMatchObject({ message: 'overdrawn', code: 'E_OVERDRAWN', cause: { message: 'the cause' } });
      expect((error as Error).stack).toContain('custom-types.mjs');
      await expect(callOn(ledger, 'book', 'much')).rejects.toThrow(TypeError);
    });

    test('X1 only what is exposed can be called: the list of `methods`, or all that the classes declare', async () => {
      const client = await manager().client();
      const listed = client.object<Ledger>('Account', ['Ada']);
      expect(await listed.book(10, '')).toBe(10);
      expect(await callOn(listed, 'interest', 0.5)).toBe(5);
      const open = client.object<Ledger>('Open');
      expect(await open.balance()).toBe(0);
      for (const name of [
        'fail',
        'function',
        'nowhere',
        '_hidden',
        '#secret',
        'secret',
        'tip',
        'owner',
        'entries',
        '',
      ]) {
        await expect(callOn(listed, name), name).rejects.toThrow(UnknownMethodError);
      }
      for (const name of ['_hidden', '#secret', 'secret', 'tip', 'owner', 'entries', 'nowhere']) {
        await expect(callOn(open, name), name).rejects.toThrow(UnknownMethodError);
      }
      await expect(callOn(listed, 'nowhere')).rejects.toThrow(/nowhere.*book, balance/s);
    });

    test('a method that returns proxies', async () => {
      const client = await manager().client();
      const account = client.object<Account, 'branch'>('Account', ['Ada']);
      const branch = await account.branch();
      expect(await branch.book(3)).toBe(3);
      expect(await branch.snapshot()).toMatchObject({ owner: "Ada's branch" });
      expect(await callOn(account, 'nothing')).toBe(null);
      expect(await account.balance()).toBe(0);
      await expect(callOn(branch, '_hidden')).rejects.toThrow(UnknownMethodError);
    });

    test('an async method has the object for itself until it settles, whoever calls', async () => {
      const client = await manager().client();
      const name = freshName('slow');
      const slow = client.object<Slow>('Slow', [], name);
      const there = party().run(async ({ client }, name) => {
        const slow = client.object<Slow>('Slow', [], name);
        await Promise.all(Array.from({ length: 30 }, () => slow.step()));
      }, name);
      const failing = Array.from({ length: 5 }, () => expect(slow.fail()).rejects.toThrow('after a while'));
      const totals = await Promise.all(Array.from({ length: 30 }, () => slow.step()));
      await Promise.all([there, ...failing]);
      expect(new Set(totals).size).toBe(30);
      expect(await slow.snapshot()).toEqual({ inside: 0, most: 1, entered: 60, total: 60 });
    });

    test('a running method keeps the object though its caller has gone; a queued call of the gone is dropped', async () => {
      const client = await manager().client();
      const name = freshName('slow');
      const slow = client.object<Slow>('Slow', [], name);
      const keeper = client.object<Gatekeeper>('Gatekeeper', [], 'gatekeeper');
      const going = await manager().client();
      const theirs = going.object<Slow>('Slow', [], name);
      const lost = [theirs.stay(name), theirs.step()].map((call) => expect(call).rejects.toThrow());
      await arrived(going);
      const mine = slow.step();
      while (!(await keeper.waiting(name))) await arrived(client);
      sever(going);
      await Promise.all(lost);
      await arrived(client);
      expect(await keeper.open(name)).toBe(true);
      expect(await mine).toBe(1);
      expect(await slow.snapshot()).toEqual({ inside: 0, most: 1, entered: 1, total: 1 });
    });

    test('a method that runs keeps the object past the end of the hold that it was called through', async () => {
      const client = await manager().client();
      const keeper = client.object<Gatekeeper>('Gatekeeper', [], 'gatekeeper');
      for (const end of ['body', 'holdTimeout', 'session']) {
        const name = freshName('slow');
        const slow = client.object<Slow>('Slow', [], name);
        const going = await manager().client();
        let queued: Promise<unknown> | undefined;
        let late = true;
        const hold = (): Promise<void> => {
          late = false;
          const holding = going.object<Slow>('Slow', [], name).withLock(
            async (held) => {
              held.stay(name).catch(() => (late = true));
              if (end !== 'holdTimeout') queued = expect(held.step()).rejects.toThrow();
              while (!(await keeper.waiting(name)) && !late) await arrived(client);
              if (end !== 'body') await new Promise(() => {});
            },
            end === 'holdTimeout' ? { holdTimeout: 50 } : {},
          );
          holding.catch(() => {});
          return holding;
        };
        let holding = hold();
        // On a machine that is busy the time may be over before the body has made its call: then there is another hold.
        while (!(await keeper.waiting(name))) {
          if (late) holding = hold();
          await arrived(client);
        }
        const mine = slow.step();
        if (end === 'session') await lose(going, client);
        if (end === 'body') await holding.then(() => arrived(going));
        await arrived(client);
        expect(await keeper.open(name)).toBe(true);
        // A call of the hold that had not begun when it ended is refused; what comes after the hold is not disturbed.
        await queued;
        expect(await mine).toBe(1);
        expect(await slow.snapshot()).toEqual({ inside: 0, most: 1, entered: 1, total: 1 });
      }
    });

    test('the same object returned twice is one shared object, and so is one that returns itself', async () => {
      const client = await manager().client();
      const other = await manager().client();
      const name = freshName('holder');
      type Keeper = { inner(): Slow; self(): Keeper; count(): number };
      const keepers = [client, other].map((each) => each.object<Keeper, 'inner' | 'self'>('Keeper', [], name));
      const inner = await Promise.all(keepers.map((keeper) => keeper.inner()));
      await Promise.all(Array.from({ length: 20 }, (_, i) => inner[i % 2]!.step()));
      expect(await inner[0]!.snapshot()).toEqual({ inside: 0, most: 1, entered: 20, total: 20 });
      const self = await keepers[0]!.self();
      expect([await self.count(), await keepers[1]!.count()]).toEqual([1, 2]);
    });

    test('an object that was returned is freed with its last handle', async () => {
      const small = await managerOfTest(setting, { modules, limits: { objects: 4 } });
      const client = await small.client();
      await client.lock(ALIVE).locked();
      const account = client.object<Account, 'branch'>('Account', ['Ada'], 'account');
      for (let round = 0; round < 3; round++) {
        const branches = [await account.branch(), await account.branch()];
        await expect(client.dict().size()).rejects.toThrow('limits.objects');
        for (const branch of branches) {
          expect(await branch.book(1)).toBe(1);
          await branch.dispose();
        }
        const dying = await small.client();
        const theirs = dying.object<Account, 'branch'>('Account', [], 'account');
        void theirs.branch(); // on its way when the session ends
        await theirs.branch();
        await lose(dying, client);
      }
      expect(await client.dict().size()).toBe(0);
    });

    test('a built-in type is not asked for as a custom one', async () => {
      const client = await manager().client();
      for (const typeId of ['dict', 'list', 'tasks']) {
        expect(() => client.object(typeId)).toThrow(`'${typeId}' is no type that was registered`);
      }
    });

    test('calls keep their order behind a slow one', async () => {
      const client = await manager().client();
      const slow = client.object<Slow>('Slow');
      expect(await Promise.all([1, 2, 3, 4].map((by) => slow.step(by)))).toEqual([1, 3, 6, 10]);
    });

    test('a type that nobody registered, and factories that make no object', async () => {
      const client = await manager().client();
      await expect(callOn(client.object('Nowhere'), 'x')).rejects.toThrow(/'Nowhere'.*Ledger/s);
      for (const typeId of ['__proto__', 'constructor', 'toString', 'manager', 'custom']) {
        await expect(callOn(client.object(typeId), 'x'), typeId).rejects.toThrow(UnknownMethodError);
      }
      await expect(callOn(client.object('Broken'), 'x')).rejects.toThrow('must return an object');
      await expect(callOn(client.object('Refusing'), 'x')).rejects.toThrow('not today');
      await expect(callOn(client.object('Refusing', [], freshName()), 'x')).rejects.toThrow(RangeError);
      expect(() => client.object('Ledger', [() => {}])).toThrow(UnserializableError);
    });

    test('X2 a proxy is not thenable, and no dangerous name ever leads anywhere', async () => {
      const client = await manager().client();
      const ledger = client.object<Ledger>('Open', ['Ada']);
      const proxy = ledger as unknown as Record<string, unknown>;
      expect(await Promise.resolve(ledger)).toBe(ledger);
      expect((await (async () => ledger)()) === ledger).toBe(true);
      for (const name of ['then', 'constructor', '__proto__', 'prototype', 'toJSON'])
        expect(proxy[name], name).toBe(undefined);
      for (const name of Object.getOwnPropertyNames(Object.prototype)) {
        const member = proxy[name];
        if (typeof member === 'function') {
          await expect(member() as Promise<unknown>, name).rejects.toThrow(UnknownMethodError);
        }
      }
      // Printing one makes no calls, so there is nothing to fail unseen.
      expect(`${ledger as unknown as string}`).toContain('Open');
      expect(() => JSON.stringify(ledger)).not.toThrow();
      expect(() => {
        proxy['balance'] = 1;
      }).toThrow(UnknownMethodError);
      expect(await ledger.balance()).toBe(0);
    });

    test('X2 whatever name comes over the wire, only the exposed ones are looked up', async () => {
      const client = await manager().client();
      const ledger = client.object<Ledger>('Open', ['Ada']);
      const { handle } = (ledger as unknown as { [where]: { handle: number } })[where];
      // What a client of another make could send: any item in the place of the name.
      const invoke = (name: Item): Promise<unknown> =>
        client[connectionOf].call(handle, methods.custom.indexOf('invoke'), [name, []]);
      const names: Item[] = [
        ...Object.getOwnPropertyNames(Object.prototype),
        ...Object.getOwnPropertyNames(Function.prototype),
        'prototype', 'then', 'catch', 'finally', 'constructor.constructor', 'constructor[prototype]', '__proto__.toString',
        'Symbol(Symbol.iterator)', 'Symbol.asyncDispose', 'book.call', 'book ', ' book', 'BOOK', 'book\0', '\0', '_', '__', '#secret',
        '', '0', 'length', 'ownKeys', 'invoke', 'snapshot', 'attach', 'gate', 'dropped', 'served', 'process', 'require',
        0, 1n, true, null, undefined, ['book'], [], [['book']],
      ]; // prettier-ignore
      for (const name of names) {
        await expect(invoke(name), typeof name === 'string' ? name : typeof name).rejects.toThrow(UnknownMethodError);
      }
      expect(await invoke('balance')).toBe(0);
    });
  });
}
