/** What the workers of the pool run. */
import { defineTasks } from 'quartermaster';

/** How many steps a number takes to 1 by Collatz's rule. */
function stepsOf(n: number): number {
  let steps = 0;
  for (let at = n; at !== 1; steps++) at = at % 2 === 0 ? at / 2 : 3 * at + 1;
  return steps;
}

export default defineTasks({
  steps: (n: number) => stepsOf(n),

  /** The longest way among the numbers of a range, found by halves: a task that puts tasks, and waits for them. */
  async longest({ from, to }: { from: number; to: number }, context): Promise<number> {
    if (to - from < 250) {
      let longest = 0;
      for (let n = from; n < to; n++) longest = Math.max(longest, stepsOf(n));
      return longest;
    }
    const middle = (from + to) >> 1;
    const halves = [
      await context.put<number>('longest', { from, to: middle }),
      await context.put<number>('longest', { from: middle, to }),
    ];
    return Math.max(...(await Promise.all(halves.map((half) => half.result()))));
  },
});
