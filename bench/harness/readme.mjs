/** The part of the README that comes from a run: between two comments, made anew by `--readme`. */
import { median } from '../statistics.mjs';
import { inUnit } from './target.mjs';

/**
 * @typedef {import('./report.mjs').Run} Run
 */

export const BEGIN = '<!-- bench: begin -->';
export const END = '<!-- bench: end -->';

/**
 * @param {string} readme
 * @param {Run} run which has T1
 * @returns {string}
 * @throws {Error} where the README has no such part, or the run no such figures
 */
export function withFigures(readme, run) {
  const [begin, end] = [readme.indexOf(BEGIN), readme.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`there is no part between '${BEGIN}' and '${END}'`);
  return `${readme.slice(0, begin + BEGIN.length)}\n\n${figures(run)}\n\n${readme.slice(end)}`;
}

/** @param {Run} run */
function figures({ machine, made, quick, sections }) {
  const section = sections.find(({ id }) => id === 'T1');
  if (section === undefined || section.tables.length === 0) throw new Error('T1 was not measured');
  if (quick) throw new Error('a quick run has no figures for a README');
  const { tables } = section;
  const rounds = tables[0].results.find((result) => result.rounds.length > 0)?.rounds.length ?? 0;
  const labels = [...new Set(tables.flatMap(({ results }) => results.map(({ label }) => label)))];
  const rows = labels.map((label) => [
    label,
    ...tables.map(({ results }) => {
      const all = results.find((result) => result.label === label)?.rounds.map(({ perSec }) => perSec) ?? [];
      return all.length === 0 ? '–' : inUnit(median(all), 'perSecond');
    }),
  ]);
  const head = ['short tasks `{ i } → i + 1`, put in one go, two workers', ...tables.map(({ caption }) => caption)];
  const rule = head.map((_, at) => (at === 0 ? '---' : '---:'));
  const table = [head, rule, ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
  return `On ${machine.cores} cores (${machine.cpu}, Node.js ${machine.node.slice(1)}, ${made}), medians of ${rounds} alternating rounds, every result checked; all figures, and how they were made, are in [docs/performance.md](docs/performance.md).\n\n${table}`;
}
