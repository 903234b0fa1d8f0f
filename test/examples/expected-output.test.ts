/**
 * Every example runs, says what the comment at its end says, and leaves nothing: no process, no socket, no file.
 * package-digest has tests of its own beside this file.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { outdatedSources, projects } from '../../scripts/freshness.mjs';
import { environmentOf, freshFolder, refuseLeftovers } from '../kit/leftovers.ts';
import { run } from '../kit/run.ts';

const root = path.dirname(path.dirname(import.meta.dirname));
const examples = readdirSync(path.join(root, 'examples'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !/^\.|^package-digest$/.test(entry.name))
  .map(({ name }) => name);

describe.each(examples)('%s', (name) => {
  test('prints what it says it prints, and leaves nothing', async () => {
    const source = readFileSync(path.join(root, 'examples', name, 'main.ts'), 'utf8');
    const folder = freshFolder();
    const main = path.join(root, 'build/examples', name, 'main.js');
    const { stdout, ...rest } = await run(process.execPath, [main], { env: environmentOf(folder) });
    await refuseLeftovers(folder);
    expect(rest).toEqual({ code: 0, signal: null, stderr: '' });
    expect(stdout).toBe(expectedOutput(source));
  });
});

test('the examples that the documents name are there, and compiled as they stand', () => {
  expect(examples).toEqual([
    'bounded-submit',
    'dead-letters',
    'embed-manager',
    'fan-out',
    'getnowait-loop',
    'job-graph',
    'pool',
    'shared-locks',
    'spawn-workers',
  ]);
  const project = projects.find(({ name }) => name === 'examples')!;
  const outdated = outdatedSources(root, project).filter((file) => !file.includes('package-digest'));
  expect(outdated, 'newer than what was compiled from them: run `npm test`, or `npx tsc -p examples` first').toEqual(
    [],
  );
});

test('an example without an expected output is refused', () => {
  expect(() => expectedOutput('console.log(1);\n')).toThrow('// Output:');
});

/** The last comment of an example: '// Output:', then one line for each that it prints. */
function expectedOutput(source: string): string {
  const [, block] = /^\/\/ Output:\n((?:\/\/ {5}.*\n)+)$(?![^])/m.exec(source) ?? [];
  if (block === undefined) throw new Error('an example ends in a comment // Output: with the lines that it prints');
  return block.replaceAll(/^\/\/ {5}/gm, '');
}
