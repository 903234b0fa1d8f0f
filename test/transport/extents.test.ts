/** What is taken of a range, against a model that marks every page. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Extents } from '#qm/transport/extents.js';

const PAGE = 4096;
const PAGES = 40;

test('what is given overlaps nothing, is the lowest gap that fits, and all of it comes back', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          fc.record({ take: fc.integer({ min: 0, max: 9 * PAGE }) }),
          fc.record({ giveBack: fc.nat({ max: 1000 }) }),
        ),
        { maxLength: 120 },
      ),
      (steps) => {
        const extents = new Extents(PAGE, PAGE + PAGES * PAGE);
        const pages = new Array<boolean>(PAGES).fill(false);
        const taken: { offset: number; from: number; count: number }[] = [];
        const lowest = (count: number): number => {
          for (let from = 0; from + count <= PAGES; from++) {
            if (pages.slice(from, from + count).every((used) => !used)) return from;
          }
          return -1;
        };
        for (const step of steps) {
          if ('take' in step) {
            const count = Math.max(1, Math.ceil(step.take / PAGE));
            const from = lowest(count);
            const offset = extents.take(step.take);
            expect(offset).toBe(from === -1 ? undefined : PAGE + from * PAGE);
            if (offset === undefined) continue;
            pages.fill(true, from, from + count);
            taken.push({ offset, from, count });
          } else {
            const [one] = taken.splice(step.giveBack % Math.max(1, taken.length), 1);
            if (one === undefined) continue;
            expect(extents.giveBack(one.offset)).toBe(true);
            expect(extents.giveBack(one.offset)).toBe(false);
            pages.fill(false, one.from, one.from + one.count);
          }
          expect(extents.end).toBe(PAGE + (pages.lastIndexOf(true) + 1) * PAGE);
        }
        for (const { offset } of taken) expect(extents.giveBack(offset)).toBe(true);
        expect(extents.end).toBe(PAGE);
        expect(extents.take(PAGES * PAGE)).toBe(PAGE);
      },
    ),
  );
});

test('a range without room gives nothing', () => {
  expect(new Extents(PAGE, PAGE).take(1)).toBeUndefined();
});
