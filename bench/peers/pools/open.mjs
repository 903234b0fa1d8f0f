/**
 * Every peer as the same thing: a pool that runs an operation of operations.mjs on an input. One file each, loaded where
 * it is asked for.
 */

/**
 * @typedef {object} Pool
 * @property {(operation: string, input: unknown) => Promise<unknown>} run
 * @property {(bytes: Buffer) => Promise<unknown>} [echo] where bytes need care
 * @property {readonly number[]} [workers] its worker processes; none: they are threads, and their CPU is this process's
 * @property {number} [manager] a process between
 * @property {() => Promise<unknown>} close
 */

/**
 * @param {string} name of a file beside this one
 * @param {number} workers
 * @returns {Promise<Pool>}
 */
export async function openPool(name, workers) {
  const { open } = await import(new URL(`${name}.mjs`, import.meta.url).href);
  return open(workers);
}
