import { availableParallelism } from 'node:os';
import { spawn } from 'node:child_process';
import { expect, onTestFinished, test } from 'vitest';
import { runDelay } from '#qm/manager/run-delay.js';
import { until } from '../kit/until.ts';

test.runIf(process.platform === 'linux')('a process that has no processor to itself waits for one', async () => {
  const busy = Array.from({ length: availableParallelism() + 1 }, () =>
    spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' }),
  );
  onTestFinished(() => busy.forEach((one) => one.kill('SIGKILL')));
  await until(async () => busy.some(({ pid }) => (runDelay(pid!) ?? 0) > 50));
});

test('of a process that is not there nothing is known', () => {
  expect(runDelay(2 ** 30)).toBeUndefined();
});
