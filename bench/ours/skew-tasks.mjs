/** Tasks of a fixed amount of work, as the limit program's: it does not get less while its process has to wait. */
import { defineTasks } from 'quartermaster';
import { spin, warmSpin } from '../limit/lib/common.mjs';

warmSpin();

export default defineTasks({
  /** @param {number} us about that long, on a core of its own */
  spin: (us) => {
    spin(us);
    return us;
  },
});
