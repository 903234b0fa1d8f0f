/**
 * The client's half of `compareAndSet`. The manager compares bytes. Where two packed values differ in bytes they may
 * still be the same value with its keys in another order: then the manager shows the current one, and if its content is
 * what was expected, the call is made again with exactly those bytes.
 */
import type { Item } from '../protocol/wire.ts';

export async function compareAndSet(
  call: (expected: Item, next: Item) => Promise<Item>,
  expected: Item,
  next: Item,
  same: (a: Item, b: Item) => boolean,
): Promise<boolean> {
  let wanted = expected;
  for (;;) {
    const answer = await call(wanted, next);
    if (typeof answer === 'boolean') return answer;
    const current = Array.isArray(answer) ? (answer[0] as Item) : undefined;
    if (!same(current, expected)) return false;
    wanted = current;
  }
}
