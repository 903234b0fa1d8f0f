/** What is made of a run: the README's part, and what its charts show. */
import { expect, test } from 'vitest';
import { drawing } from '../../bench/harness/chart.mjs';
import { BEGIN, END, withFigures } from '../../bench/harness/readme.mjs';
import type { Run, Section } from '../../bench/harness/report.mjs';

const result = (label: string, ...perSec: number[]) => ({ label, rounds: perSec.map((value) => ({ perSec: value })) });
const section: Section = {
  id: 'T1',
  title: 'tasks',
  about: '',
  targets: [],
  failures: [],
  chart: { title: 'Tasks a second', key: 'perSec', unit: 'perSecond' },
  tables: [
    { caption: 'n = 10', columns: [], results: [result('ours', 1, 3, 2), result('theirs', 1, 1, 1), result('failed')] },
    { caption: 'n = 20', columns: [], results: [result('ours', 4000), result('late', 5)] },
  ],
};
const machine = { cpu: 'a CPU', cores: 2, node: 'v20.1.2', system: 'a system', load: 0 };
const run: Run = { command: '', made: '2026-01-02', quick: false, machine, sections: [section] };

test('the README gets the medians of T1 between its two comments, and the machine’s name', () => {
  const before = `# Title\n\n${BEGIN}\nold\n${END}\n\nmore\n`;
  const after = withFigures(before, run);
  expect(after).toMatch(
    /^# Title\n\n<!-- bench: begin -->\n\nOn 2 cores \(a CPU, Node.js 20.1.2, 2026-01-02\), medians of 3 /,
  );
  expect(after).toContain('| ours | 2/s | 4,000/s |\n| theirs | 1/s | – |\n| failed | – | – |\n| late | – | 5/s |\n');
  expect(after).toMatch(/\n<!-- bench: end -->\n\nmore\n$/);
  expect(after).not.toContain('old');
  expect(withFigures(after, run)).toBe(after);
});

test('a README without such a part, a run without T1, a quick run: refused', () => {
  const readme = `${BEGIN}\n${END}`;
  expect(() => withFigures('# Title', run)).toThrow("there is no part between '<!-- bench: begin -->'");
  expect(() => withFigures(readme, { ...run, sections: [] })).toThrow('T1 was not measured');
  expect(() => withFigures(readme, { ...run, quick: true })).toThrow('a quick run has no figures');
});

test('a chart has a bar for the median of each result that has figures, one colour each table', () => {
  const { option, height } = drawing(run, section)!;
  expect(option.yAxis.data).toEqual(['ours', 'theirs', 'late']);
  expect(option.series.map(({ name, data }) => [name, data])).toEqual([
    ['n = 10', [2, 1, null]],
    ['n = 20', [4000, null, 5]],
  ]);
  expect(option.title.subtext).toContain('a CPU, 2 cores, Node.js v20.1.2, 2026-01-02');
  expect(option.series[0]!.label.formatter({ value: 4000 })).toBe('4,000/s');
  expect(height).toBeGreaterThan(drawing(run, { ...section, tables: section.tables.slice(1) })!.height);
});

test('there is no chart where none is wanted, or nothing was measured', () => {
  const { chart: _, ...without } = section;
  expect(drawing(run, without)).toBeUndefined();
  expect(drawing(run, { ...section, tables: [] })).toBeUndefined();
});
