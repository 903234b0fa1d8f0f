/** What a shared barrier does, in every setting. */
import { describe, expect, test } from 'vitest';
import { BrokenBarrierError, DeadlockError, TimeoutError, TypeMismatchError } from 'quartermaster';
import { arrived } from '../kit/arrived.ts';
import { freshName, managerOfSuite, type Setting } from '../kit/managers.ts';
import { partyOfSuite, partyOfTest } from '../kit/parties.ts';

export function barrierContract(setting: Setting): void {
  describe(`barrier (${setting})`, () => {
    const manager = managerOfSuite(setting);
    const party = partyOfSuite(manager);

    test('nobody passes before all have come; each has its place; again and again', async () => {
      const name = freshName('barrier');
      const client = await manager().client();
      const barrier = client.barrier(name, { parties: 3 });
      for (let round = 0; round < 3; round++) {
        let passed = 0;
        const here = [barrier.wait(), barrier.wait()].map((wait) => wait.then((place) => (passed++, place)));
        await arrived(client);
        expect([await barrier.waiting(), passed]).toEqual([2, 0]);
        const there = party().run(({ client: theirs }, at) => theirs.barrier(at).wait(), name);
        expect((await Promise.all([...here, there])).toSorted()).toEqual([0, 1, 2]);
        expect(await barrier.snapshot()).toEqual({ parties: 3, waiting: 0, broken: false });
      }
    });

    test('one that gives up breaks it for all, until it is made anew', async () => {
      const client = await manager().client();
      const barrier = client.barrier(undefined, { parties: 3 });
      const waiting = barrier.wait();
      waiting.catch(() => {});
      await expect(barrier.wait({ timeout: 1 })).rejects.toThrow(TimeoutError);
      await expect(waiting).rejects.toThrow(BrokenBarrierError);
      await expect(barrier.wait()).rejects.toThrow(BrokenBarrierError);
      expect(await barrier.broken()).toBe(true);
      await barrier.reset();
      expect(await Promise.all([barrier.wait(), barrier.wait(), barrier.wait()])).toEqual([0, 1, 2]);
    });

    test('one whose process is killed breaks it', async () => {
      const name = freshName('barrier');
      const client = await manager().client();
      const doomed = await partyOfTest(manager());
      const there = doomed.run(({ client: theirs, say }, at) => {
        const waiting = theirs.barrier(at, { parties: 2 }).wait();
        void theirs
          .counter()
          .get()
          .then(() => say('waiting'));
        return waiting;
      }, name);
      there.catch(() => {});
      expect(await doomed.said()).toBe('waiting');
      const barrier = client.barrier(name, { parties: 2 });
      expect(await barrier.waiting()).toBe(1);
      const broken = client.event();
      void (async () => {
        while (!(await barrier.broken())) await arrived(client);
        await broken.set();
      })();
      await doomed.kill();
      await broken.wait();
      await expect(barrier.wait()).rejects.toThrow(BrokenBarrierError);
    });

    test('abort and reset tell who waits', async () => {
      const client = await manager().client();
      const barrier = client.barrier(undefined, { parties: 2 });
      for (const end of ['abort', 'reset'] as const) {
        const waiting = expect(barrier.wait()).rejects.toThrow(BrokenBarrierError);
        await arrived(client);
        await barrier[end]();
        await waiting;
        expect(await barrier.broken()).toBe(end === 'abort');
        await barrier.reset();
      }
    });

    test('parties: said once by whoever knows; another number, or none at all, is refused', async () => {
      const client = await manager().client();
      const name = freshName('barrier');
      await expect(client.barrier(name).wait()).rejects.toThrow('ask for it with { parties }');
      expect(await client.barrier(name, { parties: 2 }).parties()).toBe(2);
      expect(await client.barrier(name).parties()).toBe(2);
      await expect(client.barrier(name, { parties: 3 }).parties()).rejects.toThrow(TypeMismatchError);
      for (const parties of [0, -1, 1.5, NaN]) {
        await expect(client.barrier(undefined, { parties }).parties()).rejects.toThrow(RangeError);
      }
      expect(await client.barrier(undefined, { parties: 1 }).wait()).toBe(0);
    });

    test('a wait through a hold would be for ever: DeadlockError', async () => {
      const barrier = (await manager().client()).barrier(undefined, { parties: 2 });
      await barrier.withLock((held) => expect(held.wait()).rejects.toThrow(DeadlockError));
      expect(await barrier.broken()).toBe(false);
    });
  });
}
