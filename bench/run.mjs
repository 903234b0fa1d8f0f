/**
 * The benchmarks: `npm run bench -- [T1 T3 …] [options]`. Prints a table for each workload, with the limit and the peers
 * of the same run beside ours and the targets below; exits with 1 where a result was wrong or a program did not end,
 * never because a target was missed.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Bench } from './harness/bench.mjs';
import { thisMachine } from './harness/machine.mjs';
import { ProgramFailed } from './harness/program.mjs';
import { toJson, toMarkdown } from './harness/report.mjs';
import { workloads } from './workloads/all.mjs';

const USAGE = `npm run bench -- [workloads] [options]

${workloads.map(({ id, title }) => `  ${id.padEnd(4)} ${title}`).join('\n')}

  --rounds N       instead of each workload's own number
  --quick          small sizes, one round: whether it works, not how fast
  --full           the largest sizes: T9 with 1,000,000 tasks
  --json FILE      the figures of every round
  --markdown FILE  what is printed
  --timeout MS     for one program
  --tasks FILE     run the handlers of this tasks module: they must give the same results`;

process.exitCode = await main(process.argv.slice(2));

/**
 * @param {string[]} args
 * @returns {Promise<number>} the exit code
 */
async function main(args) {
  if (process.platform === 'win32')
    return refuse('The limit programs speak over Unix sockets: the benchmarks do not run on Windows.');
  let asked;
  try {
    asked = askedFor(args);
  } catch (error) {
    return refuse(`${/** @type {Error} */ (error).message}\n\n${USAGE}`);
  }
  if (asked.help) {
    console.log(USAGE);
    return 0;
  }
  const machine = thisMachine();
  const bench = new Bench(asked.settings);
  const sections = [];
  for (const workload of asked.chosen) sections.push(await sectionOf(workload, bench));
  const run = {
    command: ['npm run bench --', ...args].join(' '),
    made: new Date().toISOString().slice(0, 10),
    quick: asked.settings.quick,
    machine,
    sections,
  };
  const markdown = await toMarkdown(run);
  process.stdout.write(markdown);
  if (asked.json !== undefined) write(asked.json, toJson(run));
  if (asked.markdown !== undefined) write(asked.markdown, markdown);
  return sections.some(({ failure }) => failure !== undefined) ? 1 : 0;
}

/** @param {string[]} args */
function askedFor(args) {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      rounds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      full: { type: 'boolean', default: false },
      json: { type: 'string' },
      markdown: { type: 'string' },
      timeout: { type: 'string' },
      tasks: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const { quick = false, full = false, help = false, json, markdown, tasks } = values;
  for (const id of positionals) {
    if (!workloads.some((workload) => workload.id === id)) throw new TypeError(`There is no workload '${id}'.`);
  }
  const settings = {
    quick,
    full,
    rounds: wholeNumber('rounds', values.rounds),
    timeout: wholeNumber('timeout', values.timeout),
    tasks: tasks === undefined ? undefined : path.resolve(tasks),
  };
  const chosen = workloads.filter(({ id }) => positionals.length === 0 || positionals.includes(id));
  return { settings, chosen, help, json, markdown };
}

/**
 * @param {string} name
 * @param {string | undefined} text
 */
function wholeNumber(name, text) {
  if (text === undefined) return undefined;
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1) throw new TypeError(`--${name} must be a whole number of at least 1.`);
  return number;
}

/**
 * A workload that fails does not keep the others from being measured.
 *
 * @param {import('./workloads/all.mjs').Workload} workload
 * @param {Bench} bench
 * @returns {Promise<import('./harness/report.mjs').Section>}
 */
async function sectionOf({ id, title, about, run }, bench) {
  try {
    return { id, title, about, ...(await run(bench)) };
  } catch (error) {
    const failure = error instanceof ProgramFailed ? error.message : String(/** @type {Error} */ (error).stack);
    console.error(failure);
    return { id, title, about, tables: [], targets: [], failure };
  }
}

/**
 * @param {string} to
 * @param {string} text
 */
function write(to, text) {
  mkdirSync(path.dirname(path.resolve(to)), { recursive: true });
  writeFileSync(to, text);
}

/** @param {string} why */
function refuse(why) {
  console.error(why);
  return 2;
}
