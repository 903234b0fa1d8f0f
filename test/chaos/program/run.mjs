/**
 * The chaos run: eight workers, tasks that write down what they do, and somebody who kills, stops and continues workers
 * at random. Writes into a folder what judge.mjs, which knows nothing of this program, judges.
 *
 *     node run.mjs <folder>     QM_CHAOS_TASKS (5,000)   QM_CHAOS_SECONDS (100): tasks are put until one of them is reached
 *                               QM_SEED: replays the choices, though not the machine's timing
 *
 *     effects    what the handlers did (tasks.mjs)
 *     signals    <signal> <pid> <ns>, written before it is sent; `lost` once its group has seen a process end
 *     outcomes   <i> <task> <attempts allowed: once | many> <ok | error code> <value>
 */
import { openSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startManager, startWorkers } from 'quartermaster';

const folder = process.argv[2];
const TASKS = Number(process.env.QM_CHAOS_TASKS ?? 5_000);
const SECONDS = Number(process.env.QM_CHAOS_SECONDS ?? 100);
const WORKERS = 8;
/** Tasks put and not finished, at most. */
const IN_FLIGHT = 400;
/** ms; a worker that is stopped for longer is killed by its group. */
const LEASE = 1_500;
const seed = Number(process.env.QM_SEED ?? Date.now() % 1_000_000);
const random = generator(seed);
process.stdout.write(`chaos: QM_SEED=${seed}, ${TASKS} tasks, at most ${SECONDS} s\n`);

const files = Object.fromEntries(
  ['effects', 'signals', 'outcomes'].map((name) => {
    const file = path.join(folder, name);
    writeFileSync(file, '');
    return [name, { file, fd: openSync(file, 'a') }];
  }),
);
const note = (name, line) => writeSync(files[name].fd, `${line}\n`);

const manager = await startManager({
  // Whoever is killed at random is no poison.
  queue: { leaseTimeout: LEASE, poisonAfter: 1_000, keepRecords: { count: 2 * TASKS + 1_000 } },
});
const queue = manager.tasks();
const group = await startWorkers(manager, new URL('./tasks.mjs', import.meta.url), {
  count: WORKERS,
  env: { EFFECTS: files.effects.file },
});
group.on('workerLost', ({ pid }) => note('signals', `lost ${pid} ${process.hrtime.bigint()}`));

const sent = { SIGKILL: 0, SIGSTOP: 0, SIGCONT: 0 };
const over = new AbortController();
const chaos = wreak();

let put = 0;
const until = performance.now() + SECONDS * 1_000;
await Promise.all(Array.from({ length: IN_FLIGHT }, flow));
over.abort();
await chaos;
const counts = await queue.dict.counts();
writeFileSync(path.join(folder, 'summary.json'), JSON.stringify({ put, counts, sent, seed }));
process.stdout.write(`chaos: ${put} tasks; ${JSON.stringify(sent)}; ${JSON.stringify(counts)}\n`);
await group.close();
await manager.shutdown();

async function flow() {
  while (put < TASKS && performance.now() < until) {
    const i = put++;
    const dice = random();
    const once = random() < 0.05;
    const exits = random() < 0.002 ? (random() < 0.5 ? 0 : 3) : undefined;
    const input = { i, wait: dice < 0.2 ? Math.ceil(random() * 10) : 0, spin: dice > 0.95 ? random() * 4 : 0, exits };
    const handle = await queue.put(dice > 0.25 && dice < 0.95 ? 'quick' : 'job', input, { atMostOnce: once });
    const outcome = await handle.result().then(
      (value) => `ok ${String(value)}`,
      (error) => `${String(error.code)} ${String(error.message)}`,
    );
    note('outcomes', `${i} ${handle.id} ${once ? 'once' : 'many'} ${outcome}`);
  }
}

/** Kills, stops and continues whoever it meets, a few times a second. */
async function wreak() {
  const stopped = new Set();
  while (!over.signal.aborted) {
    await delay(200 + random() * 800);
    const workers = group.workers().filter(({ pid }) => !stopped.has(pid));
    const victim = workers[Math.floor(random() * workers.length)];
    if (victim === undefined) continue;
    if (random() < 0.6) {
      send('SIGKILL', victim.pid);
      continue;
    }
    send('SIGSTOP', victim.pid);
    stopped.add(victim.pid);
    // For less than a lease, or for more, or for as long as it takes to lose it.
    void delay(random() * 2 * LEASE).then(() => {
      stopped.delete(victim.pid);
      if (group.workers().some(({ pid }) => pid === victim.pid)) send('SIGCONT', victim.pid);
    });
  }
}

function send(signal, pid) {
  note('signals', `${signal} ${pid} ${process.hrtime.bigint()}`);
  try {
    process.kill(pid, signal);
    sent[signal]++;
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

/** A small random generator that a seed determines (mulberry32). */
function generator(from) {
  let state = from | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
