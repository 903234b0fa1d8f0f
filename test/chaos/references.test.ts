/** References to unnamed objects at full scale, and in races of several processes. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import type { Client, CounterProxy, DictProxy, QueueProxy, ValueProxy } from 'quartermaster';
import { methods, ToClient, ToManager } from '#qm/protocol/messages.js';
import { Packed } from '#qm/protocol/wire.js';
import { arrived, lose } from '../kit/arrived.ts';
import { freshName, managerOfTest } from '../kit/managers.ts';
import { partyOfTest, type There } from '../kit/parties.ts';
import { Random } from '../kit/random.ts';
import { entry, RawClient, RawFailure } from '../kit/raw-client.ts';

const [AT, PUSH] = [methods.list.indexOf('at'), methods.list.indexOf('push')];

/** Calls that are under way at once: what a client keeps of them is bounded. */
const BATCH = 1000;

async function inBatches(count: number, one: (i: number) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < count; from += BATCH) {
    await Promise.all(Array.from({ length: Math.min(BATCH, count - from) }, (_, i) => one(from + i)));
  }
}

async function unnamed(client: Client): Promise<number> {
  return (await client.inspect.objects({ unnamed: true, limit: 1_000_000 })).length;
}

describe('at full scale', { timeout: 120_000 }, () => {
  test('X4 100,000 proxies that are made and dropped leave the table where it was', async () => {
    const manager = await managerOfTest('socket');
    const client = await manager.client();
    const named = client.dict<string, number>('named');
    await named.set('a', 1);
    const before = await client.inspect.objects();
    await inBatches(100_000, async (i) => {
      const proxy = i % 2 === 0 ? client.dict<string, number>() : client.counter();
      if (i % 10 === 0) await proxy.snapshot();
      await proxy.dispose();
    });
    expect(await client.inspect.objects()).toEqual(before);
    const list = client.list<unknown>('list');
    const one = client.counter();
    await list.push(one);
    await inBatches(20_000, async () => ((await list.at(0)) as CounterProxy).dispose());
    await one.dispose();
    await list.clear();
    while ((await unnamed(client)) > 0) await arrived(client);
    expect(await named.get('a')).toBe(1);
  });

  test('10,000 pairs of dicts that hold each other are freed, with nobody looking', async () => {
    const manager = await managerOfTest('memory');
    const client = await manager.client();
    await inBatches(10_000, async () => {
      const [a, b] = [client.dict<string, unknown>(), client.dict<string, unknown>()];
      await Promise.all([a.set('b', b), b.set('a', a)]);
      await Promise.all([a.dispose(), b.dispose()]);
    });
    // What the question makes may be on its way out.
    while (manager.core!.objects.size > 1) await arrived(client);
  });

  test('10,000 pairs of a process of its own', async () => {
    const manager = await managerOfTest('process');
    const client = await manager.client();
    const maker = await manager.client();
    // Kept, or the engine would give them up.
    const kept: unknown[] = [];
    await inBatches(10_000, async () => {
      const [a, b] = [maker.dict<string, unknown>(), maker.dict<string, unknown>()];
      kept.push(a, b);
      await Promise.all([a.set('b', b), b.set('a', a)]);
    });
    expect(await unnamed(client)).toBe(kept.length);
    await lose(maker, client);
    expect(await unnamed(client)).toBe(0);
  });

  test('a chain of 100,000 is freed from its head, without recursion', async () => {
    const manager = await managerOfTest('memory');
    const client = await manager.client();
    const cells = Array.from({ length: 100_000 }, () => client.value<unknown>());
    await inBatches(cells.length - 1, (i) => (cells[i] as ValueProxy<unknown>).set(cells[i + 1]));
    await inBatches(cells.length - 1, (i) => (cells[i + 1] as ValueProxy<unknown>).dispose());
    expect(await unnamed(client)).toBe(100_000);
    await cells[0]?.dispose();
    expect(await unnamed(client)).toBe(0);
  });

  test('a ring of 100,000 is freed', async () => {
    const manager = await managerOfTest('memory');
    const client = await manager.client();
    const cells = Array.from({ length: 100_000 }, () => client.value<unknown>());
    await inBatches(cells.length, (i) => (cells[i] as ValueProxy<unknown>).set(cells[(i + 1) % cells.length]));
    await inBatches(cells.length, (i) => (cells[i] as ValueProxy<unknown>).dispose());
    expect(await unnamed(client)).toBe(0);
  });
});

test('X4 proxies that the engine has collected are given up; those with waits under way are not', async () => {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  const manager = await managerOfTest('socket');
  const [client, other] = [await manager.client(), await manager.client()];
  const name = freshName('list');
  const list = client.list<QueueProxy<string>>(name);
  for (let i = 0; i < 100; i++) await client.dict<string, number>().set('a', i);
  const post = client.list<unknown>(freshName('post'));
  const waits = await (async () => {
    const queue = client.queue<string>();
    await list.push(queue);
    return [queue.join(), queue.get()];
  })();
  const [queue] = (await other.list<QueueProxy<string>>(name).slice()) as [QueueProxy<string>];
  await list.clear();
  expect(await unnamed(client)).toBe(101);
  // A turn of the event loop between: finalizers have one of their own.
  while ((await unnamed(client)) > 1) {
    gc();
    await arrived(client);
  }
  await queue.put('still there');
  expect(await waits[1]).toBe('still there');
  await queue.taskDone();
  await post.clear();
});

test('X4 a program that asks for the same name again and again has few handles on it in the end', async () => {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  const manager = await managerOfTest('socket');
  const client = await manager.client();
  const name = freshName('dict');
  const handles = async (): Promise<number> => {
    const objects = await client.inspect.objects({ typeId: 'dict' });
    return objects.find((object) => object.name === name)?.sessions[0]?.references ?? 0;
  };
  for (let i = 0; i < 500; i++) await client.dict<string, number>(name).set('a', i);
  expect(await handles()).toBeGreaterThan(100);
  while ((await handles()) > 1) {
    gc();
    await arrived(client);
  }
  expect(await client.dict(name).get('a')).toBe(499);
});

test('X3 with NODE_DEBUG the error names where the proxy was disposed of', async () => {
  const program = `
    import { Manager } from 'quartermaster';
    const manager = new Manager();
    const counter = manager.client().counter('c');
    function here() { return counter.dispose(); }
    await here();
    await counter.add().catch((error) => console.log(error.message));
  `;
  const run = async (debug: string): Promise<string> => {
    const env = { ...process.env, NODE_DEBUG: debug };
    const args = ['--input-type=module', '-e', program];
    return (await promisify(execFile)(process.execPath, args, { env })).stdout.trim();
  };
  expect(await run('quartermaster')).toMatch(/^this proxy of counter 'c' has been disposed of, at here \(.*:5:/);
  expect(await run('')).toBe("this proxy of counter 'c' has been disposed of");
});

/** What everybody in the race does, each with numbers of their own. It sees nothing of this module. */
async function race({ client }: Pick<There, 'client'>, seed: number, names: readonly string[]): Promise<number> {
  let state = seed;
  const below = (limit: number): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
  type Node = DictProxy<string, unknown>;
  const dict = client.dict<number, Node>(names[0]);
  const list = client.list<[Node]>(names[1]);
  const queue = client.queue<{ node: Node }>(names[2]);
  let used = 0;
  /** It must work, whoever has dropped or deleted what meanwhile; then it goes on, or nowhere. */
  const use = async (node: Node | undefined): Promise<void> => {
    if (node === undefined) return;
    const id = await node.get('id');
    if (typeof id !== 'number') throw new Error(`a node has the id ${String(id)}`);
    used++;
    if (below(3) === 0) {
      const inner = (await node.get('inner')) as Node | undefined;
      if (inner !== undefined && typeof (await inner.get('id')) !== 'number') throw new Error('an inner node is none');
      await inner?.dispose();
    }
    await pass(node);
  };
  /** Stores it somewhere and gives it up at once, without waiting for the answer. */
  const pass = async (node: Node): Promise<void> => {
    const stored: Promise<unknown>[] = [];
    for (let times = below(3); times > 0; times--) {
      const where = below(5);
      if (where === 0) stored.push(dict.set(below(5), node));
      else if (where === 1) stored.push(list.push([node]));
      else if (where === 2) stored.push(queue.put({ node }));
      else if (where === 3) stored.push(node.set('inner', node));
      else {
        const holder = client.dict<string, unknown>();
        stored.push(
          holder.setMany([
            ['id', 1],
            ['inner', node],
          ]),
          dict.set(below(5), holder),
          holder.dispose(),
        );
      }
    }
    stored.push(node.dispose());
    await Promise.all(stored);
  };
  const flow = async (): Promise<void> => {
    for (let round = 0; round < 150; round++) {
      const what = below(9);
      if (what <= 1) {
        const node: Node = client.dict<string, unknown>();
        await Promise.all([node.set('id', round), pass(node)]);
      } else if (what === 2) await use(await dict.get(below(5)));
      else if (what === 3) await use(await dict.pop(below(5)));
      else if (what === 4) await use((await list.at(below(3)))?.[0]);
      else if (what === 5) await use((await list.shift())?.[0]);
      else if (what === 6) await use((await queue.getNowait())?.node);
      else if (what === 7) for (const node of await dict.values()) await use(node);
      else await Promise.all([dict.delete(below(5)), list.pop().then((value) => value?.[0].dispose())]);
    }
  };
  await Promise.all([flow(), flow(), flow(), flow()]);
  return used;
}

describe('races', { timeout: 60_000 }, () => {
  test('X5 three processes store, read, delete and dispose as they like: every proxy that arrives works', async () => {
    const random = new Random('races of references');
    const manager = await managerOfTest('process');
    const client = await manager.client();
    const parties = [await partyOfTest(manager), await partyOfTest(manager)];
    const names = ['dict', 'list', 'queue'];
    const seed = (): number => random.below(2 ** 31);
    const used = await Promise.all([
      race({ client }, seed(), names),
      ...parties.map((party) => party.run(race, seed(), names)),
    ]);
    expect(Math.min(...used)).toBeGreaterThan(10);
    await client.dict('dict').clear();
    await client.list('list').clear();
    await client.queue('queue').shutdown({ immediate: true });
    await parties[0]?.kill();
    await parties[1]?.kill();
    while ((await unnamed(client)) > 0) await arrived(client);
  });
});

describe('a client that keeps to nothing', () => {
  async function rawOf({ connectionFile }: { connectionFile: string }): Promise<RawClient> {
    const { address, authKey } = JSON.parse(readFileSync(connectionFile, 'utf8')) as Record<
      'address' | 'authKey',
      string
    >;
    return RawClient.enter(address, { key: Buffer.from(authKey, 'base64') });
  }

  test('X5 loans that are never returned are bounded, and end with the session', async () => {
    const manager = await managerOfTest('socket');
    const client = await manager.client();
    const list = client.list('list');
    const counter = client.counter();
    await list.push([counter]);
    const raw = await rawOf(manager);
    raw.open(1, 'list', 'list');
    // The answers are read, and what they lent is not returned.
    for (let i = 0; i < 1000; i++) raw.call(1, AT, [0]);
    await raw.next(ToClient.LENT);
    await raw.answer(raw.call(1, AT, [0]));
    raw.frames.length = 0;
    await raw.answer(raw.call(1, AT, [0]));
    const [shown] = await client.inspect.objects({ typeId: 'counter' });
    expect(shown?.inFlight).toBe(2);
    await Promise.all([counter.dispose(), list.clear()]);
    expect(await unnamed(client)).toBe(1);
    // The first batch comes back, the second is told.
    raw.send(ToManager.RETURNED);
    await raw.next(ToClient.LENT);
    expect((await client.inspect.objects({ typeId: 'counter' }))[0]?.inFlight).toBe(1);
    await raw.destroy();
    while ((await unnamed(client)) > 0) await arrived(client);
  });

  test('X5 what returns more than it was lent is disconnected', async () => {
    const manager = await managerOfTest('socket');
    const raw = await rawOf(manager);
    raw.send(ToManager.RETURNED);
    await raw.ended;
  });

  test('X5 a payload that names objects and does not say so ends the connection', async () => {
    const manager = await managerOfTest('socket');
    const client = await manager.client();
    const raw = await rawOf(manager);
    raw.open(1, 'tasks', 'jobs');
    raw.send(ToManager.NAME, (writer) => {
      writer.u16(0);
      writer.text('x');
    });
    const named = new Packed(Buffer.from([1]), [{ id: 1, local: true, typeId: 'dict', name: undefined }]);
    raw.send(ToManager.PUT, (writer) => {
      writer.u32(1);
      entry(writer, () => {
        writer.u32(1);
        writer.u8(0);
        writer.u16(0);
        writer.item([[named]]);
      });
    });
    await raw.ended;
    expect(await client.tasks('jobs').dict.size()).toBe(0);
  });

  test('X5 a value that names what is not there is refused, and nothing else happens', async () => {
    const manager = await managerOfTest('socket');
    const client = await manager.client();
    const raw = await rawOf(manager);
    raw.open(1, 'list', 'list');
    const named = (id: number, local: boolean): Packed =>
      new Packed(Buffer.from([1]), [{ id, local, typeId: 'dict', name: undefined }]);
    for (const item of [named(77, true), named(2 ** 47, false), [[named(77, true)]]]) {
      await expect(raw.answer(raw.call(1, PUSH, [item]))).rejects.toThrow(RawFailure);
    }
    expect(await raw.answer(raw.call(1, PUSH, ['still served']))).toBe(1);
    expect(await client.list('list').snapshot()).toEqual(['still served']);
    await raw.destroy();
  });
});
