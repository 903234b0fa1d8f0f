/** The jobs of graphs: a fixed amount of work, nothing, and when it started by the clock that all processes share. */
import { defineTasks } from 'quartermaster';
import { spin, warmSpin } from '../limit/lib/common.mjs';

warmSpin();

export default defineTasks({
  /** @param {number} us about that long, on a core of its own */
  spin: (us) => {
    spin(us);
    return us;
  },
  nothing: () => {},
  startedAt: () => process.hrtime.bigint(),
});
