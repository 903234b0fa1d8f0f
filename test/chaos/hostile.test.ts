/**
 * Peers that hold the key and send nonsense: their connection ends or their call fails, and nobody else notices. The
 * manager lives in this process, so whatever it lets out (an uncaught exception, an unhandled rejection) fails the test.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Client, TaskFailedError, work } from 'quartermaster';
import { coreOf } from '#qm/manager/manager.js';
import { Session } from '#qm/manager/session.js';
import { JobFlags, methods, PayloadFlags, PutFlags, ToManager } from '#qm/protocol/messages.js';
import { type Item, Packed, type Writer } from '#qm/protocol/wire.js';
import { Backdoor, KEY, listening } from '../kit/listening.ts';
import { Random } from '../kit/random.ts';
import { entry, frame, RawClient, type RawLease } from '../kit/raw-client.ts';

const method = (type: keyof typeof methods, name: string): number => (methods[type] as readonly string[]).indexOf(name);

/** Somebody who minds his own business beside the fuzz: every answer is checked. */
async function bystander(client: Client, until: AbortSignal): Promise<number> {
  const counts = client.dict<string, number>('my counts');
  const tasks = client.tasks<{ double: (n: number) => number }>('my tasks');
  const stop = new AbortController();
  const working = work(tasks, { double: (n) => n * 2 }, { signal: stop.signal });
  let rounds = 0;
  while (!until.aborted) {
    rounds++;
    expect(await counts.increment('rounds')).toBe(rounds);
    expect(await tasks.run('double', rounds)).toBe(rounds * 2);
    await client.lock('my lock').runExclusive(async () => counts.set('last', rounds));
    await turn();
  }
  stop.abort();
  await working;
  return rounds;
}

/** Frames that make little sense, most of them well formed. */
class Nonsense {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  frame(): Buffer {
    const random = this.#random;
    switch (random.below(40)) {
      case 0:
        return frame(random.below(256), (writer) => writer.raw(random.bytes(random.below(40))));
      case 1:
        return frame(random.pick(sessionKinds), (writer) => writer.raw(random.bytes(random.below(40))));
      case 2:
        return this.#damaged(this.#wellFormed());
      case 3:
        return random.chance(0.2) ? random.bytes(1 + random.below(60)) : this.#wellFormed();
      default:
        return this.#wellFormed();
    }
  }

  #damaged(bytes: Buffer): Buffer {
    const random = this.#random;
    if (random.chance(0.3)) bytes[4 + random.below(bytes.length - 4)] = random.below(256);
    else bytes = Buffer.concat([bytes.subarray(0, 5 + random.below(bytes.length - 4)), random.bytes(random.below(4))]);
    bytes.writeUInt32LE(bytes.length - 4, 0);
    return bytes;
  }

  #wellFormed(): Buffer {
    const random = this.#random;
    const kind = random.chance(0.5) ? ToManager.CALL : random.pick(sessionKinds);
    return frame(kind, (writer) => this.#body(kind, writer));
  }

  #body(kind: number, writer: Writer): void {
    const random = this.#random;
    const call = (): void => writer.u32(random.chance(0.6) ? 1 + random.below(2 ** 30) : random.below(20));
    const handle = (): void => writer.u32(random.chance(0.97) ? random.below(HANDLES + 1) : random.below(30));
    switch (kind) {
      case ToManager.OPEN:
        writer.u32(10 + random.below(1_000_000));
        writer.text(random.pick([...types, 'nonsense', '', '__proto__']));
        writer.item(random.chance(0.5) ? undefined : `fuzz-${random.below(12)}`);
        writer.item(random.chance(0.7) ? [] : this.#item());
        return;
      case ToManager.DROP:
        return writer.u32(random.chance(0.2) ? random.below(HANDLES) : 10 + random.below(1_000_000));
      case ToManager.CALL: {
        call();
        handle();
        writer.u8(random.chance(0.05) ? random.below(256) : random.below(16));
        for (let args = random.below(4); args > 0; args--) writer.item(this.#item());
        return;
      }
      case ToManager.CANCEL:
        return call();
      case ToManager.HOLD:
        call();
        handle();
        writer.u32(random.chance(0.1) ? random.below(20) : 10 + random.below(1_000_000));
        return writer.f64(random.pick([0, 0, 1, 5, -1, NaN, Infinity]));
      case ToManager.NAME:
        writer.u16(random.below(4));
        return writer.text(`name ${random.below(4)}`);
      case ToManager.PUT:
        this.#tasksHandle(writer);
        for (let entries = random.below(4); entries > 0; entries--) {
          entry(writer, () => {
            call();
            writer.u8(random.below(random.chance(0.1) ? 256 : 4));
            writer.u16(random.below(4));
            writer.item(this.#item());
          });
        }
        return;
      case ToManager.TAKE:
        call();
        this.#tasksHandle(writer);
        writer.u8(random.below(2));
        return writer.u16(random.pick([0, 1, 2, 10, 0xffff]));
      case ToManager.WINDOW:
        this.#tasksHandle(writer);
        return writer.u16(random.pick([0, 1, 2, 10, 0xffff]));
      case ToManager.COMPLETE:
        this.#tasksHandle(writer);
        for (let entries = random.below(4); entries > 0; entries--) {
          entry(writer, () => {
            if (random.chance(0.5)) writer.u32(0);
            else call();
            this.#lease(writer);
            writer.u48(random.below(200));
            writer.u32(random.pick([0, 1, 0xffff_ffff]));
            writer.u8(random.below(4));
            writer.item(this.#item());
          });
        }
        return;
      case ToManager.FAIL:
        call();
        this.#tasksHandle(writer);
        this.#lease(writer);
        writer.u48(random.below(200));
        writer.u32(random.pick([0, 1, 0xffff_ffff]));
        writer.u8(random.below(4));
        writer.item(random.chance(0.95) ? 'failed' : this.#item());
        return writer.item(this.#item());
      case ToManager.RELEASE:
      case ToManager.EXTEND:
        call();
        this.#tasksHandle(writer);
        this.#lease(writer);
        return writer.f64(random.pick([0, 1, -1, NaN, Infinity, 1e300]));
      case ToManager.STARTED:
      case ToManager.ENDED:
      case ToManager.LEND:
      case ToManager.RECLAIM:
        this.#tasksHandle(writer);
        return this.#lease(writer);
      case ToManager.LOOP:
        this.#tasksHandle(writer);
        return writer.u8(random.below(3));
      case ToManager.PROGRESS:
        this.#tasksHandle(writer);
        this.#lease(writer);
        return writer.item(this.#item());
      case ToManager.GRAPH: {
        call();
        this.#tasksHandle(writer);
        writer.item(`run ${random.below(1000)}`);
        writer.item(random.chance(0.95) ? ['skip', random.pick([undefined, 1, 0])] : this.#item());
        writer.item(random.chance(0.95) ? ['name 1', 'name 2'] : this.#item());
        const jobs = random.below(5);
        writer.u32(random.chance(0.97) ? jobs : random.pick([0, 6, 2 ** 32 - 1]));
        writer.u32(random.chance(0.97) ? 20 : random.pick([0, 1, 2 ** 32 - 1]));
        for (let place = 0; place < jobs; place++) entry(writer, () => this.#job(writer, place));
        // Edges that were claimed must be there.
        return writer.raw(new Uint8Array(random.chance(0.5) ? 0 : 80));
      }
    }
  }

  #job(writer: Writer, place: number): void {
    const random = this.#random;
    const flags = random.below(8);
    writer.item(random.chance(0.95) ? `j${random.chance(0.9) ? place : random.below(6)}` : this.#item());
    writer.u32(random.below(random.chance(0.95) ? 2 : 4));
    writer.u8(flags);
    const after = place === 0 ? 0 : random.below(3);
    writer.u32(random.chance(0.97) ? after : random.pick([50, 2 ** 32 - 1]));
    for (let i = 0; i < after; i++) writer.u32(random.below(random.chance(0.97) ? place : place + 2));
    if (flags & JobFlags.options) writer.item(random.chance(0.5) ? [] : this.#item());
    if (flags & JobFlags.outside) writer.item(random.chance(0.5) ? ['t1', 't2'] : this.#item());
    writer.item(this.#item());
  }

  #tasksHandle(writer: Writer): void {
    writer.u32(this.#random.chance(0.98) ? TASKS : this.#random.below(HANDLES + 2));
  }

  #lease(writer: Writer): void {
    writer.u48(this.#random.chance(0.99) ? this.#random.below(3000) : 2 ** 47);
  }

  #item(depth = 0): Item {
    const random = this.#random;
    switch (random.below(depth > 2 ? 12 : 15)) {
      case 0:
        return undefined;
      case 1:
        return random.pick([null, true, false]);
      case 2:
        return random.pick([0, 1, -1, NaN, Infinity, -0, 2 ** 53, 0.5, random.below(1000)]);
      case 3:
        return random.pick([0n, -1n, 2n ** 64n]);
      case 4:
        return new Packed(random.bytes(random.below(20)));
      case 5:
        return new Packed(
          random.bytes(random.below(20)),
          [
            {
              id: random.below(12),
              local: random.chance(0.5),
              typeId: random.pick(types),
              name: random.pick([undefined, 'x']),
            },
          ],
          random.chance(0.5)
            ? []
            : [{ queue: random.pick(['fuzz-tasks', 'my tasks', '']), id: random.pick(['t1', 'j1', 'x']) }],
        );
      case 6:
        return random.pick([
          'maxSize',
          'order',
          'initial',
          'args',
          'retries',
          'leaseTimeout',
          'keepCount',
          'keepBytes',
        ]);
      case 7:
        return random.pick(['__proto__', 'constructor', 'then', 'toString', 'hasOwnProperty', '']);
      case 8:
        return random.pick(['\ud800', '\0', 'é', 'x'.repeat(300)]);
      case 9:
      case 10:
      case 11:
        return random.pick(['a', 'b', 't1', 't2', 'run 1/j1', 'add', 'boom', 'fifo']);
      default:
        return Array.from({ length: random.below(4) }, () => this.#item(depth + 1));
    }
  }
}

const types = ['dict', 'queue', 'lock', 'counter', 'value', 'tasks', 'thing'];
/** Handles that every fuzzing session opens, one for each type; the last for an unnamed one. */
const HANDLES = types.length + 1;
const TASKS = 1 + types.indexOf('tasks');
const sessionKinds = Object.values(ToManager).filter((kind) => kind >= ToManager.BEAT);

class Thing {
  readonly #added: unknown[] = [];
  add(...values: unknown[]): number {
    return this.#added.push(...values);
  }
  boom(): never {
    throw new Error('boom');
  }
  async later(): Promise<string> {
    await turn();
    return 'later';
  }
}

describe('C3 nonsense', () => {
  test(
    'C3 100,000 senseless frames: connections end, nobody else notices, nothing is left held',
    { timeout: 300_000 },
    async () => {
      const FRAMES = 100_000;
      const random = new Random('C3 senseless frames');
      const nonsense = new Nonsense(random);
      const door = new Backdoor();
      const { manager, address } = await listening({}, { medium: door });
      manager.register('thing', Thing);
      const core = manager[coreOf];
      const done = new AbortController();
      const aside = bystander(manager.client(), done.signal);
      aside.catch(() => {});

      let handled = 0;
      let connections = 0;
      const original = Session.prototype.frame;
      Session.prototype.frame = function counted(kind, reader) {
        handled++;
        original.call(this, kind, reader);
      };
      onTestFinished(() => void (Session.prototype.frame = original));

      while (handled < FRAMES) {
        connections++;
        const raw = RawClient.over(door.dial(), address);
        await raw.handshake({ key: KEY });
        for (const [at, type] of types.entries()) raw.open(at + 1, type, `fuzz-${type}`);
        raw.open(HANDLES, random.pick(types));
        for (let batches = 0; batches < 100 && !raw.over; batches++) {
          raw.write(Buffer.concat(Array.from({ length: 1 + random.below(12) }, () => nonsense.frame())));
          await turn();
          await turn();
          raw.frames.length = 0;
        }
        await raw.destroy();
      }
      await turn();
      console.log(`${handled} frames on ${connections} connections`);

      done.abort();
      expect(await aside).toBeGreaterThan(100);
      const client = manager.client();
      expect(core.sessions.size).toBe(2);
      for (const board of core.boards) board.validate();
      core.collector.collect();
      expect([...core.boards].filter(({ name, stored }) => name === undefined && stored === 0)).toEqual([]);
      // What the fuzz has held or waited for is free again.
      expect(await client.lock('fuzz-lock').tryAcquire()).toBeDefined();
      for (const held of [client.dict('fuzz-dict'), client.queue('fuzz-queue'), client.value('fuzz-value')]) {
        await held.withLock(() => {}, { timeout: 5_000 });
      }
      await client.tasks('fuzz-tasks').withLock(() => {}, { timeout: 5_000 });
      expect(await client.object<Thing>('thing', [], 'fuzz-thing').later()).toBe('later');
    },
  );
});

/** A put as a client sends it, but for what stands behind the name. */
function put(raw: RawClient, call: number, handle: number, flags: number, body: (writer: Writer) => void): void {
  raw.send(ToManager.NAME, (writer) => {
    writer.u16(0);
    writer.text('job');
  });
  raw.send(ToManager.PUT, (writer) => {
    writer.u32(handle);
    entry(writer, () => {
      writer.u32(call);
      writer.u8(flags);
      writer.u16(0);
      body(writer);
    });
  });
}

/** Takes a task of queue 'jobs' by hand and hands out its lease and number. */
async function takeByHand(raw: RawClient): Promise<RawLease> {
  raw.open(1, 'tasks', 'jobs');
  raw.send(ToManager.TAKE, (writer) => {
    writer.u32(1);
    writer.u32(1);
    writer.u8(0);
    writer.u16(1);
  });
  return raw.task();
}

const garbage: [what: string, bytes: number[]][] = [
  ['an unknown tag', [99, 1, 2, 3]],
  ['packed bytes that are cut short', [10, 5, 0, 0, 0, 1, 2]],
  ['packed bytes with more behind them', [10, 1, 0, 0, 0, 1, 2]],
  ['a string that is cut short', [6, 9, 0x61]],
  ['a long string that is cut short', [7, 0xff, 0xff, 0xff, 0xff, 0x61]],
  ['a scalar with more behind it', [0, 0]],
  ['a list that claims too much', [12, 9, 0, 0, 0, 1]],
  ['a bigint of other letters', [9, 0, 1, 0, 0, 0, 0x7a]],
];

describe('C3 what one peer sends does not reach another', () => {
  test.each(garbage)('C3 %s as an input ends the connection that sent it', async (_what, bytes) => {
    const { address, manager } = await listening();
    const raw = await RawClient.enter(address, { key: KEY });
    raw.open(1, 'tasks', 'jobs');
    put(raw, 1, 1, 0, (writer) => writer.raw(Buffer.from(bytes)));
    await raw.ended;
    expect(await manager.client().tasks('jobs').dict.size()).toBe(0);
  });

  test.each(garbage)('C3 %s as an output ends its worker; another one does the task', async (_what, bytes) => {
    const { address, manager } = await listening();
    const client = manager.client();
    const { session } = client;
    const tasks = client.tasks<{ job: () => string }>('jobs');
    const handle = await tasks.put('job');
    const raw = await RawClient.enter(address, { key: KEY });
    raw.complete(2, await takeByHand(raw), (writer) => writer.raw(Buffer.from(bytes)));
    await raw.ended;
    const task = await tasks.get();
    await task.complete('done');
    expect(await handle.result()).toBe('done');
    expect(await manager.client().tasks('jobs').handle(handle.id).result()).toBe('done');
    expect(client.session).toBe(session);
  });

  test.each([
    ['bytes that are none of the codec', new Packed(Buffer.from([0xc1, 0xff]))],
    ['no bytes', new Packed(Buffer.alloc(0))],
    ['a proxy that is not in the list', new Packed(Buffer.from([0xc7, 1, 8, 5]))],
    ['a failure in plain form that is none', [1, 2]],
    ['lists as deep as are read', [[[[[[[['deep']]]]]]]]],
  ] as [string, Item][])(
    'C3 %s as the error of a task: the task fails, its putter stays connected',
    async (_what, cause) => {
      const { address, manager } = await listening();
      const clients = [manager.client(), manager.client()] as const;
      const [client, other] = clients;
      const sessions = clients.map(({ session }) => session);
      const [first, second] = [await client.tasks('jobs').put('job'), other.tasks('jobs').handle('t1')];
      const raw = await RawClient.enter(address, { key: KEY });
      const { lease, number } = await takeByHand(raw);
      raw.send(ToManager.FAIL, (writer) => {
        writer.u32(2);
        writer.u32(1);
        writer.u48(lease);
        writer.u48(number);
        writer.u32(0);
        writer.u8(0);
        writer.item('Error: it failed');
        writer.item(cause);
      });
      for (const handle of [first, second]) {
        const error = await handle.result().catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(TaskFailedError);
        expect((error as Error).message).toContain('it failed');
      }
      expect(clients.map(({ session }) => session)).toEqual(sessions);
      await client.counter('still here').add(1);
    },
  );

  test('C3 lists as deep as are read, as values of a dict: others read all of it', async () => {
    const { address, manager } = await listening();
    const raw = await RawClient.enter(address, { key: KEY });
    raw.open(1, 'dict', 'shared');
    const deep: Item = [[[[[[[['deep']]]]]]]];
    await raw.answer(raw.call(1, method('dict', 'set'), ['nested', deep]));
    const dict = manager.client().dict('shared');
    expect(await dict.entries()).toEqual([['nested', deep]]);
    expect(await dict.getMany(['nested'])).toEqual([deep]);
  });

  test.each([
    ['an input', ToManager.PUT],
    ['an output', ToManager.COMPLETE],
  ])('C3 %s that says it names proxies and is a number ends the connection, not the manager', async (_what, kind) => {
    const { address, manager } = await listening();
    const tasks = manager.client().tasks('jobs');
    const raw = await RawClient.enter(address, { key: KEY });
    if (kind === ToManager.PUT) {
      raw.open(1, 'tasks', 'jobs');
      put(raw, 1, 1, PutFlags.refs, (writer) => writer.item(7));
    } else {
      await tasks.put('job');
      raw.complete(2, await takeByHand(raw), (writer) => writer.item(7), PayloadFlags.refs);
    }
    await raw.ended;
    const handle = await tasks.put('job');
    for (let task = await tasks.getNowait(); task !== undefined; task = await tasks.getNowait()) await task.complete(1);
    expect(await handle.result()).toBe(1);
  });

  test('C3 a call id that is under way already ends the connection, and both calls leave their queue', async () => {
    const { address, manager } = await listening();
    const lock = manager.client().lock('contended');
    const guard = await lock.acquire();
    const raw = await RawClient.enter(address, { key: KEY });
    raw.open(1, 'lock', 'contended');
    raw.call(1, method('lock', 'acquire'), [], 7);
    raw.call(1, method('lock', 'acquire'), [], 7);
    await raw.ended;
    await guard.release();
    // Had one of them stayed, it would hold the lock now, for a session that has ended.
    await (await lock.acquire({ timeout: 10_000 })).release();
  });

  test('C3 two holds under one handle: that connection ends, both objects are free again', async () => {
    const { address, manager } = await listening();
    const raw = await RawClient.enter(address, { key: KEY });
    raw.open(1, 'dict', 'a');
    raw.open(2, 'dict', 'b');
    const hold = (call: number, handle: number): Buffer =>
      frame(ToManager.HOLD, (writer) => {
        writer.u32(call);
        writer.u32(handle);
        writer.u32(50);
        writer.f64(0);
      });
    raw.write(Buffer.concat([hold(1, 1), hold(2, 2)]));
    await raw.ended;
    const client = manager.client();
    for (const name of ['a', 'b']) await client.dict(name).withLock((held) => held.set('x', 1), { timeout: 10_000 });
  });

  test('C3 answers to calls that were never made, and cancels of them, change nothing', async () => {
    const { address } = await listening();
    const raw = await RawClient.enter(address, { key: KEY });
    for (let call = 0; call < 100; call++) raw.send(ToManager.CANCEL, (writer) => writer.u32(call));
    raw.send(ToManager.DROP, (writer) => writer.u32(12_345));
    raw.open(1, 'counter', 'n');
    expect(await raw.answer(raw.call(1, method('counter', 'add'), [2]))).toBe(2);
  });

  test('C3 a call on a handle that is not open ends the connection', async () => {
    const { address } = await listening();
    const raw = await RawClient.enter(address, { key: KEY });
    raw.call(99, 0);
    await raw.ended;
  });

  test('C3 a handle that is opened twice ends the connection', async () => {
    const { address } = await listening();
    const raw = await RawClient.enter(address, { key: KEY });
    raw.open(1, 'dict', 'a');
    raw.open(1, 'dict', 'b');
    await raw.ended;
  });

  test('C3 a method that there is not fails that call', async () => {
    const { address } = await listening();
    const raw = await RawClient.enter(address, { key: KEY });
    raw.open(1, 'dict', 'a');
    await expect(raw.answer(raw.call(1, 63))).rejects.toMatchObject({ code: 'QM_UNKNOWN_METHOD' });
    await expect(raw.answer(raw.call(0, 63))).rejects.toMatchObject({ code: 'QM_UNKNOWN_METHOD' });
    expect(await raw.answer(raw.call(1, method('dict', 'size')))).toBe(0);
  });

  test(
    'C3 more names of tasks than a session can number: each task still has its own',
    { timeout: 120_000 },
    async () => {
      const { address, manager } = await listening();
      const names = 66_000;
      for (let part = 0; part < 2; part++) {
        const raw = await RawClient.enter(address, { key: KEY });
        raw.open(1, 'tasks', 'jobs');
        const frames: Buffer[] = [];
        for (let i = 0; i < names / 2; i++) {
          const name = `name ${part * (names / 2) + i}`;
          frames.push(
            frame(ToManager.NAME, (writer) => {
              writer.u16(i);
              writer.text(name);
            }),
            frame(ToManager.PUT, (writer) => {
              writer.u32(1);
              entry(writer, () => {
                writer.u32(i + 1);
                writer.u8(0);
                writer.u16(i);
                writer.item(name);
              });
            }),
          );
        }
        raw.write(Buffer.concat(frames));
        await raw.answer(raw.call(1, method('tasks', 'size'), [], names));
      }
      const tasks = manager.client().tasks('jobs');
      await tasks.put('name 0', 'name 0');
      let taken = 0;
      for (let task = await tasks.getNowait(); task !== undefined; task = await tasks.getNowait()) {
        if (task.name !== task.input) expect(task.name).toBe(task.input);
        await task.complete();
        taken++;
      }
      expect(taken).toBe(names + 1);
    },
  );
});

describe('C3 a mistake of the user is an error of that call, not the end of the connection', () => {
  test('C3 a proxy that was disposed of, inside a value', async () => {
    const { connect } = await listening();
    const client = await connect();
    const { session } = client;
    const gone = client.dict();
    await gone.dispose();
    const tasks = client.tasks('jobs');
    await expect(client.dict('d').set('k', { gone })).rejects.toMatchObject({ code: 'QM_PROXY_DISPOSED' });
    await expect(tasks.put('job', { gone })).rejects.toMatchObject({ code: 'QM_PROXY_DISPOSED' });
    await tasks.put('job');
    const task = await tasks.get();
    expect(() => task.progress({ gone })).toThrow(expect.objectContaining({ code: 'QM_PROXY_DISPOSED' }));
    await task.complete();
    expect(client.session).toBe(session);
  });

  test('C3 a proxy of an object that could not be opened, inside a value', async () => {
    const { connect } = await listening();
    const client = await connect();
    const { session } = client;
    await client.queue('taken').put(1);
    const wrong = client.dict('taken');
    const tasks = client.tasks('jobs');
    await expect(client.dict('d').set('k', { wrong })).rejects.toMatchObject({ code: 'QM_TYPE_MISMATCH' });
    await expect(tasks.put('job', { wrong })).rejects.toMatchObject({ code: 'QM_TYPE_MISMATCH' });
    const handle = await tasks.put('job');
    const task = await tasks.get();
    task.progress({ wrong });
    await task.complete('done');
    expect(await handle.result()).toBe('done');
    expect(client.session).toBe(session);
  });
});
