/** The two containers under the queue, beside plain arrays. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Deque } from '#qm/queue/deque.js';
import { Heap } from '#qm/queue/heap.js';

test('a deque does what an array does', () => {
  const operations = fc.array(
    fc.oneof(
      { weight: 3, arbitrary: fc.constant('push' as const) },
      fc.constantFrom('unshift' as const, 'shift' as const, 'pop' as const),
      { weight: 1, arbitrary: fc.constant('fill' as const) },
    ),
    { maxLength: 200 },
  );
  fc.assert(
    fc.property(operations, (list) => {
      const deque = new Deque<number>();
      const array: number[] = [];
      let next = 0;
      for (const operation of list) {
        switch (operation) {
          case 'push':
          case 'unshift':
            deque[operation](next);
            array[operation](next++);
            break;
          case 'fill':
            for (let i = 0; i < 20; i++) {
              deque.push(next);
              array.push(next++);
            }
            break;
          default:
            expect(deque[operation]()).toBe(array[operation]());
        }
        expect([deque.size, deque.peek(), [...deque]]).toEqual([array.length, array[0], array]);
      }
    }),
  );
});

test('a deque that was large and has emptied starts small again, and is as good as new', () => {
  const deque = new Deque<number>();
  for (let i = 0; i < 10_000; i++) deque.push(i);
  for (let i = 0; i < 10_000; i++) expect(deque.shift()).toBe(i);
  expect(deque.shift()).toBeUndefined();
  deque.push(1);
  deque.unshift(0);
  expect([...deque]).toEqual([0, 1]);
  deque.clear();
  expect([deque.size, deque.pop(), deque.peek()]).toEqual([0, undefined, undefined]);
});

test('a heap gives back what it was given, least first', () => {
  const operations = fc.array(fc.option(fc.integer({ min: 0, max: 50 }), { freq: 3 }), { maxLength: 300 });
  fc.assert(
    fc.property(operations, (list) => {
      const heap = new Heap<number>((a, b) => a < b);
      let array: number[] = [];
      for (const value of list) {
        if (value === null) {
          expect(heap.pop()).toBe(array.shift());
        } else {
          heap.push(value);
          array = [...array, value].toSorted((a, b) => a - b);
        }
        expect([heap.size, heap.peek()]).toEqual([array.length, array[0]]);
      }
      expect([...heap.values()].toSorted((a, b) => a - b)).toEqual(array);
    }),
  );
});
