/** What the workers of every peer run: the same as ours. */
import { spin, warmSpin } from '../limit/lib/common.mjs';

warmSpin();

/** @type {Record<string, (input: any) => unknown>} */
export const operations = {
  noop: ({ i }) => i + 1,
  noops: (all) => all.map((/** @type {{ i: number }} */ { i }) => i + 1),
  echo: (bytes) => bytes,
  spin: (us) => {
    spin(us);
    return us;
  },
};

/** @param {{ operation: string, input: unknown }} call */
export function perform({ operation, input }) {
  return operations[operation](input);
}
