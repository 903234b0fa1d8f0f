/** Ctrl-C and its kin, by real signals: what runs goes on to its end, or does not, and nothing outlives the run. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { folderWith, isGone, startQuartermaster } from '../kit/command.ts';
import { until } from '../kit/until.ts';

/** 'one' waits for the file `go` and notes the pid of a process of its own; 'two' comes after it. */
const files = {
  'build.yaml': `
workers: 1
jobs:
  one:
    run: |
      trap 'echo term >> terms' TERM
      sleep 1000 &
      echo $! > pid.new; mv pid.new pid
      while [ ! -e go ]; do sleep 0.05; done
  two: { after: one, run: echo two }
`,
};

async function appeared(file: string): Promise<void> {
  await until(async () => {
    await new Promise((resolve) => setImmediate(resolve));
    return existsSync(file);
  });
}

async function started() {
  const folder = folderWith(files);
  // A run that is killed cannot remove its socket: that goes with the folder.
  const run = startQuartermaster(folder, ['run', 'build.yaml'], { XDG_RUNTIME_DIR: folder });
  await appeared(path.join(folder, 'pid'));
  return { folder, run, pid: Number(readFileSync(path.join(folder, 'pid'), 'utf8')) };
}

test.each<[NodeJS.Signals, number]>([
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
])('the first %s waits for what runs, and begins nothing else', async (signal, exitCode) => {
  const { folder, run, pid } = await started();
  run.child.kill(signal);
  expect(await run.until(signal)).toBe(`${signal}: waiting for the job that runs; once more ends it`);
  writeFileSync(path.join(folder, 'go'), '');
  const { lines, code } = await run.toItsEnd();
  expect(code).toBe(exitCode);
  const text = lines.join('\n');
  expect(text).toMatch(/^✓ one/m);
  expect(text).toMatch(/^- two {2}not run to its end$/m);
  expect(text).toMatch(/^1 of 2 jobs succeeded, 1 not run in /m);
  expect(existsSync(path.join(folder, 'terms'))).toBe(false);
  expect(isGone(pid)).toBe(true);
  expect(run.stderr()).toBe('');
});

test('the second one ends it: SIGTERM, then SIGKILL for what does not end', async () => {
  const { folder, run, pid } = await started();
  run.child.kill('SIGINT');
  await run.until('SIGINT: waiting');
  run.child.kill('SIGINT');
  const { lines, code } = await run.toItsEnd();
  expect(code).toBe(130);
  expect(lines.join('\n')).toMatch(/^- one .*not run to its end$/m);
  expect(readFileSync(path.join(folder, 'terms'), 'utf8')).toContain('term');
  expect(isGone(pid)).toBe(true);
});

test('a run that is killed leaves no process of its jobs, and the next one goes on where it was', async () => {
  const { folder, run, pid } = await started();
  run.child.kill('SIGKILL');
  await run.toItsEnd();
  await until(async () => {
    await new Promise((resolve) => setImmediate(resolve));
    return isGone(pid);
  });
  writeFileSync(path.join(folder, 'go'), '');
  const next = startQuartermaster(folder, ['run', 'build.yaml', '--resume']);
  const { lines, code } = await next.toItsEnd();
  expect({ code, last: lines.at(-1) }).toMatchObject({
    code: 0,
    last: expect.stringContaining('2 of 2 jobs succeeded') as string,
  });
});

test('a second run of the same file at the same time is refused', async () => {
  const { folder, run } = await started();
  const second = startQuartermaster(folder, ['run', 'build.yaml']);
  expect((await second.toItsEnd()).code).toBe(2);
  expect(second.stderr()).toMatch(
    new RegExp(`^quartermaster: process ${run.child.pid} is running this file: wait until it has ended .*\\n$`),
  );
  writeFileSync(path.join(folder, 'go'), '');
  expect((await run.toItsEnd()).code).toBe(0);
});

test('a lost worker: its job runs again', async () => {
  const folder = folderWith({
    'build.yaml': `jobs: { a: { run: 'test -e once || { touch once; kill -KILL $(ps -o ppid= -p $$); sleep 1000; }; echo again' } }`,
  });
  const { lines, code } = await startQuartermaster(folder, ['run', 'build.yaml', '--json']).toItsEnd();
  expect(code).toBe(0);
  expect(lines.join('\n')).toContain('"state":"succeeded","attempt":2');
});
