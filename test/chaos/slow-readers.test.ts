/** B1: readers of feeds that fall behind, stop reading their socket, or say that they have read what they have not. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { coreOf } from '#qm/manager/manager.js';
import { FEED_BYTES, FEED_WINDOW, methods, ToClient, ToManager } from '#qm/protocol/messages.js';
import type { Item } from '#qm/protocol/wire.js';
import type { DictChange } from 'quartermaster';
import { arrived } from '../kit/arrived.ts';
import { KEY, listening, type Listening } from '../kit/listening.ts';
import { freshName, managerOfTest } from '../kit/managers.ts';
import { collectGarbage } from '../kit/memory.ts';
import { partyOfTest } from '../kit/parties.ts';
import { RawClient, RawFailure } from '../kit/raw-client.ts';

const MIB = 1024 * 1024;
const watch = methods.dict.indexOf('watch');

const arrayBuffers = (): number => {
  collectGarbage();
  return process.memoryUsage().arrayBuffers;
};

/** One frame of a feed: its call, and for a value how many were missed before it, and the value. */
interface Fed {
  readonly call: number;
  readonly missed: number;
  readonly item: Item;
}

async function nextItem(client: RawClient): Promise<Fed> {
  const { reader } = await client.next(ToClient.ITEM);
  return { call: reader.u32(), missed: reader.u32(), item: reader.item() };
}

const sendRead = (client: RawClient, call: number, count: number): void =>
  client.send(ToManager.READ, (writer) => {
    writer.u32(call);
    writer.u32(count);
  });

async function raw(manager: Listening): Promise<RawClient & { welcome: { session: number } }> {
  return RawClient.enter(manager.address, { key: KEY });
}

describe('B1 a slow reader', () => {
  test('a client that stops reading its socket: bounded in the manager, each watcher is told what it missed', async () => {
    const FEEDS = 20;
    const CHANGES = 1500;
    const manager = await listening();
    const author = await manager.connect();
    const dict = author.dict<string, Buffer>('dict');
    const slow = await raw(manager);
    slow.open(1, 'dict', 'dict');
    const calls = Array.from({ length: FEEDS }, () => slow.call(1, watch));
    slow.open(2, 'counter');
    await slow.answer(slow.call(2, 0));
    slow.pause();
    const base = arrayBuffers();
    const session = manager.manager[coreOf].sessions.get(slow.welcome.session)!;
    const kept: number[] = [];
    for (let i = 1; i <= CHANGES; i++) {
      const value = Buffer.alloc(100_000, i);
      await dict.set('k', value);
      kept.push(session.feeds.kept);
    }
    // The bytes of each value are there once, however many feeds keep it.
    expect(arrayBuffers() - base).toBeLessThan(64 * MIB);
    expect(Math.max(...kept)).toBeLessThan((8 + FEEDS * 0.2) * MIB);
    expect(Math.max(...kept)).toBeGreaterThan(4 * MIB);
    expect(session.link.transport.pending).toBeLessThan(8 * MIB + FEED_BYTES);
    expect(session.link.transport.pending).toBeGreaterThan(4 * MIB);

    slow.resume();
    const seen = new Map(calls.map((call) => [call, { version: 0, missed: 0, read: 0 }]));
    let done = 0;
    while (done < FEEDS) {
      const { call, missed, item } = await nextItem(slow);
      const [version] = item as readonly [number];
      const feed = seen.get(call)!;
      expect(version).toBe(feed.version + missed + 1);
      feed.version = version;
      feed.missed += missed;
      feed.read++;
      sendRead(slow, call, 1);
      if (version === CHANGES) done++;
    }
    for (const { missed, read } of seen.values()) {
      expect(missed + read).toBe(CHANGES);
      expect(missed).toBeGreaterThan(CHANGES / 2);
    }
    await slow.answer(slow.call(2, 0));
    expect(session.feeds.kept).toBe(0);
    await slow.destroy();
    await arrived(author);
    expect(session.feeds.open.size).toBe(0);
  });

  test.skipIf(process.platform !== 'linux')(
    'a process that is stopped: the manager stays small, the others are served, and it is told on waking',
    async () => {
      const manager = await managerOfTest('process');
      const client = await manager.client();
      const name = freshName('topic');
      const topic = client.topic<Buffer>(name);
      const party = await partyOfTest(manager);
      await party.run(async ({ client, kept }, name) => {
        kept['feed'] = client.topic<Buffer>(name).subscribe();
        await client.topic(name).snapshot();
      }, name);
      const mine = topic.subscribe()[Symbol.asyncIterator]();
      const rss = (): number =>
        1024 * Number(/VmRSS:\s*(\d+)/.exec(readFileSync(`/proc/${client.pid}/status`, 'utf8'))![1]);
      const publish = async (i: number): Promise<void> => {
        expect(await topic.publish(Buffer.alloc(200_000, i))).toBe(2);
        expect((await mine.next()).value).toHaveLength(200_000);
      };
      process.kill(party.pid, 'SIGSTOP');
      // Past all bounds once; from then on nothing grows.
      for (let i = 0; i < 200; i++) await publish(i);
      const base = rss();
      for (let i = 0; i < 500; i++) await publish(i);
      const grown = rss() - base;
      process.kill(party.pid, 'SIGCONT');
      expect(grown).toBeLessThan(64 * MIB);
      const [read, missed] = await party.run(async ({ kept }) => {
        const feed = kept['feed'] as AsyncIterable<Buffer> & { missed: number };
        let read = 0;
        for await (const _ of feed) if (++read + feed.missed === 700) break;
        return [read, feed.missed];
      });
      expect(read + missed).toBe(700);
      expect(missed).toBeGreaterThan(500);
    },
  );

  test('one that reads its socket and not its feed: a window at the client, the rest kept, the oldest dropped', async () => {
    const CHANGES = 30_000;
    const manager = await listening();
    const client = await manager.connect();
    const dict = client.dict<string, number>('dict');
    const feed = dict.watch();
    for (let i = 0; i < CHANGES; i += 1000) {
      await dict.setMany(Array.from({ length: 1000 }, (_, k): [string, number] => [`k${k}`, i + k]));
    }
    const session = manager.manager[coreOf].sessions.get(client.session)!;
    expect(session.feeds.kept).toBeLessThan(4 * MIB + 1000);
    const read: DictChange<string, number>[] = [];
    for await (const change of feed) if (read.push(change) && change.version === CHANGES) break;
    expect(read.slice(0, FEED_WINDOW).map(({ value }) => value)).toEqual(
      Array.from({ length: FEED_WINDOW }, (_, i) => i),
    );
    let version = 0;
    for (const change of read) {
      expect(change.version).toBe(version + (change.missed ?? 0) + 1);
      version = change.version;
    }
    expect(read.filter((change) => 'missed' in change)).toHaveLength(1);
    expect(feed.missed).toBe(CHANGES - read.length);
    expect(read.length).toBeLessThanOrEqual(10_000 + FEED_WINDOW);
  });

  test('a value larger than all bounds comes all the same', async () => {
    const manager = await listening();
    const client = await manager.connect();
    const value = client.value<Buffer>('value', Buffer.alloc(0));
    const reading = value.watch()[Symbol.asyncIterator]();
    for (let i = 1; i <= 4; i++) await value.set(Buffer.alloc(10 * MIB, i));
    const read: [number, number | undefined][] = [];
    while (read.at(-1)?.[0] !== 4) {
      const { value: change } = await reading.next();
      expect(change!.value).toHaveLength(10 * MIB);
      read.push([change!.version, change!.missed]);
    }
    expect(read).toEqual([[1, undefined], [4, 2]]); // prettier-ignore
  });
});

describe('hostile readers', () => {
  test('a READ of more than is on its way ends that connection and no other', async () => {
    const manager = await listening();
    const other = await manager.connect();
    const hostile = await raw(manager);
    hostile.open(1, 'dict', 'dict');
    const call = hostile.call(1, watch);
    sendRead(hostile, 12345, 5); // a feed that is over: late, and no harm
    sendRead(hostile, call, 0);
    await other.dict('dict').set('k', 1);
    expect((await nextItem(hostile)).item).toEqual([1, other.session, 'k', 1]);
    sendRead(hostile, call, 2);
    await hostile.ended;
    expect(await other.dict('dict').get('k')).toBe(1);
    expect(manager.manager[coreOf].sessions.size).toBe(1);
  });

  test('a READ that ends too early, and a second call of one number, likewise; a key that is none fails its call', async () => {
    const manager = await listening();
    const other = await manager.connect();
    for (const end of [
      (hostile: RawClient) => hostile.send(ToManager.READ, (writer) => writer.u32(1)),
      (hostile: RawClient) => hostile.call(1, watch, [], 1),
    ]) {
      const hostile = await raw(manager);
      hostile.open(1, 'dict', 'dict');
      await expect(hostile.answer(hostile.call(1, watch, [[1]], 7))).rejects.toThrow(RawFailure);
      hostile.call(1, watch, [], 1);
      end(hostile);
      await hostile.ended;
    }
    expect(await other.dict('dict').size()).toBe(0);
  });
});
