/** What watching dicts and values, and subscribing to topics, does, in every setting. */
import { describe, expect, test } from 'vitest';
import {
  type Client,
  connect,
  type CounterProxy,
  type DictChange,
  ManagerGoneError,
  ProxyDisposedError,
  UnserializableError,
} from 'quartermaster';
import { arrived, lose, loseParty } from '../kit/arrived.ts';
import { freshName, managerOfSuite, managerOfTest, type Setting, sever } from '../kit/managers.ts';
import { partyOfTest } from '../kit/parties.ts';
import { until } from '../kit/until.ts';

/** The next so many values; the reading goes on after them. */
async function some<T>(feed: AsyncIterable<T>, count: number): Promise<T[]> {
  const reading = feed[Symbol.asyncIterator]();
  const read: T[] = [];
  while (read.length < count) {
    const { done, value } = await reading.next();
    if (done === true) throw new Error(`it ended after ${read.length} values`);
    read.push(value);
  }
  return read;
}

export function watchContract(setting: Setting): void {
  describe(`watch (${setting})`, () => {
    const manager = managerOfSuite(setting);
    /** What the manager still does for that client's feeds; where it is embedded. */
    const left = async (client: Client): Promise<[number, number] | undefined> => {
      await arrived(client);
      const feeds = manager().core?.sessions.get(client.session)?.feeds;
      return feeds && [feeds.open.size, feeds.kept];
    };
    const none = setting === 'process' ? undefined : [0, 0];

    test('every change of a dict, by whichever method, with its version and the session of its author', async () => {
      const [watcher, author] = [await manager().client(), await manager().client()];
      const name = freshName('dict');
      const dict = author.dict<string, unknown>(name);
      await dict.set('before', 1);
      const feed = watcher.dict<string, unknown>(name).watch();
      await arrived(watcher);
      await dict.set('a', { x: 1 });
      await dict.setMany([['b', 2], ['c', undefined]]); // prettier-ignore
      await dict.increment('n', 5);
      await dict.compareAndSet('n', 6, 7); // is not
      await dict.compareAndSet('n', 5, 6);
      await dict.getOrInsert('n', 9); // is there
      await dict.getOrInsert('m', [1]);
      await dict.pop('m');
      await dict.pop('m'); // is gone
      await dict.delete('b');
      await dict.delete('b'); // is gone
      await dict.clear();
      await dict.clear(); // is empty
      await dict.set('last', null);
      const session = author.session;
      expect(await some(feed, 13)).toStrictEqual([
        { key: 'a', value: { x: 1 }, version: 2, session },
        { key: 'b', value: 2, version: 3, session },
        { key: 'c', value: undefined, version: 4, session },
        { key: 'n', value: 5, version: 5, session },
        { key: 'n', value: 6, version: 6, session },
        { key: 'm', value: [1], version: 7, session },
        { key: 'm', version: 8, session },
        { key: 'b', version: 9, session },
        { key: 'before', version: 10, session },
        { key: 'a', version: 11, session },
        { key: 'c', version: 12, session },
        { key: 'n', version: 13, session },
        { key: 'last', value: null, version: 14, session },
      ]);
      await feed.close();
      expect(await left(watcher)).toEqual(none);
    });

    test('every change of a value', async () => {
      const [watcher, author] = [await manager().client(), await manager().client()];
      const name = freshName('value');
      const value = author.value<unknown>(name, 1);
      const feed = watcher.value<unknown>(name).watch();
      await arrived(watcher);
      await value.set('x');
      await value.compareAndSet('y', 'z'); // is not
      await value.compareAndSet('x', undefined);
      const session = author.session;
      expect(await some(feed, 2)).toStrictEqual([
        { value: 'x', version: 1, session },
        { value: undefined, version: 2, session },
      ]);
    });

    test('it begins with the call: what the same client does next is seen, and what others do once it is there', async () => {
      const client = await manager().client();
      const dict = client.dict<string, number>();
      const feed = dict.watch();
      for (let i = 0; i < 1000; i++) void dict.set('k', i);
      expect((await some(feed, 1000)).map(({ value }) => value)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
      expect(feed.missed).toBe(0);
    });

    test('a watcher of one key hears of that key only', async () => {
      const client = await manager().client();
      const dict = client.dict<string | number, number>();
      const feeds = ['a', 1, NaN].map((key) => dict.watch(key));
      const wrong = dict.watch as (key: unknown) => unknown;
      expect(() => wrong.call(dict, {})).toThrow(TypeError);
      await dict.setMany([['a', 1], ['1', 2], [1, 3], [NaN, 4], ['b', 5]]); // prettier-ignore
      await dict.clear();
      const heard = await Promise.all(feeds.map((feed) => some(feed, 2)));
      expect(heard.map((changes) => changes.map(({ key, value, version }) => [key, value, version]))).toEqual([
        [['a', 1, 1], ['a', undefined, 6]],
        [[1, 3, 3], [1, undefined, 8]],
        [[NaN, 4, 4], [NaN, undefined, 9]],
      ]); // prettier-ignore
    });

    test('opened outside or inside a hold, it hears what the holder does, and what comes after', async () => {
      const [holder, other] = [await manager().client(), await manager().client()];
      const name = freshName('dict');
      const dict = holder.dict<string, number>(name);
      const heard: Promise<DictChange<string, number>[]>[] = [];
      await dict.withLock(async (held) => {
        heard.push(some(other.dict<string, number>(name).watch(), 3), some(dict.watch(), 3), some(held.watch(), 3));
        await arrived(other);
        await held.set('k', 1);
        void other.dict<string, number>(name).set('k', 3);
        await held.set('k', 2);
      });
      for (const changes of heard) expect((await changes).map(({ value }) => value)).toEqual([1, 2, 3]);
    });

    test('leaving the loop, close, signal and dispose stop it in the manager', async () => {
      const client = await manager().client();
      const name = freshName('dict');
      const author = client.dict<string, number>(name);
      const dict = client.dict<string, number>(name);
      const aborting = new AbortController();
      const feeds = [dict.watch(), dict.watch('k'), dict.watch(undefined, { signal: aborting.signal }), dict.watch()];
      void author.set('k', 1);
      for await (const { value } of feeds[0]!) {
        expect(value).toBe(1);
        break;
      }
      await feeds[1]!.close();
      const aborted = expect(some(feeds[2]!, 2)).rejects.toThrow('no more');
      await arrived(client);
      aborting.abort(new Error('no more'));
      await aborted;
      const disposed = expect(some(feeds[3]!, 2)).rejects.toThrow(ProxyDisposedError);
      await dict.dispose();
      await disposed;
      expect(await left(client)).toEqual(none);
      for (const feed of feeds) expect(await feed[Symbol.asyncIterator]().next()).toMatchObject({ done: true });
      // What is wrong from the start is told to the reader.
      await expect(some(dict.watch(), 1)).rejects.toThrow(ProxyDisposedError);
      await expect(some(author.watch('k', { signal: aborting.signal }), 1)).rejects.toThrow('no more');
      await expect(
        some(client.dict<string, number>(name).watch('k', { signal: AbortSignal.abort(new Error('early')) }), 1),
      ).rejects.toThrow('early');
      expect(await left(client)).toEqual(none);
    });

    test('the end of the object and of the manager', async () => {
      const own = await managerOfTest(setting);
      const client = await own.client();
      const dict = client.dict<string, number>();
      const value = client.value<number>(undefined, 1);
      const feed = value.watch();
      void value.set(2);
      void value.set(3);
      await arrived(client);
      await value.dispose();
      await expect(feed.toArray()).rejects.toThrow(ProxyDisposedError);
      const [watching, subscribed] = [dict.watch(), client.topic('t').subscribe()];
      void dict.set('k', 1);
      const changes = some(watching, 2);
      const ended = [
        expect(changes).rejects.toThrow(ManagerGoneError),
        expect(some(subscribed, 1)).rejects.toThrow(ManagerGoneError),
      ];
      await arrived(client);
      await own.close();
      await Promise.all(ended);
    });

    test('a watcher here, an author there, who is killed in between: nothing that was acknowledged is missed', async () => {
      const client = await manager().client();
      const name = freshName('dict');
      const feed = client.dict<string, number>(name).watch();
      await arrived(client);
      const party = await partyOfTest(manager());
      const session = await party.run(async ({ client }, name) => {
        const dict = client.dict<string, number>(name);
        for (let i = 1; i <= 500; i++) await dict.set('k', i);
        return client.session;
      }, name);
      const changes = await some(feed, 500);
      expect(changes.map(({ value, version }) => [value, version])).toEqual(
        Array.from({ length: 500 }, (_, i) => [i + 1, i + 1]),
      );
      expect(new Set(changes.map((change) => change.session))).toEqual(new Set([session]));
      await loseParty(party, client);
      const next = some(feed, 1);
      await client.dict<string, number>(name).delete('k');
      expect(await next).toStrictEqual([{ key: 'k', version: 501, session: client.session }]);
    });

    test('a watcher that is killed, or loses its connection, is no longer told anything', async () => {
      const client = await manager().client();
      const [dictName, topicName] = [freshName('dict'), freshName('topic')];
      const party = await partyOfTest(manager());
      await party.run(
        async ({ client, kept }, dict, topic) => {
          kept['feeds'] = [client.dict(dict).watch(), client.dict(dict).watch('k'), client.topic(topic).subscribe()];
          await client.counter().get();
        },
        dictName,
        topicName,
      );
      const topic = client.topic<number>(topicName);
      expect(await topic.publish(1)).toBe(1);
      await loseParty(party, client);
      expect(await topic.publish(2)).toBe(0);

      const losing = await manager().client();
      const feed = losing.dict<string, number>(dictName).watch();
      await client.dict<string, number>(dictName).set('k', 1);
      await arrived(losing);
      const code = setting === 'memory' ? 'QM_MANAGER_GONE' : 'QM_CONNECTION_LOST';
      const lost = expect(some(feed, 2)).rejects.toMatchObject({ code });
      await lose(losing, client);
      await lost;
      expect([...(manager().core?.sessions.values() ?? [])].reduce((sum, { feeds }) => sum + feeds.open.size, 0)).toBe(
        0,
      );
    });

    test('a client that comes back opens a new one; the old one has ended', async () => {
      const client = await connect(manager().connectionFile);
      try {
        const dict = client.dict<string, number>(freshName('dict'));
        const feed = dict.watch();
        await arrived(client);
        const lost = expect(some(feed, 1)).rejects.toMatchObject({ code: 'QM_CONNECTION_LOST' });
        const back = new Promise<void>((resolve) => client.once('reconnected', resolve));
        sever(client);
        await Promise.all([lost, back]);
        const again = dict.watch();
        await dict.set('k', 1);
        expect(await some(again, 1)).toMatchObject([{ key: 'k', value: 1 }]);
      } finally {
        await client.close();
      }
    });

    test('X5 a proxy in a change and in what is published is a live proxy', async () => {
      const [one, two] = [await manager().client(), await manager().client()];
      const name = freshName('x');
      const counter = one.counter(freshName('counter'), { initial: 5 });
      const [changes, published] = [
        two.dict<string, typeof counter>(name).watch(),
        two.topic<{ counter: typeof counter }>(`${name}-t`).subscribe(),
      ];
      await arrived(two);
      await one.dict<string, typeof counter>(name).set('k', counter);
      expect(await one.topic(`${name}-t`).publish({ counter })).toBe(1);
      const [change] = await some(changes, 1);
      const [message] = await some(published, 1);
      expect([await change!.value!.add(), await message!.counter.add()]).toEqual([6, 7]);
    });
  });
}

export function topicContract(setting: Setting): void {
  describe(`topic (${setting})`, () => {
    const manager = managerOfSuite(setting);

    test('what is published goes to all who subscribe, in order, in all processes', async () => {
      const [one, two] = [await manager().client(), await manager().client()];
      const name = freshName('topic');
      const party = await partyOfTest(manager());
      expect(await one.topic(name).publish('nobody')).toBe(0);
      const there = party.run(async ({ client, say }, name) => {
        const feed = client.topic<number>(name).subscribe();
        await client.topic(name).snapshot();
        say('subscribed');
        const read: number[] = [];
        for await (const value of feed) if (read.push(value) === 200) break;
        await client.topic(name).snapshot(); // handled after its leaving
        return read;
      }, name);
      expect(await party.said()).toBe('subscribed');
      const feeds = [one, one, two].map((client) => client.topic<number>(name).subscribe());
      await arrived(two);
      const numbers = Array.from({ length: 200 }, (_, i) => i);
      const sent = await Promise.all(numbers.map((i) => one.topic<number>(name).publish(i)));
      expect(new Set(sent)).toEqual(new Set([4]));
      for (const feed of feeds) expect(await some(feed, 200)).toEqual(numbers);
      expect(await there).toEqual(numbers);
      expect(await one.topic(name).snapshot()).toEqual({ subscribers: 3, published: 201 });
      for (const feed of feeds) await feed.close();
      for (const client of [one, two]) await arrived(client);
      expect(await one.topic(name).publish('nobody')).toBe(0);
    });

    test('subscribing starts at the call: what is published next is received, read or not', async () => {
      const client = await manager().client();
      const topic = client.topic<number>(freshName('topic'));
      const feed = topic.subscribe();
      expect(await topic.publish(1)).toBe(1);
      void topic.publish(2);
      expect(await some(feed, 2)).toEqual([1, 2]);
    });

    test('X5 objects in values that nobody has read yet live until they are read, or given up', async () => {
      const [one, two, observer] = [await manager().client(), await manager().client(), await manager().client()];
      const topic = one.topic<CounterProxy>(freshName('topic'));
      const unnamed = async () => observer.inspect.objects({ typeId: 'counter', unnamed: true });
      // What earlier tests have left goes when their proxies are collected.
      const earlier = new Set((await unnamed()).map(({ id }) => id));
      const counters = async (): Promise<number> => {
        for (const client of [one, two]) await arrived(client);
        return (await unnamed()).filter(({ id }) => !earlier.has(id)).length;
      };
      // More than come at once: the rest is kept in the manager.
      const VALUES = 200;
      const publish = async (): Promise<void> => {
        for (let initial = 0; initial < VALUES; initial++) {
          const counter = one.counter(undefined, { initial });
          await topic.publish(counter);
          await counter.dispose();
        }
      };
      const read = two.topic<CounterProxy>(topic.name!).subscribe();
      await arrived(two);
      await publish();
      expect(await counters()).toBe(VALUES);
      for (const [initial, counter] of (await some(read, VALUES)).entries()) {
        expect(await counter.get()).toBe(initial);
        await counter.dispose();
      }
      await read.close();
      await until(async () => (await counters()) === 0);

      const unread = two.topic<CounterProxy>(topic.name!).subscribe();
      await arrived(two);
      await publish();
      expect(await counters()).toBe(VALUES);
      await unread.close();
      await until(async () => (await counters()) === 0);
    });

    test('`to` reaches only subscribers whose client has that name', async () => {
      const name = freshName('topic');
      const file = manager().connectionFile;
      const clients = await Promise.all(
        ['ada', 'ada', 'grace'].map((name) => connect(file, { name, reconnect: false })),
      );
      try {
        const feeds = clients.map((client) => client.topic<string>(name).subscribe());
        for (const client of clients) await arrived(client);
        const topic = clients[2]!.topic<string>(name);
        expect(await topic.publish('to ada', { to: 'ada' })).toBe(2);
        expect(await topic.publish('to grace', { to: 'grace' })).toBe(1);
        expect(await topic.publish('to nobody', { to: 'nobody' })).toBe(0);
        expect(await topic.publish('to all')).toBe(3);
        const read = await Promise.all(feeds.map((feed) => some(feed, 2)));
        expect(read).toEqual([['to ada', 'to all'], ['to ada', 'to all'], ['to grace', 'to all']]); // prettier-ignore
      } finally {
        await Promise.all(clients.map((client) => client.close()));
      }
    });

    test('what cannot be published, and a signal', async () => {
      const client = await manager().client();
      const topic = client.topic<unknown>(freshName('topic'));
      await expect(topic.publish(() => {})).rejects.toThrow(UnserializableError);
      await expect(topic.publish(1, { to: 5 as never })).rejects.toThrow(TypeError);
      const aborting = new AbortController();
      const feed = topic.subscribe({ signal: aborting.signal });
      const reading = expect(feed.toArray()).rejects.toBe('why not');
      await topic.publish(undefined);
      aborting.abort('why not');
      await reading;
      expect(await topic.publish(1)).toBe(0);
      const guard = await client.lock(freshName('lock')).acquire();
      await guard.release();
      await expect(topic.publish(1, { guard })).rejects.toMatchObject({ code: 'QM_NOT_LOCK_OWNER' });
    });

    test('during a hold only the holder publishes; all may subscribe', async () => {
      const [holder, other] = [await manager().client(), await manager().client()];
      const name = freshName('topic');
      const feed = await holder.topic<number>(name).withLock(async (held) => {
        const feed = other.topic<number>(name).subscribe();
        await arrived(other);
        void other.topic<number>(name).publish(2);
        await arrived(other);
        expect(await held.publish(1)).toBe(1);
        return feed;
      });
      expect(await some(feed, 2)).toEqual([1, 2]);
    });
  });
}
