/** Each part of a text is counted on its own, however many there are, and what was counted is added up. */
import { defineTasks, type TaskContext } from 'quartermaster';

export default defineTasks({
  lines: (text: string) => text.split('\n'),

  /** Puts a task for each line, and one that comes after all of them: what that outputs is this job's output. */
  count: async ({ lines }: { lines: string[] }, context: TaskContext) => {
    const counts = await Promise.all(lines.map((line) => context.put<number>('words', line)));
    return context.put<number>('sum', { counts });
  },

  words: (line: string) => line.match(/\w+/g)?.length ?? 0,
  sum: ({ counts }: { counts: number[] }) => counts.reduce((a, b) => a + b, 0),
  report: ({ words }: { words: number }) => `${words} words`,
});
