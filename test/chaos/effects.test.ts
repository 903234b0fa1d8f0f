/**
 * Eight workers, killed, stopped, continued and ended at random, and an effect log that the handlers themselves write:
 * chaos/program/run.mjs runs it, chaos/program/judge.mjs judges it. A minute of it here; `npm run chaos` is the whole.
 */
import path from 'node:path';
import { expect, test } from 'vitest';
import { run } from '../kit/run.ts';
import { aFolder } from '../kit/tasks-rig.ts';

const tasks = Number(process.env['QM_CHAOS_TASKS'] ?? 60_000);
const seconds = Number(process.env['QM_CHAOS_SECONDS'] ?? 120);

test(
  'W1 W2 W8 Q11 no task is lost, each has one outcome, and no two executions of one are ever alive at once',
  { timeout: seconds * 1_000 + 180_000 },
  async () => {
    const folder = aFolder();
    const program = (name: string): Promise<{ code: number | null; stdout: string; stderr: string }> =>
      run(process.execPath, [path.join(import.meta.dirname, 'program', name), folder], {
        env: { QM_CHAOS_TASKS: String(tasks), QM_CHAOS_SECONDS: String(seconds) },
        timeout: seconds * 1_000 + 120_000,
      });
    const driver = await program('run.mjs');
    console.log(driver.stdout.trimEnd());
    expect(driver.code, driver.stderr.slice(-2_000)).toBe(0);
    const judge = await program('judge.mjs');
    console.log(judge.stdout.trimEnd());
    expect(judge.code, judge.stdout).toBe(0);
  },
);
