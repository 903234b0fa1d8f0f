import { Tinypool } from 'tinypool';

/** @param {number} workers */
export function open(workers) {
  const filename = new URL('worker.mjs', import.meta.url).href;
  const pool = new Tinypool({ filename, minThreads: workers, maxThreads: workers });
  return {
    run: (/** @type {string} */ operation, /** @type {unknown} */ input) => pool.run({ operation, input }),
    close: () => pool.destroy(),
  };
}
