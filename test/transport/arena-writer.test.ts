/** What a client writes into its own arena. */
import { closeSync, fstatSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import {
  ARENA_START,
  createArenaFile,
  openArenaFile,
  readAll,
  reaches,
  roomForArenas,
} from '#qm/transport/arena-file.js';
import { ArenaWriter } from '#qm/transport/arena-writer.js';
import { hasArenas } from '../kit/arena-files.ts';

const MIB = 1 << 20;
const nonce = Buffer.alloc(16, 7);

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
afterEach(() => void vi.useRealTimers());

function newFile(): number {
  const file = createArenaFile(nonce);
  if (file === undefined) throw new Error('no arena could be made');
  return file;
}

describe.runIf(hasArenas)('arenas', () => {
  test('pieces stand one after the other, and memory goes back to the system when nothing was written for a while', () => {
    const writer = new ArenaWriter(newFile(), 4 * MIB);
    onTestFinished(() => writer.close());
    const pieces = [Buffer.from('ab'), Buffer.alloc(0), Buffer.alloc(MIB, 'c'), Buffer.from('d')];
    const offset = writer.put(pieces, MIB + 3);
    expect(offset).toBe(ARENA_START);
    const back = Buffer.alloc(MIB + 3);
    expect(readAll(writer.file, back, 0, ARENA_START)).toBe(true);
    expect(back.equals(Buffer.concat(pieces))).toBe(true);
    const second = writer.put([Buffer.alloc(MIB, 'e')], MIB) as number;
    expect(fstatSync(writer.file).size).toBe(second + MIB);
    expect(writer.free(second)).toBe(true);
    expect(writer.free(second)).toBe(false);
    vi.advanceTimersByTime(999);
    expect(writer.put([Buffer.alloc(10)], 10)).toBe(second);
    vi.advanceTimersByTime(1);
    expect(fstatSync(writer.file).size).toBe(second + MIB); // something was written since
    vi.advanceTimersByTime(1000);
    expect(fstatSync(writer.file).size).toBe(second + 4096);
    expect(readAll(writer.file, back, 0, ARENA_START)).toBe(true);
    expect(back.equals(Buffer.concat(pieces))).toBe(true);
    writer.free(ARENA_START);
    writer.free(second);
    vi.advanceTimersByTime(1000);
    expect(fstatSync(writer.file).size).toBe(ARENA_START);
    expect(reaches(writer.file, ARENA_START + 1)).toBe(false);
  });

  test('thousands of pieces', () => {
    const writer = new ArenaWriter(newFile(), MIB);
    onTestFinished(() => writer.close());
    const pieces = Array.from({ length: 5000 }, (_, i) => Buffer.alloc(i % 7, i));
    const all = Buffer.concat(pieces);
    expect(writer.put(pieces, all.length)).toBe(ARENA_START);
    const back = Buffer.alloc(all.length);
    readAll(writer.file, back, 0, ARENA_START);
    expect(back.equals(all)).toBe(true);
  });

  test('what does not fit is not written; nor is what the system refuses, and its place is free again', () => {
    const writer = new ArenaWriter(newFile(), MIB);
    onTestFinished(() => writer.close());
    expect(writer.put([Buffer.alloc(MIB + 1)], MIB + 1)).toBeUndefined();
    const readOnly = openArenaFile(process.pid, writer.file, nonce, false) as number;
    const refused = new ArenaWriter(readOnly, MIB);
    onTestFinished(() => refused.close());
    expect(refused.put([Buffer.alloc(MIB)], MIB)).toBeUndefined();
    expect(refused.free(ARENA_START)).toBe(false);
    expect(writer.put([Buffer.alloc(MIB)], MIB)).toBe(ARENA_START);
  });

  test('a file is opened by its pid, descriptor and nonce, and no other file is', () => {
    const file = newFile();
    onTestFinished(() => closeSync(file));
    expect(fstatSync(file)).toMatchObject({ nlink: 0, mode: 0o100_600 });
    const again = openArenaFile(process.pid, file, nonce, true) as number;
    onTestFinished(() => closeSync(again));
    expect(fstatSync(again).ino).toBe(fstatSync(file).ino);
    expect(openArenaFile(process.pid, file, Buffer.alloc(16, 8), true)).toBeUndefined();
    expect(openArenaFile(process.pid, 0, nonce, false)).toBeUndefined();
    expect(openArenaFile(process.pid, 100_000, nonce, false)).toBeUndefined();
    expect(openArenaFile(2 ** 22 + 1, file, nonce, false)).toBeUndefined();
    expect(roomForArenas()).toBeGreaterThan(0);
  });

  test('a file that is too short is read as zeros from its end on', () => {
    const file = newFile();
    onTestFinished(() => closeSync(file));
    const back = Buffer.alloc(40, 9);
    expect(readAll(file, back, 4, 8)).toBe(false);
    expect(back).toEqual(Buffer.concat([Buffer.alloc(4, 9), Buffer.alloc(8, 7), Buffer.alloc(28)]));
  });
});
