/**
 * Judges a chaos run by what its handlers, its driver and its manager wrote down: `node judge.mjs <folder>`. Ends with
 * code 1, and says why, where
 *
 *     a task was lost, has two outcomes, or the wrong one
 *     two executions of one task were alive at the same time
 *     a task that may run once only was started twice
 *
 * An execution is alive from its start to its end. One without an end died with its process: at the latest signal that
 * stopped or killed that process, or at the last line that the process wrote, if that is later.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';

const folder = process.argv[2];
const linesOf = (name) => readFileSync(path.join(folder, name), 'utf8').split('\n').slice(0, -1);
const { put, counts } = JSON.parse(readFileSync(path.join(folder, 'summary.json'), 'utf8'));
const faults = [];

/** By pid: when it can have done nothing any more, as far as it is known. */
const deaths = new Map();
const dies = (pid, at) => deaths.set(pid, at > (deaths.get(pid) ?? 0n) ? at : deaths.get(pid));
for (const line of linesOf('signals')) {
  const [what, pid, at] = line.split(' ');
  if (what === 'SIGKILL' || what === 'SIGSTOP') dies(pid, BigInt(at));
}

/** By task: its executions. */
const executions = new Map();
let effects = 0;
for (const line of linesOf('effects')) {
  effects++;
  const [what, task, attempt, pid, at] = line.split(' ');
  const time = BigInt(at);
  dies(pid, time);
  const all = executions.get(task) ?? [];
  executions.set(task, all);
  if (what === 'start') {
    all.push({ task, attempt, pid, start: time, end: undefined });
    continue;
  }
  const mine = all.findLast((each) => each.pid === pid && each.attempt === attempt && each.end === undefined);
  if (mine === undefined) faults.push(`task ${task} ${what}s in ${pid} without a start`);
  else mine.end = time;
}

let unfinished = 0;
for (const [task, all] of executions) {
  if (all.length === 1) continue;
  for (const each of all) {
    if (each.end !== undefined) continue;
    unfinished++;
    each.end = deaths.get(each.pid);
  }
  all.sort((a, b) => (a.start < b.start ? -1 : 1));
  for (let i = 1; i < all.length; i++) {
    const [before, after] = [all[i - 1], all[i]];
    if (after.start < before.end) {
      const by = Number(before.end - after.start) / 1e6;
      faults.push(
        `task ${task}: attempt ${before.attempt} in ${before.pid} and ${after.attempt} in ${after.pid} overlap by ${by} ms`,
      );
    }
  }
}

const outcomes = new Map();
let failed = 0;
for (const line of linesOf('outcomes')) {
  const [i, task, times, outcome, ...value] = line.split(' ');
  if (outcomes.has(i)) faults.push(`task ${task} has two outcomes`);
  outcomes.set(i, task);
  const started = executions.get(task)?.length ?? 0;
  if (times === 'once' && started > 1) faults.push(`task ${task} may run once, and ran ${started} times`);
  if (outcome === 'ok') {
    if (Number(value[0]) !== Number(i) * 2 + 1) faults.push(`task ${task} has the output ${value[0]}`);
    if (started === 0) faults.push(`task ${task} succeeded without a run`);
  } else {
    failed++;
    if (times !== 'once' || outcome !== 'QM_WORKER_LOST')
      faults.push(`task ${task} failed: ${outcome} ${value.join(' ')}`);
  }
}
if (outcomes.size !== put) faults.push(`${put} tasks were put, and ${outcomes.size} have an outcome`);
const { succeeded, failed: failedThere, ...others } = counts;
if (succeeded !== put - failed || failedThere !== failed || Object.values(others).some((count) => count > 0)) {
  faults.push(`the manager's records say otherwise: ${JSON.stringify(counts)}`);
}

const again = [...executions.values()].filter((all) => all.length > 1).length;
process.stdout.write(
  `judge: ${put} tasks, ${effects} effects, ${again} tasks ran more than once (${unfinished} runs were cut short), ${failed} that may run once lost their worker\n`,
);
for (const fault of faults.slice(0, 20)) process.stdout.write(`judge: ${fault}\n`);
if (faults.length > 0) {
  process.stdout.write(`judge: ${faults.length} faults\n`);
  process.exit(1);
}
