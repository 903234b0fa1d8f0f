/**
 * What every measured program does alike: it is given its parameters as `key=value`, checks what it has timed, and says
 * its figures as one line of JSON, the last of its output. It throws where a result is wrong, and ends by itself.
 */
import { writeSync } from 'node:fs';

/**
 * The parameters of this program: `defaults`, with what the command line says instead. Numbers stay numbers.
 *
 * @template {Record<string, string | number>} P
 * @param {P} defaults
 * @returns {P}
 */
export function parameters(defaults) {
  /** @type {Record<string, string | number>} */
  const given = { ...defaults };
  for (const argument of process.argv.slice(2)) {
    const at = argument.indexOf('=');
    const key = argument.slice(0, at);
    if (!(key in defaults))
      throw new TypeError(`there is no parameter '${key}'; there are ${Object.keys(defaults).join(', ')}`);
    given[key] = typeof defaults[key] === 'number' ? Number(argument.slice(at + 1)) : argument.slice(at + 1);
  }
  return /** @type {P} */ (given);
}

/** @param {Record<string, number>} figures NaN: could not be measured here */
export function report(figures) {
  writeSync(1, `${JSON.stringify(figures)}\n`);
}

/**
 * @param {boolean} right
 * @param {string} what
 * @returns {asserts right}
 */
export function check(right, what) {
  if (!right) throw new Error(`wrong result: ${what}`);
}

/**
 * Every result of `{ i } → i + 1`.
 *
 * @param {readonly unknown[]} results
 * @param {number} n
 */
export function checkNoops(results, n) {
  check(results.length === n, `${results.length} results of ${n} tasks`);
  for (let i = 0; i < n; i++) check(results[i] === i + 1, `task ${i} gave ${String(results[i])}, not ${i + 1}`);
}

/**
 * T5: `echo` is given a Buffer of `size` bytes, `n` times, each once the last has come back; every byte is compared.
 * The first `warmUp` are not timed.
 *
 * @param {(bytes: Buffer) => Promise<unknown>} echo
 * @param {number} n
 * @param {number} size
 * @param {number} warmUp
 * @returns {Promise<{ seconds: number, mbPerSec: number }>} of the echoes alone; a byte that went there and back counts once
 */
export async function timeEchoes(echo, n, size, warmUp) {
  const bytes = Buffer.alloc(size);
  for (let i = 0; i < size; i += 4096) bytes.fill(i / 4096, i, i + 4096);
  let ms = 0;
  for (let i = -warmUp; i < n; i++) {
    bytes.writeInt32LE(i, 0);
    bytes.writeInt32LE(i, size - 4);
    const start = performance.now();
    const back = await echo(bytes);
    if (i >= 0) ms += performance.now() - start;
    check(Buffer.isBuffer(back) && bytes.equals(back), `echo ${i} of ${n} is not what was sent`);
  }
  return { seconds: ms / 1000, mbPerSec: (n * size) / 1e3 / ms };
}
