/** The jobs of a small report: each gets the outputs of the jobs before it as part of its input. */
import { defineTasks } from 'quartermaster';

const pages: Readonly<Record<string, string>> = {
  home: 'the lock and the queue and the dict',
  about: 'a queue is a line, a lock is a door',
};

export default defineTasks({
  fetch: (page: string) => pages[page] ?? '',
  count: ({ text }: { text: string }) => {
    const counts: Record<string, number> = {};
    for (const word of text.match(/\w+/g) ?? []) counts[word] = (counts[word] ?? 0) + 1;
    return counts;
  },
  merge: ({ all }: { all: Record<string, number>[] }) => {
    const merged: Record<string, number> = {};
    for (const counts of all) {
      for (const [word, count] of Object.entries(counts)) merged[word] = (merged[word] ?? 0) + count;
    }
    return merged;
  },
  top: ({ counts, most }: { counts: Record<string, number>; most: number }) =>
    Object.entries(counts)
      .sort(([a, x], [b, y]) => y - x || a.localeCompare(b))
      .slice(0, most),
});
