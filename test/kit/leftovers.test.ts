import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { environmentOf, freshFolder, refuseLeftovers } from './leftovers.ts';

test('a run that leaves nothing ends quietly, and its folder goes with it', async () => {
  const folder = freshFolder();
  await refuseLeftovers(folder);
  expect(existsSync(folder)).toBe(false);
});

test('a file left behind is named and removed', async () => {
  const folder = freshFolder();
  writeFileSync(path.join(folder, 'forgotten.sock'), '');
  await expect(refuseLeftovers(folder)).rejects.toThrow('file forgotten.sock');
  expect(existsSync(folder)).toBe(false);
});

test.runIf(process.platform === 'linux')('a detached process left behind is named and ended', async () => {
  const folder = freshFolder();
  const child = spawn(process.execPath, ['-e', 'process.send(0); setInterval(() => {}, 1e6)'], {
    detached: true,
    env: { ...process.env, ...environmentOf(folder) },
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child, 'message');
  const ended = once(child, 'exit');
  await expect(refuseLeftovers(folder, 0)).rejects.toThrow(`process ${child.pid}: ${process.execPath}`);
  expect(await ended).toEqual([null, 'SIGKILL']);
});

test.runIf(process.platform === 'linux')('a process that is about to end is waited for', async () => {
  const folder = freshFolder();
  const child = spawn(process.execPath, ['-e', 'process.send(0); process.stdin.resume()'], {
    env: { ...process.env, ...environmentOf(folder) },
    stdio: ['pipe', 'ignore', 'ignore', 'ipc'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child, 'message');
  const looked = refuseLeftovers(folder, 30_000);
  child.disconnect();
  child.stdin?.end();
  await looked;
});
