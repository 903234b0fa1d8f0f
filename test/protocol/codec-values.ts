/** One row for each kind of value: shared by the table test and the mutations of hostile bytes. */
import { CycleError, NonRetryableError, WorkerLostError } from '#qm/errors.js';

export type Row = readonly [name: string, make: () => unknown];

const object = Object.freeze({ a: 1 });

export const rows: readonly Row[] = [
  ['undefined', () => undefined],
  ['null', () => null],
  ['booleans', () => [true, false]],
  ['integers of every width', () => [0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]],
  ['negative integers of every width', () => [-1, -32, -33, -128, -129, -32_768, -32_769, -(2 ** 31), -(2 ** 53) + 1]],
  ['numbers beyond the safe integers', () => [2 ** 53, 1e300, -1e300, Number.MAX_VALUE, Number.MIN_VALUE]],
  ['fractions', () => [0.1, -1.5, Math.PI]],
  ['-0', () => ({ a: -0, b: [-0, 0] })],
  ['NaN and the infinities', () => [Number.NaN, Infinity, -Infinity]],
  ['bigints', () => [0n, 1n, -1n, 255n, 256n, 2n ** 64n, -(2n ** 64n), 10n ** 400n]],
  ['undefined inside', () => ({ a: undefined, b: [undefined, null, undefined] })],
  ['short strings', () => ['', 'a', 'é', '€', '😀', '\u0000']],
  ['strings of every length', () => Array.from({ length: 300 }, (_, length) => 'a'.repeat(length))],
  ['strings of every length beyond ASCII', () => Array.from({ length: 300 }, (_, length) => 'é😀€'.repeat(length))],
  ['lone surrogates', () => Array.from({ length: 260 }, (_, length) => `${'x'.repeat(length)}\ud800`)],
  [
    'lone surrogates the wrong way round',
    () => Array.from({ length: 260 }, (_, length) => '\udc00\ud800'.repeat(length)),
  ],
  ['a byte order mark in front', () => Array.from({ length: 260 }, (_, length) => `\ufeff${'é'.repeat(length)}`)],
  ['a string of a megabyte', () => ['€'.repeat(350_000)]],
  ['plain objects', () => ({ a: 1, b: { c: { d: 'x' } }, e: {} })],
  ['keys in their order', () => ({ z: 1, a: 2, 10: 3, 9: 4, '': 5, 'a b': 6 })],
  ['odd keys', () => ({ constructor: 1, toString: 2, ['\ud800'.repeat(40)]: 3, [`\ufeff${'x'.repeat(300)}`]: 4 })],
  ['an own __proto__', () => JSON.parse('{"__proto__":{"polluted":true},"b":[{"__proto__":1}]}') as unknown],
  ['objects without a prototype', () => Object.assign(Object.create(null) as object, { a: 1, b: { c: 1 } })],
  ['no prototype and an own __proto__', () => Object.assign(Object.create(null) as object, { ['__proto__']: 1, x: 2 })],
  ['arrays', () => [[], [1], [[2]], Array.from({ length: 70_000 }, (_, i) => i)]],
  // oxlint-disable-next-line no-sparse-arrays
  ['arrays with holes', () => [[, 1, , undefined], [, ,], { a: [1, , 3] }]],
  ['sparse arrays', () => [Object.assign([], { length: 4_000_000_000 }), Object.assign([], { 4_294_967_294: 'last' })]],
  ['a sparse array around elements', () => Object.assign([1, 2, 3], { 900_000: { a: 1 } })],
  ['half an array of holes', () => Object.assign(Array.from({ length: 1_000 }).fill(1), { length: 1_900 })],
  [
    'Map',
    () =>
      new Map<unknown, unknown>([
        [1, 'a'],
        ['b', new Map()],
        [{ k: 1 }, undefined],
        [Number.NaN, -0],
      ]),
  ],
  ['Set', () => new Set<unknown>([1, 'a', { b: 1 }, new Set([undefined]), [1]])],
  ['Date', () => [new Date(0), new Date(-1), new Date(8.64e15), new Date('2024-02-29T12:00:00.123Z')]],
  ['RegExp', () => [/a/, /(?:)/dgimsuy, /[\]/\n]/, new RegExp('\ud800'), Object.assign(/x/g, { lastIndex: 7 })]],
  ['URL', () => [new URL('https://user:pw@exämple.org:8080/ä b?q=1#h'), new URL('data:,x'), new URL('file:///a')]],
  ['Buffer', () => [Buffer.from('hello'), Buffer.alloc(0), Buffer.alloc(10_000, 7)]],
  ['Uint8Array', () => Uint8Array.of(0, 1, 255)],
  ['Int8Array', () => Int8Array.of(0, -1, 127)],
  ['Uint8ClampedArray', () => Uint8ClampedArray.of(0, 255)],
  ['Int16Array', () => Int16Array.of(-1, 300)],
  ['Uint16Array', () => Uint16Array.of(1, 65_535)],
  ['Int32Array', () => Int32Array.of(-1, 2 ** 30)],
  ['Uint32Array', () => Uint32Array.of(1, 2 ** 32 - 1)],
  ['Float32Array', () => Float32Array.of(0.5, -0, Number.NaN)],
  ['Float64Array', () => Float64Array.of(0.1, -0, Number.NaN, Infinity)],
  ['BigInt64Array', () => BigInt64Array.of(-1n, 2n ** 62n)],
  ['BigUint64Array', () => BigUint64Array.of(1n, 2n ** 64n - 1n)],
  ['DataView', () => new DataView(Uint8Array.of(1, 2, 3, 4).buffer, 1, 2)],
  ['ArrayBuffer', () => [Uint8Array.of(1, 2, 3).buffer, new ArrayBuffer(0)]],
  ['Error', () => new Error('plain')],
  ['Error without a message', () => new Error()],
  [
    'errors of every standard kind',
    () => [EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError].map((Kind) => new Kind('m')),
  ],
  ['AggregateError', () => new AggregateError([new TypeError('one'), 2, 'three'], 'all', { cause: 'why' })],
  [
    'an error with code, cause and fields',
    () =>
      Object.assign(new Error('m', { cause: new RangeError('inner', { cause: 1 }) }), {
        code: 'E_X',
        info: { at: new Date(1) },
      }),
  ],
  ['DOMException', () => new DOMException('stopped', 'AbortError')],
  ['an error of ours', () => new CycleError('round', ['a', 'b', 'a'], { cause: new Error('x') })],
  ['an error of ours with undefined fields', () => new WorkerLostError('gone', { pid: 7, signal: 'SIGKILL' })],
  ['NonRetryableError', () => new NonRetryableError('no')],
  ['shared references', () => ({ a: object, b: object, list: [object, object] })],
  ['many objects', () => Array.from({ length: 500 }, (_, i) => ({ i }))],
  ['a shared reference among many objects', () => [...Array.from({ length: 50 }, (_, i) => ({ i })), object, object]],
];
