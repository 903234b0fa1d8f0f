/** What a shared queue of values does, in every setting and order. */
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  type Client,
  QueueFullError,
  type QueueOptions,
  type QueueProxy,
  QueueShutdownError,
  TimeoutError,
  TypeMismatchError,
  UnserializableError,
} from 'quartermaster';
import { freshName, managerOfSuite, type Setting } from '../kit/managers.ts';
import { partyOfSuite, partyOfTest } from '../kit/parties.ts';
import { arrived, lose, loseParty } from '../kit/arrived.ts';

export function queueContract(setting: Setting): void {
  describe(`queue (${setting})`, () => {
    const manager = managerOfSuite(setting);
    const party = partyOfSuite(manager);

    async function freshQueue<T = unknown>(
      options?: QueueOptions,
    ): Promise<{ client: Client; name: string; queue: QueueProxy<T> }> {
      const client = await manager().client();
      const name = freshName('queue');
      return { client, name, queue: client.queue<T>(name, options) };
    }

    const drain = async <T>(queue: QueueProxy<T>): Promise<T[]> => {
      const items: T[] = [];
      for (let item = await queue.getNowait(); item !== undefined; item = await queue.getNowait()) items.push(item);
      return items;
    };

    test('first in, first out by default', async () => {
      const { queue } = await freshQueue<number>();
      for (const n of [1, 2, 3]) await queue.put(n);
      expect(await queue.snapshot()).toEqual([1, 2, 3]);
      expect([await queue.get(), await queue.get(), await queue.get()]).toEqual([1, 2, 3]);
    });

    test('last in, first out', async () => {
      const { queue } = await freshQueue<number>({ order: 'lifo' });
      await queue.putMany([1, 2, 3]);
      expect(await queue.snapshot()).toEqual([3, 2, 1]);
      expect(await queue.get()).toBe(3);
      await queue.put(4);
      expect(await drain(queue)).toEqual([4, 2, 1]);
    });

    test('Q5 by priority, higher sooner; the same priority is strictly first in, first out', async () => {
      const { queue } = await freshQueue<string>({ order: 'priority' });
      const wanted: { value: string; priority: number; at: number }[] = [];
      let at = 0;
      for (const priority of [0, 5, -1, 5, 0.5, 0, 5, -Infinity, Infinity, 0]) {
        const value = `${priority}#${at}`;
        wanted.push({ value, priority, at: at++ });
        if (at % 2 === 0) await queue.put(value, { priority });
        else await queue.putNowait(value, { priority });
      }
      await queue.putMany(['many#1', 'many#2'], { priority: 5 });
      wanted.push({ value: 'many#1', priority: 5, at: at++ }, { value: 'many#2', priority: 5, at: at++ });
      await queue.put('none');
      wanted.push({ value: 'none', priority: 0, at: at++ });
      wanted.sort((a, b) => b.priority - a.priority || a.at - b.at);
      const values = wanted.map(({ value }) => value);
      expect(await queue.snapshot()).toEqual(values);
      expect(await queue.getMany(4)).toEqual(values.slice(0, 4));
      expect(await drain(queue)).toEqual(values.slice(4));
    });

    test('Q5 thousands of items of few priorities keep their order, put by two processes', async () => {
      const { name, queue } = await freshQueue<[number, string, number]>({ order: 'priority' });
      const there = party().run(async ({ client }, name) => {
        const queue = client.queue(name);
        for (let i = 0; i < 1000; i++) void queue.put([i % 3, 'there', i], { priority: i % 3 });
        await queue.size();
      }, name);
      for (let i = 0; i < 1000; i++) void queue.put([i % 3, 'here', i], { priority: i % 3 });
      await there;
      const items = await queue.getMany(2000);
      expect(items).toHaveLength(2000);
      const last = new Map<string, number>();
      let priority = 2;
      for (const [rank, who, i] of items) {
        expect(rank).toBeLessThanOrEqual(priority);
        priority = rank;
        expect(i).toBeGreaterThan(last.get(`${rank}${who}`) ?? -1);
        last.set(`${rank}${who}`, i);
      }
    });

    test('a priority, order or size that is none is refused', async () => {
      const { client, queue } = await freshQueue<number>({ order: 'priority' });
      for (const priority of ['high', null, {}, 1n] as never[]) {
        await expect(queue.put(1, { priority })).rejects.toThrow(TypeError);
        await expect(queue.putNowait(1, { priority })).rejects.toThrow(TypeError);
        await expect(queue.putMany([1], { priority })).rejects.toThrow(TypeError);
      }
      await expect(queue.put(1, { priority: NaN })).rejects.toThrow(RangeError);
      expect(await queue.size()).toBe(0);
      await expect(client.queue(undefined, { order: 'random' as never }).size()).rejects.toThrow(TypeError);
      await expect(client.queue(undefined, { order: 'constructor' as never }).size()).rejects.toThrow(TypeError);
      for (const maxSize of [0, -1, 1.5, NaN]) {
        await expect(client.queue(undefined, { maxSize }).size(), String(maxSize)).rejects.toThrow(RangeError);
      }
      await expect(client.queue(undefined, { colour: 'red' } as never).size()).rejects.toThrow('colour');
    });

    test('the first ask with options sets them, later ones must agree, asks without attach', async () => {
      const { client, name, queue } = await freshQueue<number>();
      for (const n of [1, 2, 3]) await queue.put(n);
      const lifo = client.queue<number>(name, { maxSize: 4, order: 'lifo' });
      expect(await lifo.get()).toBe(3);
      await queue.put(5);
      await queue.put(6);
      expect(await queue.full()).toBe(true);
      expect(await client.queue(name, { order: 'lifo', maxSize: 4 }).size()).toBe(4);
      expect(await client.queue(name).size()).toBe(4);
      await expect(client.queue(name, { maxSize: 5, order: 'lifo' }).size()).rejects.toThrow(TypeMismatchError);
      await expect(client.queue(name, { maxSize: 4, order: 'fifo' }).size()).rejects.toThrow(TypeMismatchError);
      await expect(client.queue(name, { maxSize: 4 }).size()).rejects.toThrow(TypeMismatchError);
      await expect(client.dict(name).size()).rejects.toThrow(TypeMismatchError);
      expect(await drain(queue)).toEqual([6, 5, 2, 1]);
    });

    test('Q4 getNowait on an empty queue resolves undefined, and waits for nothing', async () => {
      const { queue } = await freshQueue<unknown>();
      expect(await queue.getNowait()).toBe(undefined);
      for (const falsy of [null, 0, '', false, NaN]) {
        await queue.put(falsy);
        expect(await queue.getNowait()).toBe(falsy);
      }
      expect(await queue.getNowait()).toBe(undefined);
      expect([await queue.size(), await queue.empty()]).toEqual([0, true]);
    });

    test('undefined cannot be put, and what cannot cross is refused with its path', async () => {
      const { queue } = await freshQueue<unknown>();
      await expect(queue.put(undefined)).rejects.toThrow(TypeError);
      await expect(queue.putNowait(undefined)).rejects.toThrow(TypeError);
      await expect(queue.putMany([1, undefined])).rejects.toThrow(TypeError);
      await expect(queue.put({ deep: [() => {}] })).rejects.toMatchObject({ path: 'value.deep[0]' });
      await expect(queue.putMany([1, Symbol('s')])).rejects.toThrow(UnserializableError);
      expect(await queue.size()).toBe(0);
    });

    test('a bounded queue: put waits for room, putNowait does not', async () => {
      const { client, queue } = await freshQueue<number>({ maxSize: 2 });
      await queue.put(1);
      expect(await queue.full()).toBe(false);
      await queue.put(2);
      expect(await queue.full()).toBe(true);
      await expect(queue.putNowait(3)).rejects.toThrow(QueueFullError);
      const waiting = [queue.put(3), queue.put(4)];
      await arrived(client);
      expect(await queue.size()).toBe(2);
      expect(await queue.get()).toBe(1);
      await waiting[0];
      expect(await queue.snapshot()).toEqual([2, 3]);
      expect(await queue.getNowait()).toBe(2);
      await waiting[1];
      expect(await drain(queue)).toEqual([3, 4]);
    });

    test('Q2 putters are admitted first come, first served, also those of other processes', async () => {
      const { client, name, queue } = await freshQueue<string>({ maxSize: 1 });
      await queue.put('first');
      const before = queue.put('here 1');
      await arrived(client);
      const there = party().run(async ({ client, say }, name) => {
        const puts = [client.queue(name).put('there 1'), client.queue(name).put('there 2')];
        await client.counter().get(); // the puts are ahead of it
        say('waiting');
        await Promise.all(puts);
      }, name);
      expect(await party().said()).toBe('waiting');
      const after = queue.put('here 2');
      await arrived(client);
      const got: string[] = [];
      for (let i = 0; i < 5; i++) got.push(await queue.get());
      expect(got).toEqual(['first', 'here 1', 'there 1', 'there 2', 'here 2']);
      await Promise.all([before, there, after]);
    });

    test('Q2 blocked putters that give up, by abort, timeout or death, leave nothing behind; the rest go in order', async () => {
      const { client, name, queue } = await freshQueue<string>({ maxSize: 1 });
      await queue.put('first');
      const aborting = new AbortController();
      const reason = new Error('changed my mind');
      const aborted = expect(queue.put('aborted', { signal: aborting.signal })).rejects.toBe(reason);
      const late = expect(queue.put('late', { timeout: 1 })).rejects.toThrow(TimeoutError);
      const dying = await manager().client();
      const lost = expect(dying.queue(name).put('of a dead session')).rejects.toThrow();
      await arrived(dying);
      const many = queue.put('stays 1');
      const last = queue.put('stays 2');
      await arrived(client);
      aborting.abort(reason);
      await aborted;
      await late;
      await lose(dying, client);
      await lost;
      expect(await queue.get()).toBe('first');
      await many;
      expect(await queue.get()).toBe('stays 1');
      await last;
      expect(await drain(queue)).toEqual(['stays 2']);
    });

    test('Q2 of the blocked puts of a session that dies none goes in because another one has left', async () => {
      const { client, name, queue } = await freshQueue<string>({ maxSize: 2 });
      await queue.put('first');
      const dying = await manager().client();
      const lost = [
        dying.queue<string>(name).putMany(['too', 'many']),
        dying.queue<string>(name).put('would fit'),
        dying.queue<string>(name).put('would not'),
      ].map((put) => expect(put).rejects.toThrow());
      await arrived(dying);
      const next = queue.put('of somebody else');
      await arrived(client);
      await lose(dying, client);
      await Promise.all(lost);
      await next;
      expect(await queue.snapshot()).toEqual(['first', 'of somebody else']);
    });

    test('Q2 shutdown rejects every blocked putter; none is half inserted', async () => {
      const { client, queue } = await freshQueue<number>({ maxSize: 3 });
      await queue.putMany([1, 2]);
      const blocked = [queue.putMany([3, 4]), queue.putMany([5, 6, 7])].map((put) =>
        expect(put).rejects.toThrow(QueueShutdownError),
      );
      await arrived(client);
      await queue.shutdown();
      await Promise.all(blocked);
      expect(await drain2(queue)).toEqual([1, 2]);
    });

    /** Of a queue that is shut down. */
    const drain2 = async <T>(queue: QueueProxy<T>): Promise<T[]> => {
      const items: T[] = [];
      for await (const item of queue) items.push(item);
      return items;
    };

    test('a blocked putMany that leaves lets smaller puts behind it in', async () => {
      const { client, queue } = await freshQueue<number>({ maxSize: 2 });
      await queue.put(1);
      const aborting = new AbortController();
      const large = expect(queue.putMany([2, 3], { signal: aborting.signal })).rejects.toThrow();
      const small = queue.put(4);
      await arrived(client);
      expect(await queue.size()).toBe(1);
      aborting.abort();
      await large;
      await small;
      expect(await drain(queue)).toEqual([1, 4]);
    });

    test('putMany puts all at one moment; more than fit ever is refused', async () => {
      const { queue } = await freshQueue<number>({ maxSize: 3 });
      await queue.putMany(new Set([1, 2]));
      await queue.putMany([]);
      await expect(queue.putMany([1, 2, 3, 4])).rejects.toThrow(RangeError);
      await expect(queue.putMany([3, 4], { timeout: 0 })).rejects.toThrow(TimeoutError);
      expect(await queue.snapshot()).toEqual([1, 2]);
    });

    test('getMany waits for one, then takes what is there, up to max', async () => {
      const { client, queue } = await freshQueue<number>();
      const waiting = queue.getMany(3);
      await arrived(client);
      await queue.putMany([1, 2, 3, 4]);
      expect(await waiting).toEqual([1, 2, 3]);
      expect(await queue.getMany(10)).toEqual([4]);
      for (const max of [0, -1, 1.5, NaN, '1'] as number[]) {
        await expect(queue.getMany(max), String(max)).rejects.toThrow(RangeError);
      }
    });

    test('waiting getters are served first come, first served, also in other processes', async () => {
      const { client, name, queue } = await freshQueue<number>();
      const first = queue.get();
      await arrived(client);
      const second = party().run(async ({ client, say }, name) => {
        const item = client.queue(name).get();
        await client.counter().get();
        say('waiting');
        return item;
      }, name);
      expect(await party().said()).toBe('waiting');
      const third = queue.get();
      await arrived(client);
      const putter = await manager().client();
      await putter.queue(name).putMany([1, 2, 3]);
      expect(await Promise.all([first, second, third])).toEqual([1, 2, 3]);
    });

    test('a wait that is over before it began sends nothing', async () => {
      const { queue } = await freshQueue<number>();
      const reason = new Error('before');
      await expect(queue.get({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
      await expect(queue.put(1, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
      await expect(queue.putMany([1], { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
      await expect(queue.getMany(1, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
      await expect(queue.join({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
      for (const timeout of [-1, NaN]) {
        await expect(queue.get({ timeout })).rejects.toThrow(RangeError);
        await expect(queue.put(1, { timeout })).rejects.toThrow(RangeError);
        await expect(queue.putMany([1], { timeout })).rejects.toThrow(RangeError);
        await expect(queue.getMany(1, { timeout })).rejects.toThrow(RangeError);
        await expect(queue.join({ timeout })).rejects.toThrow(RangeError);
      }
      await expect(queue.get({ timeout: '5' as never })).rejects.toThrow(TypeError);
      expect(await queue.size()).toBe(0);
    });

    test('a timeout is for the waiting: fresh TimeoutErrors, and the waiter is gone', async () => {
      const { queue } = await freshQueue<number>();
      const [a, b] = await Promise.all(
        [1, 2].map((timeout) => queue.get({ timeout }).catch((error: unknown) => error)),
      );
      expect(a).toBeInstanceOf(TimeoutError);
      expect(b).toBeInstanceOf(TimeoutError);
      expect(a).not.toBe(b);
      await queue.put(1);
      expect(await queue.size()).toBe(1);
      // Nothing has to be waited for: the shortest timeout is long enough, however slow the way to the manager is.
      for (let i = 0; i < 50; i++) {
        expect(await queue.get({ timeout: 0 })).toBe(1);
        await queue.put(1, { timeout: 0 });
      }
    });

    test('Q3 a getter that is aborted or dies while it waits takes nothing: the item goes to the next', async () => {
      const { client, name, queue } = await freshQueue<number>();
      const aborting = new AbortController();
      const aborted = expect(queue.get({ signal: aborting.signal })).rejects.toThrow();
      const doomed = await partyOfTest(manager());
      const lost = doomed.run(async ({ client, say }, name) => {
        const item = client.queue(name).get();
        await client.counter().get();
        say('waiting');
        return item;
      }, name);
      const failing = expect(lost).rejects.toThrow('SIGKILL');
      expect(await doomed.said()).toBe('waiting');
      const severed = await manager().client();
      const gone = expect(severed.queue(name).get()).rejects.toThrow();
      await arrived(severed);
      const next = queue.get();
      await arrived(client);
      aborting.abort();
      await aborted;
      await loseParty(doomed, client);
      await failing;
      await lose(severed, client);
      await gone;
      await party().run(({ client }, name) => client.queue(name).put(7), name);
      expect(await next).toBe(7);
    });

    if (setting === 'process')
      test('Q3 a timeout comes though the manager has stopped, and still loses nothing', async () => {
        const [getting, putting] = [await manager().client(), await manager().client()];
        for (const order of ['fifo', 'lifo', 'priority'] as const) {
          const name = freshName('queue');
          const queue = getting.queue<number>(name, { order });
          const lock = getting.lock(`${name}-lock`);
          const counter = getting.counter(`${name}-counter`);
          const guard = await putting.lock(`${name}-lock`).acquire();
          let release = (): void => {};
          const holding = putting
            .counter(`${name}-counter`)
            .withLock(() => new Promise<void>((done) => (release = done)));
          await arrived(putting);
          const timeout = 200;
          const waits = [queue.get({ timeout }), queue.getMany(2, { timeout }), lock.acquire({ timeout }), counter.withLock(() => {}, { timeout })]; // prettier-ignore
          const failing = waits.map((wait) => expect(wait).rejects.toThrow(TimeoutError));
          await arrived(getting);
          // Heard last, it is read first when the manager goes on: before the getters say that they have left.
          await arrived(putting);
          process.kill(getting.pid, 'SIGSTOP');
          onTestFinished(() => void process.kill(getting.pid, 'SIGCONT'));
          const source = putting.queue<number>(name);
          const puts = [source.put(1), source.put(2), source.put(3), guard.release()];
          release();
          await Promise.all(failing);
          process.kill(getting.pid, 'SIGCONT');
          await Promise.all([...puts, holding]);
          for (let round = 0; round < 2; round++) await arrived(getting);
          // What was given to those who had left came back to where it was.
          expect((await drain(queue)).sort()).toEqual([1, 2, 3]);
          expect(await lock.locked()).toBe(false);
          expect(await counter.withLock(() => 'free')).toBe('free');
        }
      });

    test('taskDone and join: as many as were put', async () => {
      const { client, name, queue } = await freshQueue<number>();
      await queue.join();
      await queue.putMany([1, 2, 3]);
      let joined = false;
      const joining = queue.join().then(() => (joined = true));
      await expect(queue.join({ timeout: 1 })).rejects.toThrow(TimeoutError);
      await queue.getMany(3);
      await queue.taskDone();
      await party().run(({ client }, name) => client.queue(name).taskDone(), name);
      await arrived(client);
      expect(joined).toBe(false);
      await expect(queue.taskDone(2)).rejects.toThrow(RangeError);
      await queue.taskDone(1);
      await joining;
      await expect(queue.taskDone()).rejects.toThrow(RangeError);
      for (const count of [0, -1, 0.5]) await expect(queue.taskDone(count)).rejects.toThrow(RangeError);
      await queue.put(1);
      await expect(queue.join({ timeout: 1 })).rejects.toThrow(TimeoutError);
    });

    test('Q1 shutdown: no more puts, what is there is still taken, then everybody is told', async () => {
      const { client, name, queue } = await freshQueue<number>();
      await queue.putMany([1, 2]);
      await queue.shutdown();
      await expect(queue.put(3)).rejects.toThrow(QueueShutdownError);
      await expect(queue.putNowait(3)).rejects.toThrow(QueueShutdownError);
      await expect(queue.putMany([3])).rejects.toThrow(QueueShutdownError);
      expect(await queue.get()).toBe(1);
      expect(await queue.getNowait()).toBe(2);
      await expect(queue.get()).rejects.toThrow(QueueShutdownError);
      await expect(queue.getNowait()).rejects.toThrow(QueueShutdownError);
      await expect(queue.getMany(1)).rejects.toThrow(QueueShutdownError);
      const seen: number[] = [];
      for await (const item of queue) seen.push(item);
      expect(seen).toEqual([]);
      await queue.shutdown();
      await expect(client.queue(name).put(1)).rejects.toThrow(QueueShutdownError);
      const joining = queue.join();
      await queue.taskDone(2);
      await joining;
    });

    test('Q1 shutdown while getters wait, here and in another process: all reject', async () => {
      const { client, name, queue } = await freshQueue<number>();
      const here = [queue.get(), queue.getMany(2), queue.get({ timeout: 60_000 })].map((get) =>
        expect(get).rejects.toThrow(QueueShutdownError),
      );
      const there = party().run(async ({ client, say }, name) => {
        const item = client.queue(name).get();
        await client.counter().get();
        say('waiting');
        return item;
      }, name);
      const theirs = expect(there).rejects.toMatchObject({ code: 'QM_QUEUE_SHUTDOWN' });
      expect(await party().said()).toBe('waiting');
      await arrived(client);
      await queue.shutdown();
      await Promise.all([...here, theirs]);
    });

    test('Q1 immediate shutdown drops what is there, and join waits only for what was taken', async () => {
      const { client, queue } = await freshQueue<number>();
      await queue.putMany([1, 2, 3]);
      expect(await queue.get()).toBe(1);
      let joined = false;
      const joining = queue.join().then(() => (joined = true));
      await queue.shutdown({ immediate: true });
      await expect(queue.getNowait()).rejects.toThrow(QueueShutdownError);
      expect(await queue.size()).toBe(0);
      await arrived(client);
      expect(joined).toBe(false);
      await queue.taskDone();
      await joining;
    });

    test('iteration ends at shutdown, after what is there', async () => {
      const { name, queue } = await freshQueue<number>();
      const seen: number[] = [];
      const reading = (async () => {
        for await (const item of queue) seen.push(item);
      })();
      await party().run(async ({ client }, name) => {
        const queue = client.queue(name);
        for (let i = 0; i < 10; i++) await queue.put(i);
        await queue.shutdown();
      }, name);
      await reading;
      expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    });

    test('leaving an iteration takes nothing more', async () => {
      const { queue } = await freshQueue<number>();
      await queue.putMany([1, 2, 3]);
      for await (const item of queue) if (item === 2) break;
      expect(await drain(queue)).toEqual([3]);
    });

    test('every item goes to exactly one of two processes', async () => {
      const { name, queue } = await freshQueue<number>({ maxSize: 50 });
      const there = party().run(async ({ client }, name) => {
        const items: number[] = [];
        for await (const item of client.queue<number>(name)) items.push(item);
        return items;
      }, name);
      const here = (async () => {
        const items: number[] = [];
        for await (const item of queue) items.push(item);
        return items;
      })();
      const putter = (await manager().client()).queue<number>(name);
      await Promise.all(Array.from({ length: 2000 }, (_, i) => putter.put(i)));
      await putter.shutdown();
      const [mine, theirs] = await Promise.all([here, there]);
      expect([...mine, ...theirs].sort((a, b) => a - b)).toEqual(Array.from({ length: 2000 }, (_, i) => i));
      for (const items of [mine, theirs]) expect(items).toEqual([...items].sort((a, b) => a - b));
    });
  });
}
