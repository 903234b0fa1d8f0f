/**
 * One run of the benchmarks: what was asked for, and the rounds. In a round every entrant runs once, one after the
 * other, so that what disturbs the machine for a while disturbs them all.
 */
import { fileURLToPath, pathToFileURL } from 'node:url';
import { median } from '../statistics.mjs';
import { ProgramFailed, runProgram } from './program.mjs';

/**
 * @typedef {import('./program.mjs').Program} Program
 * @typedef {import('./program.mjs').Figures} Figures
 *
 * @typedef {object} Settings
 * @property {boolean} quick small sizes and one round: whether it works, not how fast
 * @property {boolean} full the largest sizes
 * @property {number | undefined} rounds instead of each workload's own number
 * @property {number | undefined} timeout ms for one program, instead of each workload's own
 * @property {string | undefined} tasks another tasks module for the workers
 * @property {boolean} peers also those that have to be installed
 * @property {readonly string[]} patterns of graphs; none: all
 *
 * @typedef {object} Entrant
 * @property {string} key how results name it
 * @property {string} label how readers see it
 * @property {Program} program
 * @property {number} [rounds] at most: for one that takes very long
 *
 * @typedef {object} Result
 * @property {string} label
 * @property {Figures[]} rounds none where one of its rounds failed
 * @typedef {Record<string, Result>} Results by key
 */

/** For one program (ms). */
const TIMEOUT = 180_000;

export class Bench {
  /** @readonly @type {Settings} */
  settings;
  /** What has failed, in words. @type {string[]} */
  #failures = [];

  /** @param {Settings} settings */
  constructor(settings) {
    this.settings = settings;
  }

  /** What has failed since this was asked for the last time. */
  takeFailures() {
    return this.#failures.splice(0);
  }

  /**
   * An entrant that fails in a round is out of the race: it has no figures, and the others go on.
   *
   * @param {string} title for the lines that tell how far it is
   * @param {readonly Entrant[]} entrants
   * @param {{ rounds: number, timeout?: number }} options
   * @returns {Promise<Results>}
   */
  async rounds(title, entrants, options) {
    const rounds = this.settings.quick ? 1 : (this.settings.rounds ?? options.rounds);
    const timeout = this.settings.timeout ?? options.timeout ?? TIMEOUT;
    /** @type {Results} */
    const results = Object.fromEntries(entrants.map(({ key, label }) => [key, { label, rounds: [] }]));
    const running = new Set(entrants);
    for (let round = 1; round <= rounds; round++) {
      console.error(`${title}: round ${round} of ${rounds}`);
      for (const entrant of running) {
        const { key, label, program, rounds: most = rounds } = entrant;
        if (round > most) continue;
        try {
          results[key].rounds.push(await runProgram(`${title}: ${label}`, program, timeout));
        } catch (error) {
          if (!(error instanceof ProgramFailed)) throw error;
          console.error(error.message);
          this.#failures.push(error.message);
          running.delete(entrant);
          results[key] = { label: `${label} (failed)`, rounds: [] };
        }
      }
    }
    return results;
  }

  /** Steps of the limit's spin in a µs, on this machine, with two cores busy. */
  async spinRate() {
    const { rate } = await runProgram('the rate of the spin', this.ours('spin-rate'), TIMEOUT);
    return rate;
  }

  /**
   * A program of ours. The handlers are named to those that start workers only.
   *
   * @param {string} name
   * @param {Record<string, string | number>} given
   * @param {{ workers?: boolean }} [options]
   * @returns {Program}
   */
  ours(name, given = {}, { workers = false } = {}) {
    const { tasks } = this.settings;
    const all = workers && tasks !== undefined ? { ...given, tasks } : given;
    return { args: [file(`ours/${name}.mjs`), ...pairs(all)] };
  }
}

/**
 * A program of somebody else's, written for Node.js.
 *
 * @param {string} name
 * @param {Record<string, string | number>} given
 * @returns {Program}
 */
export function peer(name, given) {
  return { args: [file(`peers/${name}.mjs`), ...pairs(given)] };
}

/**
 * A limit program, with a count of its CPU: `workload` is its own name for it.
 *
 * @param {'limit_mgr' | 'limit_net' | 'limit_static'} script
 * @param {string} workload
 * @param {Record<string, string | number>} given
 * @returns {Program}
 */
export function limit(script, workload, given) {
  const probe = pathToFileURL(file('peers/limit-cpu.mjs')).href;
  return { args: ['--import', probe, file(`limit/scripts/${script}.mjs`), workload, ...pairs(given)] };
}

/**
 * @param {Result} result
 * @param {string} key of its figures
 */
export function medianOf({ rounds }, key) {
  return median(rounds.map((figures) => figures[key]));
}

/**
 * The median of the ratios of each round: `over` ÷ `under`, the best of them where there are several. NaN where there
 * are none.
 *
 * @param {Result} over
 * @param {string} key
 * @param {...Result} under
 */
export function ratio(over, key, ...under) {
  const ratios = over.rounds.flatMap((figures, round) => {
    const others = under.flatMap(({ rounds }) => rounds[round]?.[key] ?? []);
    return others.length === 0 ? [] : [figures[key] / Math.max(...others)];
  });
  return median(ratios);
}

/**
 * The same results, with the CPU that each process has used (seconds) in µs for each of `count`, and their sum.
 *
 * @param {Results} results
 * @param {number} count
 * @returns {Results}
 */
export function withCpuEach(results, count) {
  const each = (/** @type {number} */ seconds) => (seconds * 1e6) / count;
  const entries = Object.entries(results).map(([key, { label, rounds }]) => {
    const converted = rounds.map((figures) => {
      const [cpuMain, cpuManager, cpuWorkers] = [figures.cpuMain, figures.cpuManager, figures.cpuWorkers].map(each);
      return { ...figures, cpuMain, cpuManager, cpuWorkers, cpu: cpuMain + cpuManager + cpuWorkers };
    });
    return [key, { label, rounds: converted }];
  });
  return Object.fromEntries(entries);
}

/** @param {string} name below bench/ */
export function file(name) {
  return fileURLToPath(new URL(`../${name}`, import.meta.url));
}

/** @param {Record<string, string | number>} given */
function pairs(given) {
  return Object.entries(given).map(([key, value]) => `${key}=${value}`);
}
