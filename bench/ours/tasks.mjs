/** The handlers that the workers of the benchmarks run. */
import { defineTasks } from 'quartermaster';

export default defineTasks({
  /** @param {{ i: number }} input */
  noop: ({ i }) => i + 1,

  /** @param {Buffer} bytes */
  echo: (bytes) => bytes,

  /**
   * The first attempt tells where it runs, again and again, and never ends: its worker is to be killed. The second says
   * when it started, by the clock that all processes of a host share.
   *
   * @param {undefined} _input
   * @param {import('quartermaster').TaskContext} context
   */
  startsAgain: async (_input, context) => {
    const startedAt = process.hrtime.bigint();
    const { attempt, pid } = context;
    if (attempt > 1) return { attempt, pid, startedAt };
    setInterval(() => context.progress(pid), 1);
    return new Promise(() => {});
  },
});
