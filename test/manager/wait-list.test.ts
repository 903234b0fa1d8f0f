import fc from 'fast-check';
import { expect, test } from 'vitest';
import { WaitList } from '#qm/manager/wait-list.js';

test('first come, first served, whoever leaves: like an array, step by step', () => {
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('add' as const) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('leave' as const), which: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('shift' as const) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const list = new WaitList<number>();
      let model: number[] = [];
      const leaves: (() => boolean)[] = [];
      for (const { kind, ...rest } of steps) {
        if (kind === 'add') {
          const value = leaves.length;
          leaves.push(list.add(value));
          model.push(value);
        } else if (kind === 'shift') {
          expect(list.shift()).toBe(model.shift());
        } else if (leaves.length > 0) {
          const value = (rest as { which: number }).which % leaves.length;
          expect(leaves[value]!()).toBe(model.includes(value));
          model = model.filter((each) => each !== value);
        }
        expect([list.size, list.peek(), ...list]).toEqual([model.length, model[0], ...model]);
      }
    }),
  );
});

test('a value that is undefined waits like any other', () => {
  const list = new WaitList<undefined>();
  const leave = list.add(undefined);
  expect(list.size).toBe(1);
  expect([leave(), leave()]).toEqual([true, false]);
  expect(list.size).toBe(0);
});
