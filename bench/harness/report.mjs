/** A run as JSON and as Markdown. */
import { format, resolveConfig } from 'prettier';
import { median } from '../statistics.mjs';
import { inUnit, verdict, wanted } from './target.mjs';

/**
 * @typedef {import('./target.mjs').Target} Target
 * @typedef {import('./target.mjs').Unit} Unit
 * @typedef {import('./bench.mjs').Result} Result
 *
 * @typedef {object} Column
 * @property {string} key of the figures
 * @property {string} title
 * @property {Unit} unit
 * @property {boolean} [spread] also the least and the most of all rounds
 *
 * @typedef {object} Table
 * @property {string} caption
 * @property {readonly Column[]} columns
 * @property {readonly Result[]} results
 *
 * @typedef {object} Chart its tables as bars: those of one result together, one colour each table
 * @property {string} title
 * @property {string} key of the figures
 * @property {Unit} unit
 *
 * @typedef {object} Section one workload
 * @property {string} id
 * @property {string} title
 * @property {string} about
 * @property {readonly Table[]} tables
 * @property {readonly Target[]} targets
 * @property {readonly string[]} [notes]
 * @property {Chart} [chart]
 * @property {readonly string[]} failures what went wrong, or why there are no figures
 *
 * @typedef {object} Run
 * @property {string} command
 * @property {string} made the day
 * @property {boolean} quick
 * @property {import('./machine.mjs').Machine} machine
 * @property {readonly Section[]} sections
 */

/** @param {Run} run */
export function toJson(run) {
  const sections = run.sections.map((section) => ({
    ...section,
    targets: section.targets.map((target) => ({ ...target, verdict: judged(run, target) })),
  }));
  return `${JSON.stringify({ ...run, sections }, null, 2)}\n`;
}

/** @param {Run} run */
export async function toMarkdown(run) {
  const text = [heading(run), ...run.sections.map((section) => sectionText(run, section))].join('\n\n');
  return formatted(text);
}

/** @param {string} markdown */
export async function formatted(markdown) {
  const config = await resolveConfig(import.meta.filename);
  return format(markdown, { ...config, parser: 'markdown' });
}

/** @param {Run} run */
function heading({ command, made, quick, machine }) {
  const { cpu, cores, node, system, load } = machine;
  const kind = quick
    ? ' It was a quick run, with small sizes and one round: it shows that the benchmarks work, and its figures say nothing.'
    : '';
  return `# Performance

Made on ${made} by \`${command}\` on ${cpu}, ${cores} cores, ${system}, Node.js ${node}; load average before: ${load.toFixed(1)}.${kind}

Every program runs in processes of its own, and every result that it times is checked. In a round each program runs once, one after the other; a figure is the median of all rounds, a ratio the median of the ratios of each round. The limit is the same traffic by bare \`node:net\` with minimal frames and no features (\`bench/limit\`). CPU is user and system time together, in µs for each task or call: it is steadier than time where others use the machine too.`;
}

/**
 * @param {Run} run
 * @param {Section} section
 */
function sectionText(run, { id, title, about, tables, targets, notes = [], failures }) {
  const parts = [`## ${id}: ${title}`, about];
  parts.push(...failures.map((failure) => `**Failed:** ${failure}`));
  parts.push(...tables.map(tableText));
  if (targets.length > 0) {
    const rows = targets.map((target) => [
      target.what,
      inUnit(target.value, target.unit),
      wanted(target),
      judged(run, target),
    ]);
    parts.push(rowsText(['against the target', 'measured', 'target', 'verdict'], rows));
  }
  if (notes.length > 0) parts.push(notes.map((note) => `- ${note}`).join('\n'));
  return parts.join('\n\n');
}

/** @param {Table} table */
function tableText({ caption, columns, results }) {
  const rows = results.map((result) => [result.label, ...columns.map((column) => cell(result, column))]);
  return rowsText([caption, ...columns.map(({ title }) => title)], rows);
}

/**
 * @param {readonly string[]} head
 * @param {readonly (readonly string[])[]} rows
 */
function rowsText(head, rows) {
  const rule = head.map((_, at) => (at === 0 ? '---' : '---:'));
  return [head, rule, ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/**
 * @param {Result} result
 * @param {Column} column
 */
function cell({ rounds }, { key, unit, spread }) {
  const values = rounds.map((figures) => figures[key]).filter((value) => Number.isFinite(value));
  if (values.length === 0) return '–';
  const middle = inUnit(median(values), unit);
  if (spread !== true || values.length === 1) return middle;
  return `${middle} (${inUnit(Math.min(...values), unit)} … ${inUnit(Math.max(...values), unit)})`;
}

/**
 * @param {Run} run
 * @param {Target} target
 */
function judged({ quick }, target) {
  return quick ? 'not judged' : verdict(target);
}
