/** P5 of arenas: peers that name what is not there, and processes that end at the worst moment. */
import { closeSync, ftruncateSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ManagerGoneError, type Manager, work } from 'quartermaster';
import { coreOf } from '#qm/manager/manager.js';
import { encode } from '#qm/protocol/codec.js';
import { methods, PutFlags, ToClient, ToManager } from '#qm/protocol/messages.js';
import { type Packed, type Reader, type Region, type Writer } from '#qm/protocol/wire.js';
import { ARENA_START, openArenaFile, readAll, writeAll } from '#qm/transport/arena-file.js';
import { arenasOpenIn, hasArenas } from '../kit/arena-files.ts';
import { KEY, listening, managerProcess } from '../kit/listening.ts';
import { collectGarbage } from '../kit/memory.ts';
import { partyOfTest } from '../kit/parties.ts';
import { entry, RawClient, type RawWelcome } from '../kit/raw-client.ts';
import { until } from '../kit/until.ts';

const MIB = 1 << 20;
const packed = (value: unknown): Uint8Array => (encode(value) as Packed).bytes;
const bytes = packed(Buffer.alloc(MIB, 5));

interface Opened {
  readonly id: number;
  readonly capacity: number;
  readonly file: number;
}

/** What an ARENA frame tells of, opened as a client opens it. */
function openTold({ pid }: RawWelcome, reader: Reader): Opened {
  const [id, descriptor, capacity] = [reader.u32(), reader.u32(), reader.u48()];
  const file = openArenaFile(pid, descriptor, Buffer.from(reader.view(16)), true);
  if (file === undefined) throw new Error(`arena ${id} could not be opened`);
  onTestFinished(() => closeSync(file));
  return { id, capacity, file };
}

function opened(raw: RawClient, id: number, open = true): void {
  raw.send(ToManager.OPENED, (writer) => {
    writer.u32(id);
    writer.u8(open ? 1 : 0);
  });
}

/** A client made by hand that has queue 'jobs' as handle 1 and an arena of its own. */
async function withArena(address: string): Promise<{ raw: RawClient; arena: Opened }> {
  const raw = await RawClient.enter(address, { key: KEY });
  raw.open(1, 'tasks', 'jobs');
  raw.send(ToManager.WANT_ARENA, (writer) => writer.u8(0));
  const arena = openTold(raw.welcome, (await raw.next(ToClient.ARENA)).reader);
  opened(raw, arena.id);
  return { raw, arena };
}

function putByHand(raw: RawClient, call: number, flags: number, body: (writer: Writer) => void): void {
  raw.send(ToManager.NAME, (writer) => {
    writer.u16(0);
    writer.text('job');
  });
  raw.send(ToManager.PUT, (writer) => {
    writer.u32(1);
    entry(writer, () => {
      writer.u32(call);
      writer.u8(flags);
      writer.u16(0);
      body(writer);
    });
  });
}

/** The next task that comes, and where its input lies, if it does not come with it. */
async function taskByHand(raw: RawClient): Promise<{ lease: number; number: number; region: Region | undefined }> {
  const { reader } = await raw.next(ToClient.TASK);
  reader.u32();
  const end = reader.entry();
  const [lease, number] = [reader.u48(), reader.u48()];
  reader.claim(5);
  return { lease, number, region: reader.regionUntil(end) };
}

/** Awaits round trips, of a client that has no arena, until the manager's regions, or arenas, are so many. */
async function settles(manager: Manager, address: string, what: 'regions' | 'size', count: number): Promise<void> {
  const raw = await RawClient.enter(address, { key: KEY });
  await until(async () => {
    await raw.answer(raw.call(0, methods.manager.indexOf('ping')));
    return manager[coreOf].arenas[what] === count;
  });
  await raw.destroy();
}

describe.runIf(hasArenas)('arenas', () => {
  type Bad = (arena: Opened) => Region;
  const bad: [string, Bad][] = [
    ['of another arena', ({ id }) => ({ arena: id + 1, offset: ARENA_START, length: 100 })],
    ['before the beginning', ({ id }) => ({ arena: id, offset: ARENA_START - 1, length: 100 })],
    ['of no bytes', ({ id }) => ({ arena: id, offset: ARENA_START, length: 0 })],
    ['behind what was written', ({ id }) => ({ arena: id, offset: ARENA_START + 1, length: bytes.length })],
    ['behind the end of the arena', ({ id, capacity }) => ({ arena: id, offset: capacity, length: 2 * ARENA_START })],
    ['as far away as can be said', ({ id }) => ({ arena: id, offset: 2 ** 48 - 1, length: 2 ** 32 - 1 })],
  ];
  test.each(bad)('C3 a region %s ends the connection that names it, and no other', async (_what, region) => {
    const { address, manager } = await listening();
    const { raw, arena } = await withArena(address);
    expect(writeAll(arena.file, [bytes], ARENA_START)).toBe(true);
    putByHand(raw, 1, 0, (writer) => writer.region(region(arena)));
    await raw.ended;
    await settles(manager, address, 'size', 0);
    expect(await manager.client().tasks('jobs').dict.size()).toBe(0);
  });

  test('C3 a region where another one is ends the connection, and the other one stays', async () => {
    const { address, manager } = await listening();
    const { raw, arena } = await withArena(address);
    writeAll(arena.file, [bytes, bytes], ARENA_START);
    putByHand(raw, 1, 0, (writer) => writer.region({ arena: arena.id, offset: ARENA_START, length: bytes.length }));
    await raw.next(ToClient.ACCEPTED);
    putByHand(raw, 2, 0, (writer) => writer.region({ arena: arena.id, offset: ARENA_START + 8, length: 100 }));
    await raw.ended;
    const task = await manager.client().tasks('jobs').get();
    expect(isDeepStrictEqual(task.input, Buffer.alloc(MIB, 5))).toBe(true);
    await task.complete();
    await settles(manager, address, 'size', 0);
  });

  const region = { arena: 1, offset: ARENA_START, length: 100 };
  const hostile: [string, (raw: RawClient) => void][] = [
    ['a region without an arena', (raw) => putByHand(raw, 1, 0, (writer) => writer.region(region))],
    ['a region with references', (raw) => putByHand(raw, 1, PutFlags.refs, (writer) => writer.region(region))],
    ['a region that is cut short', (raw) => putByHand(raw, 1, 0, (writer) => writer.raw(Buffer.from([13, 1, 0])))],
    [
      'a region as an argument',
      (raw) => raw.send(ToManager.CALL, (w) => (w.u32(1), w.u32(1), w.u8(1), w.region(region))),
    ],
    ['a copy of what was never named', (raw) => raw.send(ToManager.COPIED, (w) => (w.u32(1), w.u48(ARENA_START)))],
  ];
  test.each(hostile)('C3 %s: the connection ends, and no other', async (_what, send) => {
    const { address, manager } = await listening();
    const raw = await RawClient.enter(address, { key: KEY });
    raw.open(1, 'tasks', 'jobs');
    send(raw);
    await raw.ended;
    await settles(manager, address, 'size', 0);
    expect(await manager.client().tasks('jobs').dict.size()).toBe(0);
  });

  test('C3 one who says that it opened what it was not told of is told, and given the bytes, as before', async () => {
    const { address, manager } = await listening();
    const { raw: writer, arena } = await withArena(address);
    const reader = await RawClient.enter(address, { key: KEY });
    reader.open(1, 'tasks', 'jobs');
    for (let id = 0; id < 5; id++) opened(reader, id);
    reader.take(1, 1);
    writeAll(arena.file, [bytes], ARENA_START);
    putByHand(writer, 1, 0, (w) => w.region({ arena: arena.id, offset: ARENA_START, length: bytes.length }));
    expect((await taskByHand(reader)).region).toBeUndefined();
    expect(manager[coreOf].arenas.regions).toBe(1);
  });

  test('P5 a reader that cannot open an arena is given the bytes', async () => {
    const { address } = await listening();
    const { raw: writer, arena } = await withArena(address);
    const reader = await RawClient.enter(address, { key: KEY });
    reader.open(1, 'tasks', 'jobs');
    for (let i = 0; i < 3; i++) {
      writeAll(arena.file, [bytes], ARENA_START + i * 2 * MIB);
      const place = { arena: arena.id, offset: ARENA_START + i * 2 * MIB, length: bytes.length };
      putByHand(writer, 10 + i, 0, (w) => w.region(place));
      reader.take(1, 1);
      const { lease, number, region: named } = await taskByHand(reader);
      expect(named).toBeUndefined();
      if (i === 0) opened(reader, arena.id, false);
      reader.complete(0, { lease, number }, (w) => w.item(i));
    }
  });

  test('P5 a writer that ends between its writing and its frame leaves nothing', async () => {
    const { address, manager } = await listening();
    const before = arenasOpenIn(process.pid);
    const { raw, arena } = await withArena(address);
    writeAll(arena.file, [bytes], ARENA_START);
    expect(manager[coreOf].arenas.size).toBe(1);
    await raw.destroy();
    await settles(manager, address, 'size', 0);
    expect(arenasOpenIn(process.pid)).toBe(before + 1); // this test's own, which a process takes with it
  });

  test('P5 a writer killed with SIGKILL after its put was accepted: the input is there', async () => {
    const manager = await managerProcess({ authKey: KEY, queue: { keepRecords: { count: 0 } } });
    const party = await partyOfTest(manager);
    const queue = manager.tasks<{ size: (input: Buffer) => number }>('jobs');
    await party.run(async ({ client }, size) => {
      const tasks = client.tasks('jobs');
      for (let i = 0; i < 5; i++) await tasks.put('size', Buffer.alloc(size, i));
    }, MIB);
    expect(arenasOpenIn(manager.pid)).toBe(2); // this process has one as well
    await party.kill();
    for (let i = 0; i < 5; i++) {
      const task = await queue.get();
      expect(isDeepStrictEqual(task.input, Buffer.alloc(MIB, i))).toBe(true);
      await task.complete();
    }
    await until(async () => {
      await manager.counter('n').get();
      return arenasOpenIn(manager.pid) === 1;
    });
  });

  test('P5 a reader that ends before it has copied: another one gets the same bytes, and the region is freed', async () => {
    const { address, manager } = await listening({ queue: { keepRecords: { count: 0 } } });
    const { raw: writer, arena } = await withArena(address);
    const reader = await RawClient.enter(address, { key: KEY });
    reader.open(1, 'tasks', 'jobs');
    writeAll(arena.file, [packed(Buffer.alloc(MIB, 6)), bytes], ARENA_START);
    const first = bytes.length;
    reader.take(1, 1);
    putByHand(writer, 1, 0, (w) => w.region({ arena: arena.id, offset: ARENA_START, length: first }));
    const told = await reader.next(ToClient.TASK);
    expect(told.reader.left).toBeGreaterThan(MIB);
    opened(reader, arena.id);
    reader.take(1, 2);
    putByHand(writer, 2, 0, (w) => w.region({ arena: arena.id, offset: ARENA_START + first, length: bytes.length }));
    const { region: named } = await taskByHand(reader);
    expect(named).toEqual({ arena: arena.id, offset: ARENA_START + first, length: bytes.length });
    await reader.destroy();
    const tasks = manager.client().tasks('jobs');
    const inputs: unknown[] = [];
    for (let i = 0; i < 2; i++) {
      const task = await tasks.get();
      inputs.push(task.input);
      await task.complete();
    }
    expect(inputs.some((input) => isDeepStrictEqual(input, Buffer.alloc(MIB, 5)))).toBe(true);
    await settles(manager, address, 'regions', 0);
  });

  test('P5 a region is not freed while somebody may be reading it, whatever becomes of its task', async () => {
    const { address, manager } = await listening({ queue: { keepRecords: { count: 0 } } });
    const client = manager.client();
    const stop = new AbortController();
    const output = Buffer.alloc(MIB, 9);
    const working = work(client.tasks('jobs'), { job: () => output }, { signal: stop.signal });
    onTestFinished(async () => {
      stop.abort();
      await working;
    });
    const raw = await RawClient.enter(address, { key: KEY });
    raw.open(1, 'tasks', 'jobs');
    let told: Reader | undefined;
    let calls = 0;
    /** Puts a task by hand, and says where its output lies. */
    const run = async (): Promise<Region | undefined> => {
      putByHand(raw, ++calls, PutFlags.run, (w) => w.item(1));
      for (;;) {
        const { kind, reader } = await raw.next();
        if (kind === ToClient.ARENA) told = reader;
        if (kind !== ToClient.OUTCOME) continue;
        reader.u32();
        const end = reader.entry();
        reader.claim(5);
        return reader.regionUntil(end);
      }
    };
    // In parts, until the worker has an arena and this client has been told of it.
    while (told === undefined) expect(await run()).toBeUndefined();
    const { id, file } = openTold(raw.welcome, told);
    opened(raw, id);
    const place = (await run()) as Region;
    for (let i = 0; i < 8; i++) {
      const other = (await run()) as Region;
      expect(other.offset).not.toBe(place.offset);
      raw.send(ToManager.COPIED, (w) => (w.u32(id), w.u48(other.offset)));
    }
    await settles(manager, address, 'regions', 1);
    collectGarbage();
    await settles(manager, address, 'regions', 1);
    const item = Buffer.alloc(place.length);
    expect(readAll(file, item, 0, place.offset)).toBe(true);
    expect(item.equals(packed(output))).toBe(true);
    raw.send(ToManager.COPIED, (w) => (w.u32(id), w.u48(place.offset)));
    await settles(manager, address, 'regions', 0);
  });

  test('S8 a writer that cuts its file off afterwards: whoever gets the input cannot decode it, and nothing else happens', async () => {
    const { address, manager } = await listening();
    const client = manager.client();
    const { raw, arena } = await withArena(address);
    writeAll(arena.file, [bytes], ARENA_START);
    putByHand(raw, 1, 0, (w) => w.region({ arena: arena.id, offset: ARENA_START, length: bytes.length }));
    await raw.next(ToClient.ACCEPTED);
    ftruncateSync(arena.file, ARENA_START);
    const task = await client.tasks('jobs').get();
    expect(() => task.input).toThrow('a payload');
    await task.complete();
    expect(raw.over).toBe(false);
  });

  test('R2 what is refused, or never put, is freed all the same', async () => {
    const { address, manager } = await listening();
    const client = manager.client();
    const jobs = client.tasks('jobs');
    await jobs.dict.size();
    const { raw, arena } = await withArena(address);
    writeAll(arena.file, [bytes], ARENA_START);
    await jobs.shutdown();
    putByHand(raw, 1, 0, (w) => w.region({ arena: arena.id, offset: ARENA_START, length: bytes.length }));
    await raw.next(ToClient.FAILED);
    expect((await raw.next(ToClient.FREED)).reader.u48()).toBe(ARENA_START);
    expect(manager[coreOf].arenas.regions).toBe(0);
  });

  test('R2 an input that is forgotten before it is a task is freed once it has been collected', async () => {
    const { address, manager } = await listening({ queue: { maxBytes: MIB } });
    const { raw, arena } = await withArena(address);
    writeAll(arena.file, [bytes, bytes], ARENA_START);
    putByHand(raw, 1, 0, (w) => w.region({ arena: arena.id, offset: ARENA_START, length: bytes.length }));
    await raw.next(ToClient.ACCEPTED);
    const second = ARENA_START + bytes.length;
    putByHand(raw, 2, 0, (w) => w.region({ arena: arena.id, offset: second, length: bytes.length })); // waits for room
    raw.send(ToManager.CANCEL, (w) => w.u32(2));
    await raw.next(ToClient.CANCELLED);
    await until(async () => {
      collectGarbage();
      await manager.client().counter('n').get();
      return manager[coreOf].arenas.regions === 1;
    });
    expect((await raw.next(ToClient.FREED)).reader.u48()).toBe(second);
  });

  test('M1 a manager killed with SIGKILL takes the arenas with it: its clients close them', async () => {
    const before = arenasOpenIn(process.pid);
    const manager = await managerProcess({ authKey: KEY });
    const stop = new AbortController();
    onTestFinished(() => stop.abort());
    const tasks = manager.tasks<{ echo: (input: Buffer) => Buffer }>('jobs');
    const working = work(tasks, { echo: (input: Buffer) => input }, { signal: stop.signal });
    const ended = working.catch((error: unknown) => error);
    for (let i = 0; i < 4; i++) await tasks.run('echo', Buffer.alloc(MIB, i));
    expect(arenasOpenIn(process.pid)).toBeGreaterThan(before);
    process.kill(manager.pid, 'SIGKILL');
    expect(await ended).toBeInstanceOf(ManagerGoneError);
    expect(arenasOpenIn(process.pid)).toBe(before);
  });
});
