/**
 * The benchmarks: `npm run bench -- [T1 T3 …] [options]`, and with the peers `npm run bench:peers -- …`. Prints a table
 * for each workload, with the limit and the peers of the same run beside ours and the targets below.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { patterns } from './graphs.mjs';
import { Bench } from './harness/bench.mjs';
import { toSvg } from './harness/chart.mjs';
import { thisMachine } from './harness/machine.mjs';
import { areInstalled, install } from './harness/peers.mjs';
import { withFigures } from './harness/readme.mjs';
import { formatted, toJson, toMarkdown } from './harness/report.mjs';
import { workloads } from './workloads/all.mjs';

const USAGE = `npm run bench -- [workloads] [options]

${workloads.map(({ id, title }) => `  ${id.padEnd(4)} ${title}`).join('\n')}

  --rounds N       instead of each workload's own number
  --quick          small sizes, one round: whether it works, not how fast
  --full           the largest sizes: T9 with 1,000,000 tasks
  --peers          also pools of others, which are installed below bench/peers first
  --json FILE      the figures of every round
  --markdown FILE  what is printed
  --charts FOLDER  an SVG for each workload that has a chart: t1.svg, …
  --readme FILE    puts the figures of T1 into the part of the file that is made for them
  --timeout MS     for one program
  --pattern NAME   of T7's graphs only that one; may be given several times
  --tasks FILE     run the handlers of this tasks module: they must give the same results

Exit code 0: all was measured, and every result was right; a target that was missed is no failure.
1: a result was wrong, or a program failed or did not end; what else was measured is there all the same.
2: what was asked for makes no sense, or cannot be had here. 130, 143: ended by SIGINT, SIGTERM, with all it had started.`;

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
  try {
    if (asked.settings.peers) install();
  } catch (error) {
    return refuse(/** @type {Error} */ (error).message);
  }
  if (asked.charts !== undefined && !areInstalled())
    return refuse('--charts needs what `npm run bench:peers` installs: use that command, or add --peers.');
  const machine = thisMachine();
  const bench = new Bench(asked.settings);
  const sections = [];
  for (const workload of asked.chosen) sections.push(await sectionOf(workload, bench));
  const run = {
    command: commandOf(args),
    made: new Date().toISOString().slice(0, 10),
    quick: asked.settings.quick,
    machine,
    sections,
  };
  const markdown = await toMarkdown(run);
  process.stdout.write(markdown);
  if (asked.json !== undefined) write(asked.json, toJson(run));
  if (asked.markdown !== undefined) write(asked.markdown, markdown);
  if (asked.charts !== undefined) {
    for (const section of sections) {
      const svg = await toSvg(run, section);
      if (svg !== undefined) write(path.join(asked.charts, `${section.id.toLowerCase()}.svg`), svg);
    }
  }
  const failed = sections.some(({ failures }) => failures.length > 0);
  if (asked.readme === undefined) return failed ? 1 : 0;
  try {
    if (failed) throw new Error('something has failed');
    write(asked.readme, await formatted(withFigures(readFileSync(asked.readme, 'utf8'), run)));
  } catch (error) {
    console.error(`${asked.readme} stays as it is: ${/** @type {Error} */ (error).message}`);
    return 1;
  }
  return 0;
}

/** As somebody would type it. @param {string[]} args */
function commandOf(args) {
  const others = args.filter((arg) => arg !== '--peers');
  const command = others.length === args.length ? 'npm run bench' : 'npm run bench:peers';
  return others.length === 0 ? command : [command, '--', ...others].join(' ');
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
      peers: { type: 'boolean', default: false },
      charts: { type: 'string' },
      readme: { type: 'string' },
      json: { type: 'string' },
      markdown: { type: 'string' },
      timeout: { type: 'string' },
      pattern: { type: 'string', multiple: true, default: [] },
      tasks: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const { quick = false, full = false, peers = false, help = false, pattern: asked = [], tasks, ...files } = values;
  for (const id of positionals) {
    if (!workloads.some((workload) => workload.id === id)) throw new TypeError(`There is no workload '${id}'.`);
  }
  for (const pattern of asked) {
    if (!patterns.some((one) => one === pattern)) {
      throw new TypeError(`There is no pattern '${pattern}': there are ${patterns.join(', ')}.`);
    }
  }
  const settings = {
    quick,
    full,
    peers,
    patterns: asked,
    rounds: wholeNumber('rounds', values.rounds),
    timeout: wholeNumber('timeout', values.timeout),
    tasks: tasks === undefined ? undefined : path.resolve(tasks),
  };
  const chosen = workloads.filter(({ id }) => positionals.length === 0 || positionals.includes(id));
  const { json, markdown, charts, readme } = files;
  return { settings, chosen, help, json, markdown, charts, readme };
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
    const outcome = await run(bench);
    return { id, title, about, ...outcome, failures: bench.takeFailures() };
  } catch (error) {
    console.error(error);
    return { id, title, about, tables: [], targets: [], failures: [...bench.takeFailures(), String(error)] };
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
