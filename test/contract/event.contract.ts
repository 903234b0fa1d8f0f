/** What a shared event does, in every setting. */
import { describe, expect, test } from 'vitest';
import { DeadlockError, ProxyDisposedError, TimeoutError } from 'quartermaster';
import { arrived } from '../kit/arrived.ts';
import { freshName, managerOfSuite, type Setting } from '../kit/managers.ts';
import { partyOfSuite } from '../kit/parties.ts';

export function eventContract(setting: Setting): void {
  describe(`event (${setting})`, () => {
    const manager = managerOfSuite(setting);
    const party = partyOfSuite(manager);

    test('set, clear, isSet; wait is at once while it is set', async () => {
      const event = (await manager().client()).event();
      expect(await event.isSet()).toBe(false);
      await event.set();
      await event.set();
      expect(await event.isSet()).toBe(true);
      expect(await event.snapshot()).toBe(true);
      await event.wait();
      await event.wait({ timeout: 0 });
      await event.clear();
      expect(await event.isSet()).toBe(false);
    });

    test('set wakes all who wait, in all processes, though it is cleared right after', async () => {
      const name = freshName('event');
      const [one, two] = [await manager().client(), await manager().client()];
      const waits = [one, two, two].map((client) => client.event(name).wait());
      const there = party();
      const far = there.run(async ({ client, say }, at) => {
        const waiting = client.event(at).wait();
        await client.event(at).isSet(); // handled after the wait, on the same object
        say('waiting');
        await waiting;
        return 'woken';
      }, name);
      expect(await there.said()).toBe('waiting');
      await arrived(one);
      await arrived(two);
      const event = one.event(name);
      await Promise.all([event.set(), event.clear()]);
      await Promise.all(waits);
      expect(await far).toBe('woken');
      expect(await event.isSet()).toBe(false);
    });

    test('a timeout or an abort ends a wait; the others wait on', async () => {
      const event = (await manager().client()).event();
      const kept = event.wait();
      await expect(event.wait({ timeout: 1 })).rejects.toThrow(TimeoutError);
      const abort = new AbortController();
      const aborted = event.wait({ signal: abort.signal });
      abort.abort(new Error('no more'));
      await expect(aborted).rejects.toThrow('no more');
      await event.set();
      await kept;
    });

    test('a wait through a hold would be for ever: DeadlockError', async () => {
      const event = (await manager().client()).event();
      await event.withLock(async (held) => {
        await expect(held.wait()).rejects.toThrow(DeadlockError);
        await held.set();
        await held.wait();
      });
    });

    test('who waits on an unnamed event when its last handle goes is told', async () => {
      const client = await manager().client();
      const event = client.event();
      const waiting = expect(event.wait()).rejects.toThrow(ProxyDisposedError);
      await arrived(client);
      await event.dispose();
      await waiting;
    });
  });
}
