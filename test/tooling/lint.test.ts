/** The linter's promise rules need types, and a set-up that lost its types would pass everything: seen red here. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { run } from '../kit/run.ts';

const root = path.dirname(path.dirname(import.meta.dirname));

test('a promise nobody awaits and a promise where none is wanted are refused', async () => {
  const text = `
    async function save(): Promise<void> {}
    save();
    [1, 2].forEach(async () => {
      await save();
    });
  `;
  expect(await rulesBrokenBy(text)).toEqual(['no-floating-promises', 'no-misused-promises']);
});

test('promises that are awaited, returned or given up in writing pass', async () => {
  const text = `
    async function save(): Promise<void> {}
    export async function all(): Promise<void> {
      await save();
      void save();
      return save();
    }
  `;
  expect(await rulesBrokenBy(text)).toEqual([]);
});

async function rulesBrokenBy(text: string): Promise<string[]> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'lint-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  writeFileSync(path.join(folder, 'tsconfig.json'), '{ "compilerOptions": { "strict": true, "types": [] } }');
  const file = path.join(folder, 'fixture.ts');
  writeFileSync(file, text);
  const oxlint = path.join(root, 'node_modules', 'oxlint', 'bin', 'oxlint');
  const { stdout, stderr } = await run(process.execPath, [oxlint, '--format=json', file], { cwd: root });
  expect(stderr).toBe('');
  const { diagnostics } = JSON.parse(stdout) as { diagnostics: { code: string }[] };
  return diagnostics.map(({ code }) => code.replace(/^.*\((.*)\)$/, '$1')).toSorted();
}
