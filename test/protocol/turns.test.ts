/** What leaves in one turn leaves in one write, answers that follow each other share a frame, and order is kept. */
import fc from 'fast-check';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { Client } from 'quartermaster';
import { coreOf } from '#qm/manager/manager.js';
import { methods, ToClient, ToManager } from '#qm/protocol/messages.js';
import { connectionUnder, KEY, listening } from '../kit/listening.ts';
import { entry, frame, RawClient } from '../kit/raw-client.ts';

const method = (type: keyof typeof methods, name: string): number => (methods[type] as readonly string[]).indexOf(name);

/** Counts the writes of one side of a connection. */
function countSends(transport: { send(bytes: Uint8Array): void }): { readonly writes: number } {
  const spy = vi.spyOn(transport, 'send');
  onTestFinished(() => spy.mockRestore());
  return {
    get writes() {
      return spy.mock.calls.length;
    },
  };
}

describe('one write for a turn', () => {
  test('calls of one turn leave together, and so do their answers', async () => {
    const { manager, connect } = await listening();
    const client = await connect();
    const dict = client.dict<number, number>('d');
    await dict.size();
    const there = countSends(connectionUnder(client).link.transport);
    const back = countSends(manager[coreOf].sessions.get(client.session)!.link.transport);
    await Promise.all(Array.from({ length: 200 }, (_, i) => dict.set(i, i)));
    expect([there.writes, back.writes]).toEqual([1, 1]);
    expect(await Promise.all(Array.from({ length: 200 }, (_, i) => dict.get(i)))).toEqual(
      Array.from({ length: 200 }, (_, i) => i),
    );
    expect([there.writes, back.writes]).toEqual([2, 2]);
  });

  test('what promises that are ready go on to call still belongs to the turn', async () => {
    const { connect } = await listening();
    const client = await connect();
    const counter = client.counter('n');
    await counter.get();
    const there = countSends(connectionUnder(client).link.transport);
    const calls: Promise<number>[] = [];
    for (let i = 0; i < 5; i++) {
      calls.push(counter.add(1));
      await Promise.resolve();
    }
    await Promise.all(calls);
    expect(there.writes).toBe(1);
  });

  test('puts, and the object and name they need, are one write', async () => {
    const { connect } = await listening();
    const client = await connect();
    await client.counter('n').get();
    const there = countSends(connectionUnder(client).link.transport);
    await client.tasks('new').putMany('job', [1, 2, 3]).toArray();
    expect(there.writes).toBe(1);
  });

  test('a turn that writes more than 60,000 bytes does not wait for its end', async () => {
    const { connect } = await listening();
    const client = await connect();
    const dict = client.dict('d');
    await dict.size();
    const there = countSends(connectionUnder(client).link.transport);
    const sets = Array.from({ length: 10 }, (_, i) => dict.set(String(i), 'x'.repeat(50_000)));
    expect(there.writes).toBe(5);
    await Promise.all(sets);
    expect(there.writes).toBe(5);
  });
});

test('many puts of one turn leave in parts, each twice as large as the last, and so does the next turn’s', async () => {
  const { connect } = await listening();
  const client = await connect();
  const tasks = client.tasks('new');
  await tasks.put('job', 0);
  const { transport } = connectionUnder(client).link;
  const now = vi.spyOn(transport, 'sendNow');
  const last = vi.spyOn(transport, 'send');
  onTestFinished(() => [now, last].forEach((spy) => spy.mockRestore()));
  const sizes = (): number[] => [now, last].flatMap((spy) => spy.mock.calls.map(([bytes]) => bytes.length));
  for (let turn = 0; turn < 2; turn++) {
    now.mockClear();
    last.mockClear();
    const puts = Array.from({ length: 400 }, () => tasks.put('job', 'x'.repeat(100)));
    const early = sizes();
    expect(early.length).toBe(3);
    early.forEach((size, i) => expect(size / (4_000 * 2 ** i)).toBeCloseTo(1, 1));
    await Promise.all(puts);
    expect(sizes().length).toBe(4);
  }
});

describe('answers that follow each other share a frame', () => {
  const set = (call: number, handle = 1): Buffer =>
    frame(ToManager.CALL, (writer) => {
      writer.u32(call);
      writer.u32(handle);
      writer.u8(method('dict', 'set'));
      writer.item(call);
      writer.item(call);
    });
  const size = (call: number): Buffer =>
    frame(ToManager.CALL, (writer) => {
      writer.u32(call);
      writer.u32(1);
      writer.u8(method('dict', 'size'));
    });
  const put = (call: number, handle: number): Buffer =>
    frame(ToManager.PUT, (writer) => {
      writer.u32(handle);
      entry(writer, () => {
        writer.u32(call);
        writer.u8(0);
        writer.u16(0);
        writer.item(call);
      });
    });

  test('1,000 calls with nothing to say: one frame', async () => {
    const { address } = await listening();
    const raw = await RawClient.enter(address, { key: KEY });
    raw.open(1, 'dict', 'd');
    raw.write(Buffer.concat(Array.from({ length: 1000 }, (_, i) => set(i + 1))));
    await raw.answer(1000);
    raw.write(
      Buffer.concat([set(2001), set(2002), set(2003), size(2004), set(2005), set(2007), set(2006), size(2008)]),
    );
    const kinds: unknown[] = [];
    for (let at = 0; at !== 2008;) {
      const { kind, reader } = await raw.next();
      at = reader.u32();
      kinds.push(kind === ToClient.DONE ? [at, reader.u32()] : at);
    }
    expect(kinds).toEqual([[2001, 3], 2004, [2005, 1], [2007, 1], [2006, 1], 2008]);
  });

  test('any mixture of calls and puts into two queues: each call is answered once, with its own number', async () => {
    const { address } = await listening();
    const kinds = fc.constantFrom('set', 'size', 'a', 'b');
    const steps = fc.array(fc.record({ kind: kinds, skip: fc.boolean(), apart: fc.boolean() }), {
      minLength: 1,
      maxLength: 60,
    });
    await fc.assert(
      fc.asyncProperty(steps, async (calls) => {
        const raw = await RawClient.enter(address, { key: KEY });
        raw.open(1, 'dict');
        raw.open(2, 'tasks');
        raw.open(3, 'tasks');
        raw.send(ToManager.NAME, (writer) => {
          writer.u16(0);
          writer.text('job');
        });
        const expected = new Map<number, unknown>();
        const numbers = { a: 0, b: 0 };
        let bytes: Buffer[] = [];
        let id = 0;
        for (const { kind, skip, apart } of calls) {
          id += skip ? 3 : 1;
          if (kind === 'set') bytes.push(set(id));
          else if (kind === 'size') bytes.push(size(id));
          else bytes.push(put(id, kind === 'a' ? 2 : 3));
          expected.set(id, kind === 'a' || kind === 'b' ? ++numbers[kind] : kind);
          if (apart) raw.write(Buffer.concat(bytes.splice(0)));
        }
        raw.write(Buffer.concat(bytes));
        bytes = [];
        const answers = new Map<number, unknown>();
        const answered = (call: number, what: unknown): void => {
          expect(answers.has(call)).toBe(false);
          answers.set(call, what);
        };
        while (answers.size < expected.size) {
          const { kind, reader } = await raw.next();
          const first = reader.u32();
          if (kind === ToClient.RESULT) {
            answered(first, 'size');
            continue;
          }
          const count = reader.u32();
          const number = kind === ToClient.ACCEPTED ? reader.u48() : undefined;
          for (let i = 0; i < count; i++) answered(first + i, number === undefined ? 'set' : number + i);
        }
        expect(answers).toEqual(expected);
        await raw.destroy();
      }),
      { numRuns: 60 },
    );
  });

  test('the handles of many puts are those of their tasks', async () => {
    const { connect } = await listening();
    const client = await connect();
    const [a, b] = [client.tasks('a'), client.tasks('b')];
    const puts = Array.from({ length: 600 }, (_, i) => (i % 3 === 2 ? b : a).put('job', i));
    const handles = await Promise.all(puts);
    expect(handles.map(({ id }) => id)).toEqual(
      handles.map((_, i) => (i % 3 === 2 ? `t${(i + 1) / 3}` : `t${i - Math.floor(i / 3) + 1}`)),
    );
  });
});

describe('calls of one client on one object take effect in their order', () => {
  const large = 'x'.repeat(300_000);
  const clients: [string, (l: Awaited<ReturnType<typeof listening>>) => Promise<Client>][] = [
    ['over a socket', ({ connect }) => connect()],
    ['in the same process', ({ manager }) => Promise.resolve(manager.client())],
  ];

  test.each(clients)('large and small, %s', async (_where, clientOf) => {
    const client = await clientOf(await listening());
    const dict = client.dict<string, unknown>('d');
    const values = Array.from({ length: 40 }, (_, i) => (i % 3 === 0 ? `${large}${i}` : i));
    const seen = values.map(async (value) => {
      const done = dict.set('k', value);
      const read = dict.get('k');
      await done;
      return read;
    });
    expect(await Promise.all(seen)).toEqual(values);

    const queue = client.queue('q');
    const puts = values.map((value) => queue.put(value));
    expect(await queue.getMany(100)).toEqual(values);
    await Promise.all(puts);

    const tasks = client.tasks('t');
    await Promise.all(values.map((value) => tasks.put('job', value)));
    const inputs: unknown[] = [];
    for (let task = await tasks.getNowait(); task !== undefined; task = await tasks.getNowait()) {
      inputs.push(task.input);
      await task.complete();
    }
    expect(inputs).toEqual(values);
  });

  test.each(clients)('a call that is refused at the caller leaves no gap, %s', async (_where, clientOf) => {
    const client = await clientOf(await listening({ limits: { frameBytes: 100_000 } }));
    const dict = client.dict<string, unknown>('d');
    const ends = await Promise.allSettled([
      dict.set('a', 1),
      dict.set('b', large),
      dict.set('c', () => {}),
      dict.set('d', 4),
      client.tasks('t').put('job', large),
      client.tasks('t').put('job', 5),
      dict.keys(),
    ]);
    expect(ends.map((end) => (end.status === 'fulfilled' ? end.status : (end.reason as Error).name))).toEqual([
      'fulfilled', 'FrameTooLargeError', 'UnserializableError', 'fulfilled', 'FrameTooLargeError', 'fulfilled', 'fulfilled',
    ]); // prettier-ignore
    expect(await dict.entries()).toEqual([
      ['a', 1],
      ['d', 4],
    ]);
    expect((await client.tasks('t').get()).input).toBe(5);
  });
});
