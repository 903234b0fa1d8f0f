import { expect, test } from 'vitest';
import { medianOf, ratio } from '../../bench/harness/bench.mjs';
import { inUnit, target, verdict, wanted, type Bound } from '../../bench/harness/target.mjs';
import { median, quantile } from '../../bench/statistics.mjs';

const must = { unit: 'ratio', atLeast: 0.5, floor: 0.35, aim: 0.7 } as const;

test.each<[number, Bound, string]>([
  [0.7, must, 'met'],
  [0.5, must, 'met, aim missed by 29%'],
  [0.4, must, 'missed by 20%, above the floor'],
  [0.3, must, 'missed by 40%'],
  [0.499, must, 'missed by less than 1%, above the floor'],
  [1.15, { unit: 'ratio', atMost: 1.15 }, 'met'],
  [2.3, { unit: 'ratio', atMost: 1.15 }, 'missed by 100%'],
  [20, { unit: 'µs', aim: 25 }, 'aim met'],
  [30, { unit: 'µs', aim: 25 }, 'aim missed by 20%'],
  [0.8, { unit: 'ratio', aim: 0.7, more: true }, 'aim met'],
  [0.35, { unit: 'ratio', aim: 0.7, more: true }, 'aim missed by 50%'],
  [3, { unit: 'ratio' }, 'no target'],
  [NaN, must, 'not measured'],
])('%d against %o: %s', (value, bound, expected) => {
  expect(verdict(target('it', value, bound))).toBe(expected);
});

test('a bound is written with its sign and its unit', () => {
  expect(wanted(target('it', 1, must))).toBe('≥ 0.5, floor 0.35, aim ≥ 0.7');
  expect(wanted(target('it', 1, { unit: 'perSecond', atLeast: 200_000 }))).toBe('≥ 200,000/s');
  expect(wanted(target('it', 1, { unit: 'µs', aim: 25 }))).toBe('aim ≤ 25 µs');
  expect(wanted(target('it', 1, { unit: 'ratio', aim: 0.7, more: true }))).toBe('aim ≥ 0.7');
  expect(wanted(target('it', 1, { unit: 'ratio' }))).toBe('–');
  expect([inUnit(1234.5, 'ms'), inUnit(1.2345, 'ms'), inUnit(399.6, 'bytes'), inUnit(NaN, 'ms')]).toEqual([
    '1,235 ms',
    '1.23 ms',
    '400 B',
    '–',
  ]);
});

test('a ratio is the median of the ratios of each round, over the best of several', () => {
  const of = (...perSec: number[]) => ({ label: 'it', rounds: perSec.map((value) => ({ perSec: value })) });
  const ours = of(10, 20, 90);
  expect(ratio(ours, 'perSec', of(10, 10, 100))).toBe(1);
  expect(ratio(ours, 'perSec', of(10, 10, 100), of(1, 100, 1))).toBe(0.9);
  expect(ratio(ours, 'perSec', of(5, 5), of())).toBe(3); // of the rounds that both took part in
  expect(ratio(ours, 'perSec', of())).toBeNaN();
  expect(medianOf(ours, 'perSec')).toBe(20);
});

test('median and quantile', () => {
  expect([median([3, 1, 2]), median([4, 1, 2, 3]), median([7])]).toEqual([2, 2.5, 7]);
  const values = Array.from({ length: 100 }, (_, i) => 100 - i);
  expect([quantile(values, 0.5), quantile(values, 0.99), quantile(values, 1), quantile([5], 0.99)]).toEqual([
    51, 100, 100, 5,
  ]);
});
