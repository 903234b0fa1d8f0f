import { isDeepStrictEqual, types } from 'node:util';
import { describe, expect, test } from 'vitest';
import {
  CycleError,
  NonRetryableError,
  ProtocolError,
  ProxyDisposedError,
  TimeoutError,
  UnserializableError,
} from '#qm/errors.js';
import { canonical, type CodecContext, decode, decodeFrom, encode, encodeTo, sameValue } from '#qm/protocol/codec.js';
import { MAX_DEPTH } from '#qm/protocol/codec/form.js';
import { type Item, type JobRefInfo, Packed, type ProxyRef, Reader, Verbatim, Writer } from '#qm/protocol/wire.js';
import { rows } from './codec-values.ts';

const there = <T>(value: T): T => decode(encode(value)) as T;
const packed = (value: unknown): Packed => encode(value) as Packed;

/** What crosses a socket: written and read again. */
function acrossTheWire(item: Item): Item {
  const writer = new Writer();
  writer.item(item);
  return new Reader(writer.take()).item();
}

describe('P1 every kind of value is equal after a round trip', () => {
  test.each(rows)('P1 %s', (_name, make) => {
    const value = make();
    const result = decode(acrossTheWire(encode(value)));
    expect(isDeepStrictEqual(result, value)).toBe(true);
    expect(isDeepStrictEqual(value, make())).toBe(true); // encoding has not changed it
    expect(isDeepStrictEqual(decode(encode(result)), value)).toBe(true);
  });

  test('P1 scalars cross as they are', () => {
    for (const scalar of [undefined, null, true, -0, Number.NaN, 'a', '\ud800', 10n ** 30n]) {
      expect(encode(scalar)).toBe(scalar);
      expect(decode(scalar)).toBe(scalar);
    }
  });

  test('P1 a list of items gives an array of values', () => {
    expect(decode([encode({ a: 1 }), 2, [encode([3])]])).toEqual([{ a: 1 }, 2, [[3]]]);
  });

  test('P1 bytes that were kept verbatim are decoded', () => {
    const writer = new Writer();
    writer.item(encode({ a: 'é' }));
    const bytes = Buffer.from(writer.take());
    expect(decode(new Verbatim(bytes))).toEqual({ a: 'é' });
    expect(decode(new Verbatim(bytes.toString('latin1')))).toEqual({ a: 'é' });
  });

  test('P1 an invalid Date stays one', () => {
    expect(there({ at: new Date(Number.NaN) }).at.getTime()).toBeNaN();
  });

  test('P1 cycles of every container', () => {
    const value: Record<string, unknown> = {};
    const map = new Map<unknown, unknown>();
    const set = new Set<unknown>();
    const error: Error & { self?: Error } = new Error('round');
    const sparse: unknown[] = Object.assign([], { length: 10_000 });
    const bare = Object.assign(Object.create(null) as Record<string, unknown>, { value });
    Object.assign(value, { value, list: [value], map, set, error, sparse, bare });
    map.set(map, value).set(value, set);
    set.add(set).add(map);
    error.cause = error;
    error.self = error;
    sparse[5_000] = sparse;

    const result = there(value);
    expect(result['value']).toBe(result);
    expect(result['list']).toEqual([result]);
    const there_ = result as {
      map: typeof map;
      set: typeof set;
      error: typeof error;
      sparse: unknown[];
      bare: typeof bare;
    };
    expect(there_.map.get(there_.map)).toBe(result);
    expect(there_.map.get(result)).toBe(there_.set);
    expect([...there_.set]).toEqual([there_.set, there_.map]);
    expect(there_.error.cause).toBe(there_.error);
    expect(there_.error.self).toBe(there_.error);
    expect(there_.sparse[5_000]).toBe(there_.sparse);
    expect(there_.bare['value']).toBe(result);
  });

  test('P1 the identity of every kind of object is kept', () => {
    const objects = rows.map(([, make]) => make()).filter((value) => typeof value === 'object' && value !== null);
    const result = there({ once: objects, again: objects.toReversed() });
    expect(result.again.toReversed().every((object, i) => object === result.once[i])).toBe(true);
    expect(new Set(result.once).size).toBe(objects.length);
  });

  test('P1 key order survives', () => {
    expect(Object.keys(there({ z: 1, a: new Date(), m: 2 }))).toEqual(['z', 'a', 'm']);
  });

  test('P1 a Buffer arrives as a Buffer with memory of its own', () => {
    const source = Buffer.from('hello');
    const item = packed({ data: source });
    const { data } = decode(item) as { data: Buffer };
    expect(Buffer.isBuffer(data)).toBe(true);
    source.fill(0);
    item.bytes.fill(0);
    expect(data.toString()).toBe('hello');
  });

  test('P1 a lone view carries its own bytes and no more', () => {
    const pool = new Uint8Array(1 << 16).fill(42);
    const item = packed({ view: new Uint16Array(pool.buffer, 8, 2), rest: Buffer.from(pool.buffer, 100, 3) });
    expect(item.bytes.length).toBeLessThan(60);
    expect(item.bytes.filter((byte) => byte === 42).length).toBe(7);
    const { view } = decode(item) as { view: Uint16Array };
    expect(view.buffer.byteLength).toBe(4);
  });

  test('P1 views of one ArrayBuffer go on sharing it', () => {
    const memory = new ArrayBuffer(16);
    const beside = there({ head: new Uint8Array(memory, 0, 8), tail: new Float64Array(memory, 8) });
    expect(beside.head.buffer).toBe(beside.tail.buffer);

    const off = new ArrayBuffer(64);
    new Uint8Array(off).fill(201);
    const item = packed([new Uint8Array(off, 12, 12), new Float64Array(off, 16, 1)]);
    expect(item.bytes.filter((byte) => byte === 201).length).toBe(12);
    const [bytes, double] = decode(item) as [Uint8Array, Float64Array];
    double[0] = -1;
    expect([...bytes]).toEqual([201, 201, 201, 201, ...new Uint8Array(Float64Array.of(-1).buffer)]);
  });

  test('P1 an ArrayBuffer in the value is shared whole with its views', () => {
    const memory = new ArrayBuffer(32);
    const value = { view: new DataView(memory, 4, 4), memory, node: Buffer.from(memory, 30, 2) };
    const result = there(value);
    expect([result.view.buffer, result.node.buffer]).toEqual([result.memory, result.memory]);
    expect([result.view.byteOffset, result.node.byteOffset, result.memory.byteLength]).toEqual([4, 30, 32]);
    expect(Buffer.isBuffer(result.node)).toBe(true);
  });

  test('P1 the bytes own exactly their memory', () => {
    for (const value of [
      { i: 1 },
      ['x'.repeat(200_000)],
      { data: Buffer.alloc(10) },
      { data: Buffer.alloc(1 << 20) },
    ]) {
      const { bytes } = packed(value);
      expect([bytes.byteOffset, bytes.buffer.byteLength]).toEqual([0, bytes.byteLength]);
    }
    const first = packed({ i: 1 });
    const before = Buffer.from(first.bytes);
    encode({ i: 2 });
    expect(before.equals(first.bytes)).toBe(true);
  });

  test('P1 non-enumerable properties are left out', () => {
    const value = Object.defineProperty({ a: 1 }, 'hidden', { value: () => 1 });
    Object.defineProperty(value, Symbol('hidden'), { value: 1 });
    expect(there(value)).toEqual({ a: 1 });
  });
});

class Point {
  x = 1;
}
class Subclass extends Map {}

describe('P2 what cannot cross is refused with its path', () => {
  const refused: readonly (readonly [path: string, value: unknown, what: string])[] = [
    ['input', () => 1, 'a function'],
    ['input', Point, 'a class'],
    ['input', Symbol('s'), 'a symbol'],
    ['input.callback', { callback() {} }, 'a function'],
    ['input.list[3].fn', { list: [0, 1, 2, { fn: async () => {} }] }, 'a function'],
    ['input.m.get("k")', { m: new Map([['k', () => 1]]) }, 'a function'],
    ['input.get(1n)', new Map([[1n, Symbol('x')]]), 'a symbol'],
    [
      'input.keys()[1]',
      new Map<unknown, unknown>([
        [1, 2],
        [() => 1, 3],
      ]),
      'a function',
    ],
    [
      'input.values()[1]',
      new Map<unknown, unknown>([
        [1, 2],
        [{}, () => 1],
      ]),
      'a function',
    ],
    ['input.s.values()[2]', { s: new Set<unknown>([1, 2, () => 1]) }, 'a function'],
    ['input["a b"]', { 'a b': () => 1 }, 'a function'],
    ['input["\\n"]["1a"].ok', { '\n': { '1a': { ok: () => 1 } } }, 'a function'],
    ['input.é[0]', { é: [Symbol.iterator] }, 'a symbol'],
    ['input.cause.errors[1]', Object.assign(new Error('x'), { cause: new AggregateError([1, () => 1]) }), 'a function'],
    ['input.reply', Object.assign(new Error('x'), { reply: new Point() }), 'an instance of Point'],
    ['input.a', { a: Promise.resolve() }, 'an instance of Promise'],
    ['input.a', { a: new WeakMap() }, 'an instance of WeakMap'],
    ['input.a', { a: new WeakSet() }, 'an instance of WeakSet'],
    ['input.a', { a: new WeakRef({}) }, 'an instance of WeakRef'],
    ['input.a', { a: new Proxy({}, {}) }, 'a JavaScript Proxy'],
    ['input[0]', [new Proxy([], {})], 'a JavaScript Proxy'],
    ['input.a', { a: new Proxy(() => 1, {}) }, 'a JavaScript Proxy'],
    ['input.a', { a: new SharedArrayBuffer(1) }, 'an instance of SharedArrayBuffer'],
    ['input.a', { a: new Uint8Array(new SharedArrayBuffer(1)) }, 'a view of a SharedArrayBuffer'],
    ['input.a', { a: resizable() }, 'a resizable ArrayBuffer'],
    ['input.a', { a: detached() }, 'a detached ArrayBuffer'],
    ['input.a', { a: [1].values() }, 'an instance of Iterator'],
    ['input.toJSON', { toJSON: () => 1 }, 'a function'],
    ['input[2]', [0, 1, () => 1], 'a function'],
  ];

  test.each(refused)('P2 %s', (path, value, what) => {
    const error = refusalOf(value);
    expect(error.path).toBe(path);
    if (what !== 'an instance of Iterator') expect(error.message).toContain(`${path} is ${what}`);
  });

  test('P2 the path begins at the root that the caller names', () => {
    expect(refusalOf({ cb() {} }, 'args[0]').path).toBe('args[0].cb');
    expect(() => encode({ cb() {} })).toThrow(expect.objectContaining({ path: 'value.cb' }));
  });

  test('P2 no trap of a JavaScript Proxy and no getter runs', () => {
    const boom = (): never => {
      throw new Error('ran');
    };
    const traps = new Proxy({}, { get: () => boom });
    expect(refusalOf({ a: new Proxy({}, traps) }).path).toBe('input.a');
    expect(refusalOf(Object.defineProperty({}, 'a', { get: boom, enumerable: true })).path).toBe('input.a');
  });

  test('P2 a refused value leaves the codec as it was', () => {
    refusalOf({ a: [1, { b: () => 1 }] });
    expect(there({ a: 1 })).toEqual({ a: 1 });
  });
});

describe('P3 class instances, symbol keys and what would be lost', () => {
  const refused: readonly (readonly [path: string, value: unknown])[] = [
    ['input', new Point()],
    ['input.p', { p: new Point() }],
    ['input.p', { p: new Subclass() }],
    ['input.p', { p: new (class extends Array {})() }],
    ['input.p', { p: new (class extends Uint8Array {})() }],
    ['input.p', { p: Object.create({ inherited: 1 }) as object }],
    ['input.p', { p: Object.create(Map.prototype) as object }],
    ['input.p', { p: Object.create(URL.prototype) as object }],
    ['input.n', { n: Object(1) as unknown }],
    ['input.s', { s: Object('x') as unknown }],
    ['input[Symbol(tag)]', { [Symbol('tag')]: 1 }],
    ['input.a[Symbol(tag)]', { a: Object.assign([1], { [Symbol('tag')]: 1 }) }],
    ['input.getter', Object.defineProperty({}, 'getter', { get: () => 1, enumerable: true })],
    ['input.setter', Object.defineProperty({}, 'setter', { set() {}, enumerable: true })],
    ['input.extra', Object.assign([1, 2], { extra: 1 })],
    ['input.extra', Object.assign([], { extra: 1 })],
    ['input["-1"]', Object.assign([1], { '-1': 1 })],
    ['input["4294967295"]', Object.assign([1], { 4_294_967_295: 1 })],
    ['input.extra', Object.assign(Array.from({ length: 1_000 }).fill(0), { extra: '... 1000 more items' })],
    ['input[Symbol(tag)]', Object.assign(Array.from({ length: 1_000 }).fill(0), { [Symbol('tag')]: 1 })],
    ['input.extra', Object.assign(Buffer.alloc(10), { extra: 1 })],
    ['input.extra', Object.assign(new Uint8Array(10_000), { extra: 1 })],
    ['input.extra', Object.assign(new DataView(new ArrayBuffer(1)), { extra: 1 })],
    ['input.extra', Object.assign(new Date(), { extra: 1 })],
    ['input.extra', Object.assign(new Map(), { extra: 1 })],
    ['input.extra', Object.assign(/x/, { extra: 1 })],
    ['input[Symbol(tag)]', Object.assign(new Set(), { [Symbol('tag')]: 1 })],
    ['input.groups.index', { groups: /a/.exec('a') }],
  ];

  test.each(refused)('P3 %s', (path, value) => {
    expect(refusalOf(value).path).toBe(path);
  });

  test('P3 a URL and subclasses of standard errors pass', () => {
    class QuotaError extends RangeError {
      readonly limit = 3;
      override name = 'QuotaError';
    }
    class Inherited extends TypeError {
      override get name() {
        return 'Inherited';
      }
    }
    const [quota, inherited] = there([new QuotaError('full'), new Inherited('odd')]);
    expect(quota).toBeInstanceOf(RangeError);
    expect(quota).toMatchObject({ name: 'QuotaError', message: 'full', limit: 3 });
    expect(inherited).toBeInstanceOf(TypeError);
    expect(inherited).toMatchObject({ name: 'Inherited', message: 'odd' });
    expect(Object.keys(inherited as Error)).toEqual([]);
    expect(there({ at: new URL('http://a/b') }).at).toBeInstanceOf(URL);
  });
});

describe('P4 errors keep everything', () => {
  test('P4 name, message, stack, code, cause chain and own fields', () => {
    const inner = Object.assign(new RangeError('inner'), { code: 'E_INNER' });
    const error = Object.assign(new TypeError('outer', { cause: inner }), {
      code: 'E_OUTER',
      info: { at: new Date(1) },
    });
    const result = there(error);
    expect(types.isNativeError(result)).toBe(true);
    expect(result).toBeInstanceOf(TypeError);
    expect(result.stack).toBe(error.stack);
    expect(result).toMatchObject({ name: 'TypeError', message: 'outer', code: 'E_OUTER', info: { at: new Date(1) } });
    expect(result.cause).toBeInstanceOf(RangeError);
    expect(result.cause).toMatchObject({ message: 'inner', code: 'E_INNER', stack: inner.stack });
    expect(Object.keys(result)).toEqual(['code', 'info']);
  });

  test('P4 AggregateError keeps its errors', () => {
    const result = there(new AggregateError([new TypeError('one'), { two: 2 }], 'all'));
    expect(result).toBeInstanceOf(AggregateError);
    expect(result.errors[0]).toBeInstanceOf(TypeError);
    expect(result.errors[1]).toEqual({ two: 2 });
    expect(Object.keys(result)).toEqual([]);
  });

  test('P4 an own property that is undefined or missing', () => {
    expect(Object.hasOwn(there(new Error('x', { cause: undefined })), 'cause')).toBe(true);
    expect(Object.hasOwn(there(new Error('x')), 'cause')).toBe(false);
    const bare = new Error('x');
    delete bare.stack;
    expect(there(bare).stack).toBeUndefined();
  });

  test('P4 errors of ours come back as their class', () => {
    const cycle = there(new CycleError('round', ['a', 'b']));
    expect(cycle).toBeInstanceOf(CycleError);
    expect(cycle).toMatchObject({ name: 'CycleError', code: 'QM_CYCLE', path: ['a', 'b'] });
    expect(Object.hasOwn(cycle, 'name')).toBe(false);
    class Mine extends TimeoutError {
      readonly after = 5;
    }
    const mine = there(new Mine('late', { cause: 'why' }));
    expect(mine).toBeInstanceOf(TimeoutError);
    expect(mine).toMatchObject({ name: 'Mine', code: 'QM_TIMEOUT', after: 5, cause: 'why' });
    expect(there(new NonRetryableError('no'))).toBeInstanceOf(NonRetryableError);
  });

  test('P4 DOMException, as an aborted signal has it', () => {
    const { reason } = AbortSignal.abort() as { reason: DOMException };
    const result = there(reason);
    expect(result).toBeInstanceOf(DOMException);
    expect([result.name, result.message, result.code]).toEqual([reason.name, reason.message, reason.code]);
    expect(result.stack).toBe(reason.stack);
  });

  test('P4 getters of an error are read, its symbols left behind', () => {
    const error = Object.assign(new Error('x'), { [Symbol('made by')]: 'a library' });
    Object.defineProperty(error, 'errno', { get: () => -2, enumerable: true });
    expect(there(error)).toMatchObject({ message: 'x', errno: -2 });
  });

  test('P4 a code of ours on a foreign error does not make it one of ours', () => {
    const result = there(Object.assign(new Error('x'), { code: 'QM_TIMEOUT' }));
    expect(result).not.toBeInstanceOf(TimeoutError);
    expect(result).toMatchObject({ code: 'QM_TIMEOUT' });
  });
});

describe('P6 depth is bounded', () => {
  const nest = (levels: number, wrap: (inner: unknown) => unknown): unknown => {
    let value: unknown = wrap(1);
    for (let i = 1; i < levels; i++) value = wrap(value);
    return value;
  };
  const wraps: readonly (readonly [string, (inner: unknown) => unknown])[] = [
    ['objects', (next) => ({ next })],
    ['arrays', (inner) => [inner]],
    ['maps', (inner) => new Map([['k', inner]])],
    ['sets', (inner) => new Set([inner])],
    ['causes', (cause) => new Error('x', { cause })],
    ['objects without a prototype', (next) => Object.assign(Object.create(null) as object, { next })],
  ];

  test.each(wraps)('P6 20,000 %s are refused, as many as allowed pass', (_name, wrap) => {
    const error = refusalOf(nest(20_000, wrap));
    expect(error.path.length).toBeLessThan(200);
    expect(error.path).toMatch(/^input.*…$/);
    expect(() => encode(nest(MAX_DEPTH + 1, wrap))).toThrow(UnserializableError);
    let left: unknown = there(nest(MAX_DEPTH, wrap));
    let levels = 0;
    for (; typeof left === 'object' && left !== null; levels++) {
      if (left instanceof Error) left = left.cause;
      else if (left instanceof Map || left instanceof Set) [left] = left.values();
      else [left] = Object.values(left);
    }
    expect([levels, left]).toEqual([MAX_DEPTH, 1]);
  });

  test('P6 a value as deep as allowed beside binaries', () => {
    const value = nest(MAX_DEPTH - 1, (inner) => [inner]) as unknown[];
    const result = there({ value, data: [Buffer.from('x')] });
    expect(result.data).toEqual([Buffer.from('x')]);
  });
});

describe('proxies and job references', () => {
  class Handle {
    readonly ref: ProxyRef | JobRefInfo;
    constructor(ref: ProxyRef | JobRefInfo) {
      this.ref = ref;
    }
  }
  const proxyRef: ProxyRef = { id: 7, local: false, typeId: 'dict', name: 'settings' };
  const jobRef: JobRefInfo = { queue: 'default', id: 'run/job' };
  const asked: object[] = [];
  const here: CodecContext = {
    proxyRef(value) {
      asked.push(value);
      return value instanceof Handle && 'typeId' in value.ref ? value.ref : undefined;
    },
    jobRef: (value) => (value instanceof Handle && 'queue' in value.ref ? value.ref : undefined),
    proxy: (ref) => new Handle(ref),
    job: (ref) => new Handle(ref),
  };

  test('stand beside the bytes, each once, and keep their identity', () => {
    const proxy = new Handle(proxyRef);
    const job = new Handle(jobRef);
    const item = encode({ proxy, again: proxy, list: [job, { proxy }] }, here) as Packed;
    expect(item.proxies).toEqual([proxyRef]);
    expect(item.jobs).toEqual([jobRef]);
    expect(Buffer.from(item.bytes).includes('settings')).toBe(false);
    const result = decode(acrossTheWire(item), here) as {
      proxy: Handle;
      again: Handle;
      list: [Handle, { proxy: Handle }];
    };
    expect(result.proxy.ref).toEqual(proxyRef);
    expect(result.again).toBe(result.proxy);
    expect(result.list[1].proxy).toBe(result.proxy);
    expect(result.list[0].ref).toEqual(jobRef);
  });

  test('a job may give any value in its place', () => {
    const item = encode([new Handle(jobRef), [1], new Handle(jobRef)], here);
    const results = [undefined, { out: 1 }];
    expect(decode(item, { job: () => results.shift() })).toEqual([undefined, [1], { out: 1 }]);
  });

  test('without a context they are refused, and decoded as the references they are', () => {
    expect(refusalOf({ a: new Handle(proxyRef) }).path).toBe('input.a');
    expect(decode(encode([new Handle(proxyRef), new Handle(jobRef)], here))).toEqual([proxyRef, jobRef]);
  });

  test('only objects that are neither data nor built in are asked about', () => {
    asked.length = 0;
    for (const [, make] of rows) encode(make(), here);
    expect(asked).toEqual([]);
    expect(() => encode({ a: new Point() }, here)).toThrow(UnserializableError);
    expect(asked).toEqual([new Point()]);
  });

  test('a JavaScript Proxy may be a proxy', () => {
    const disguised = new Proxy({}, {});
    const context: CodecContext = { proxyRef: (value) => (value === disguised ? proxyRef : undefined) };
    expect((encode([disguised], context) as Packed).proxies).toEqual([proxyRef]);
  });

  test('an error of ours that the context throws passes unchanged', () => {
    const disposed: Error = new ProxyDisposedError('gone');
    const throws = (): never => {
      throw disposed;
    };
    expect(() => encode([new Point()], { proxyRef: throws })).toThrow(disposed);
    expect(() => decode(encode([new Handle(proxyRef)], here), { proxy: throws })).toThrow(disposed);
  });

  test('a position beyond the list is a ProtocolError', () => {
    const item = encode([new Handle(proxyRef), new Handle(jobRef)], here) as Packed;
    expect(() => decode(new Packed(item.bytes, [], item.jobs), here)).toThrow(ProtocolError);
    expect(() => decode(new Packed(item.bytes, item.proxies, []), here)).toThrow(ProtocolError);
  });
});

describe('straight into a frame and out of it', () => {
  test.each(rows)('P1 %s', (_name, make) => {
    const value = make();
    const writer = new Writer();
    expect(encodeTo(writer, value)).toBe(false);
    writer.item('next');
    const frame = Buffer.from(writer.take());
    const reader = new Reader(frame);
    const result = decodeFrom(reader);
    expect(reader.item()).toBe('next');
    frame.fill(0xff); // the socket's chunk goes its own way
    expect(isDeepStrictEqual(result, value)).toBe(true);
  });

  test('P2 a refused value leaves nothing in the frame', () => {
    const writer = new Writer();
    expect(() => encodeTo(writer, { a: [() => 1] }, {}, 'input')).toThrow(
      expect.objectContaining({ path: 'input.a[0]' }),
    );
    expect(writer.length).toBe(0);
  });

  test('says whether proxies or jobs are named', () => {
    const context: CodecContext = {
      proxyRef: () => ({ id: 1, local: false, typeId: 't', name: undefined }),
      proxy: ({ id }) => id,
    };
    const writer = new Writer();
    expect(encodeTo(writer, [new Point()], context)).toBe(true);
    expect(decodeFrom(new Reader(writer.take()), context)).toEqual([1]);
  });

  test('S8 bad bytes are a ProtocolError', () => {
    const writer = new Writer();
    writer.item(new Packed(Buffer.of(0xc1)));
    expect(() => decodeFrom(new Reader(writer.take()))).toThrow(ProtocolError);
  });
});

describe('a Buffer alone, which has a way of its own from 64 KiB on', () => {
  const LEAST = 1 << 16;
  const straight = (value: unknown): Uint8Array => {
    const writer = new Writer();
    expect(encodeTo(writer, value)).toBe(false);
    return (new Reader(writer.take()).item() as Packed).bytes;
  };

  test.each([LEAST - 1, LEAST, LEAST + 1, 3 * LEAST])('P1 %i bytes: as by the long way, and back', (length) => {
    const value = Buffer.from(new ArrayBuffer(length + 8), 3, length).fill(7);
    const bytes = straight(value);
    expect(Buffer.compare(bytes, packed(value).bytes)).toBe(0);
    for (const owns of [true, false]) {
      const writer = new Writer();
      writer.item(new Packed(bytes));
      const frame = Buffer.from(new Uint8Array(writer.take()).buffer);
      const back = decodeFrom(new Reader(frame, 0, frame.length, owns)) as Buffer;
      expect(isDeepStrictEqual(back, value)).toBe(true);
      frame.fill(0);
      // Where nobody else has the memory it stays there: from that size on.
      expect(back.equals(value)).toBe(!(owns && length >= LEAST));
    }
  });

  test('P2 what would be lost is refused as by the long way', () => {
    const extra = Object.assign(Buffer.alloc(LEAST), { extra: 1 });
    const refused: [Buffer, string][] = [
      [extra, 'an extra property'],
      [Object.assign(Buffer.alloc(LEAST), { [Symbol('s')]: 1 }), 'symbol'],
      [Buffer.from(new SharedArrayBuffer(LEAST)), 'a SharedArrayBuffer'],
      [
        Buffer.from(
          new (ArrayBuffer as never as new (n: number, o: object) => ArrayBuffer)(LEAST, { maxByteLength: 2 * LEAST }),
        ),
        'resizable',
      ],
    ];
    for (const [value, why] of refused) {
      expect(() => straight(value)).toThrow(why);
      expect(() => encode(value)).toThrow(why);
    }
    const subclass = Object.setPrototypeOf(Buffer.alloc(LEAST), Object.create(Buffer.prototype)) as Buffer;
    expect(() => straight(subclass)).toThrow(UnserializableError);
  });

  test('S8 with another length than its bytes it is a ProtocolError', () => {
    const bytes = Buffer.from(straight(Buffer.alloc(2 * LEAST)));
    for (const wrong of [bytes.subarray(0, -1), Buffer.concat([bytes, Buffer.of(0)])]) {
      const writer = new Writer();
      writer.item(new Packed(wrong));
      expect(() => decodeFrom(new Reader(writer.take()))).toThrow(ProtocolError);
    }
  });
});

describe('canonical bytes', () => {
  const same = (a: unknown, b: unknown): boolean => sameValue(encode(a), encode(b));

  test.each(rows)('are the same for the same: %s', (_name, make) => {
    const bytes = Buffer.from(canonical(make()));
    expect(bytes.equals(canonical(make()))).toBe(true);
    expect(bytes.equals(canonical(there(make())))).toBe(true);
    expect(same(make(), make())).toBe(true);
    expect(same([make()], [make(), 1])).toBe(false);
  });

  test('do not depend on the order of keys', () => {
    expect(same({ a: 1, b: { c: 1, d: [2] } }, { b: { d: [2], c: 1 }, a: 1 })).toBe(true);
    expect(same({ a: 1, b: 2 }, { a: 2, b: 1 })).toBe(false);
    expect(same(JSON.parse('{"__proto__":1,"a":2}'), JSON.parse('{"a":2,"__proto__":1}'))).toBe(true);
    const [one, two] = [new Error('x'), new Error('x')];
    expect(same(Object.assign(one, { a: 1, b: 2 }), Object.assign(two, { b: 2, a: 1 }))).toBe(true);
  });

  test('depend on the order in Map and Set', () => {
    expect(same(new Set([1, 2]), new Set([2, 1]))).toBe(false);
    expect(
      same(
        new Map([
          [1, 1],
          [2, 2],
        ]),
        new Map([
          [2, 2],
          [1, 1],
        ]),
      ),
    ).toBe(false);
  });

  test('do not tell one object from two that are equal', () => {
    const one = { x: new Date(1) };
    expect(same([one, one], [{ x: new Date(1) }, { x: new Date(1) }])).toBe(true);
    const memory = Uint8Array.of(1, 2);
    expect(same([memory, new Uint8Array(memory.buffer)], [Uint8Array.of(1, 2), Uint8Array.of(1, 2)])).toBe(true);
  });

  test('of values whose parts are shared 2^60 times are made in bounded time', () => {
    let value: unknown = { leaf: 1 };
    for (let i = 0; i < 60; i++) value = [value, value];
    expect(same(value, structuredClone(value))).toBe(true);
  });

  test('tell kinds apart', () => {
    const kinds = [
      {},
      [],
      new Map(),
      new Set(),
      Object.create(null) as object,
      Buffer.alloc(0),
      new Uint8Array(0),
      new Date(0),
      new ArrayBuffer(0),
    ];
    expect(new Set(kinds.map((kind) => Buffer.from(canonical(kind)).toString('hex'))).size).toBe(kinds.length);
    expect(same([undefined], [null])).toBe(false);
    expect(same([0], [-0])).toBe(false);
  });

  test('scalars are the same by SameValueZero', () => {
    expect(sameValue(0, -0)).toBe(true);
    expect(sameValue(Number.NaN, Number.NaN)).toBe(true);
    expect(sameValue(1, 1n)).toBe(false);
    expect(sameValue('a', encode(['a']))).toBe(false);
    expect(sameValue(undefined, null)).toBe(false);
  });

  test('count the references of proxies and jobs', () => {
    const bytes = packed({ a: 1 }).bytes;
    expect(sameValue(new Packed(bytes), new Packed(bytes))).toBe(true);
    const context = (id: number): CodecContext => ({
      proxyRef: () => ({ id, local: false, typeId: 't', name: undefined }),
    });
    const [one, again, two] = [1, 1, 2].map((id) => encode({ p: new Point() }, context(id))) as [Item, Item, Item];
    expect(sameValue(one, again)).toBe(true);
    expect(sameValue(one, two)).toBe(false);
    expect(canonical(new Point(), context(1))).not.toEqual(canonical(new Point(), context(2)));
    expect(() => canonical(new Point())).toThrow(UnserializableError);
  });
});

describe('S8 hostile bytes', () => {
  const refuse = (...bytes: number[]): void => {
    expect(() => decode(new Packed(Uint8Array.from(bytes))), Buffer.from(bytes).toString('hex')).toThrow(ProtocolError);
  };

  test('S8 a claimed size is compared with the bytes that are there', () => {
    refuse(0xdd, 0xff, 0xff, 0xff, 0xff); // an array of 4 G elements
    refuse(0xdf, 0xff, 0xff, 0xff, 0xff);
    refuse(0xdb, 0xff, 0xff, 0xff, 0xff, 0x61);
    refuse(0xc9, 0xff, 0xff, 0xff, 0xff, 0x02);
    refuse(0xdc, 0x00, 0x03, 0x01, 0x01);
    // Arrays in arrays that each claim all bytes that are left.
    const nested = Buffer.alloc(60_000, 0xdc);
    for (let i = 0; i + 3 <= nested.length; i += 3) nested.writeUInt16BE((nested.length - i - 3) / 3, i + 1);
    expect(() => decode(new Packed(nested))).toThrow(ProtocolError);
  });

  test('S8 a claimed number of properties is compared with those that are there', () => {
    refuse(0x93, 0xd4, 0x06, 0x07, 0xa5, ...Buffer.from('Error'), 0xce, 0x2d, 0xd5, 0x77, 0xb9);
    refuse(0x92, 0xd4, 0x06, 0x05, 0xcf, 0x00, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff); // an array of 2^53 - 1
  });

  test('S8 the same bytes are not copied for many owners', () => {
    const bytes = Buffer.from(packed([Buffer.from('ab'), Buffer.from('cd')]).bytes);
    bytes[bytes.indexOf(Buffer.of(0xcc, 0xff, 1)) + 2] = 0;
    expect(() => decode(new Packed(bytes))).toThrow(ProtocolError);
  });

  test('S8 nothing, too little, too much', () => {
    refuse();
    refuse(0x81, 0xa1, 0x61);
    refuse(0x01, 0x01);
    refuse(0xc1);
    refuse(0xc4, 0x01, 0x01);
  });

  test('S8 depth is bounded in the bytes too', () => {
    expect(() => decode(new Packed(Buffer.concat([Buffer.alloc(20_000, 0x91), Buffer.of(1)])))).toThrow(ProtocolError);
  });

  test('S8 __proto__ as a key of plain MessagePack is refused', () => {
    refuse(0x81, 0xa9, ...Buffer.from('__proto__'), 0x80);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  test('S8 sparse arrays take no room for their holes', () => {
    const sparse = Array.from({ length: 200 }, () => Object.assign([], { 29_999_999: 1 }));
    const before = process.memoryUsage().rss;
    const result = there(sparse);
    expect(process.memoryUsage().rss - before).toBeLessThan(200 << 20);
    expect(result.every((array) => array.length === 30_000_000 && Object.keys(array).length === 1)).toBe(true);
  });

  test('S8 an invalid pattern or address is a ProtocolError', () => {
    const spoil = (value: unknown, from: string, to: string): Packed => {
      const bytes = Buffer.from(packed(value).bytes);
      bytes.write(to, bytes.indexOf(from), 'latin1');
      return new Packed(bytes);
    };
    expect(() => decode(spoil(/abcd/, 'abcd', '(?<x'))).toThrow(ProtocolError);
    expect(() => decode(spoil(/abcd/gi, 'gi', 'qq'))).toThrow(ProtocolError);
    expect(() => decode(spoil(new URL('http://a/'), 'http', '////'))).toThrow(ProtocolError);
    expect(() => decode(spoil(new RangeError('x'), 'RangeError', 'Function()'))).toThrow(ProtocolError);
    expect(() => decode(spoil(new Error('x'), 'message', '__proto_'))).toThrow(ProtocolError);
  });
});

function refusalOf(value: unknown, root = 'input'): UnserializableError {
  try {
    encode(value, {}, root);
  } catch (error) {
    expect(error).toBeInstanceOf(UnserializableError);
    return error as UnserializableError;
  }
  throw new Error('was not refused');
}

/** Node.js 20 has them, its types of the language do not. */
function resizable(): ArrayBuffer {
  return Reflect.construct(ArrayBuffer, [1, { maxByteLength: 2 }]);
}

function detached(): ArrayBuffer {
  const memory = new ArrayBuffer(8);
  structuredClone(memory, { transfer: [memory] });
  return memory;
}
