/**
 * What the chaos run's workers run. Every execution writes its own effects into the log: one line, one write() of a
 * file that is only appended to, with a time of the machine's monotonic clock, which all its processes share.
 *
 *     start  <task> <attempt> <pid> <ns>
 *     end    <task> <attempt> <pid> <ns>
 *     exit   <task> <attempt> <pid> <ns>     it ends its process in the middle of the task
 */
import { openSync, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { defineTasks } from 'quartermaster';

const log = openSync(process.env.EFFECTS, 'a');

function effect(what, { id, attempt }) {
  writeSync(log, `${what} ${id} ${attempt} ${process.pid} ${process.hrtime.bigint()}\n`);
}

export default defineTasks({
  /** At once, mostly; some wait, some keep the thread busy, some end their process the first time. */
  async job({ i, wait, spin, exits }, context) {
    effect('start', context);
    if (wait > 0) await delay(wait);
    for (const end = performance.now() + spin; performance.now() < end;);
    if (exits !== undefined && context.attempt === 1) {
      effect('exit', context);
      process.exit(exits);
    }
    effect('end', context);
    return i * 2 + 1;
  },

  /** Nothing but the effects: a synchronous handler. */
  quick({ i }, context) {
    effect('start', context);
    effect('end', context);
    return i * 2 + 1;
  },
});
