/**
 * T12, `kills` times each: from the SIGKILL of a worker to the start of its task on another one, which is idle; and from
 * the SIGKILL of the process that holds a lock to the grant of the next waiter, this process. Milliseconds.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { startManager, startWorkers } from 'quartermaster';
import { check, parameters, report } from '../measured.mjs';
import { quantile } from '../statistics.mjs';

const { kills, tasks } = parameters({ kills: 50, tasks: new URL('tasks.mjs', import.meta.url).href });

const client = await startManager();
try {
  const worker = await workersKilled();
  const lock = await holdersKilled();
  report({
    kills,
    workerP50: quantile(worker, 0.5),
    workerP99: quantile(worker, 0.99),
    lockP50: quantile(lock, 0.5),
    lockP99: quantile(lock, 0.99),
  });
} finally {
  await client.shutdown();
}

async function workersKilled() {
  const queue = client.tasks();
  const group = await startWorkers(client, tasks, { count: 2 });
  const took = [];
  try {
    for (let k = 0; k < kills; k++) {
      const replaced = once(group, 'workerStarted');
      const handle = await queue.put('startsAgain');
      const first = await firstProgress(handle);
      const killed = process.hrtime.bigint();
      process.kill(first, 'SIGKILL');
      const { attempt, pid, startedAt } = /** @type {Second} */ (await handle.result());
      check(attempt === 2 && pid !== first, `attempt ${attempt} in process ${pid} after process ${first} was killed`);
      took.push(Number(startedAt - killed) / 1e6);
      await replaced;
    }
    const { succeeded } = await queue.dict.counts();
    check(succeeded === kills, `${succeeded} of ${kills} tasks succeeded`);
  } finally {
    await group.close();
  }
  return took;
}

/** @typedef {{ attempt: number, pid: number, startedAt: bigint }} Second */

/**
 * The pid that its handler tells.
 *
 * @param {import('quartermaster').TaskHandle} handle
 */
async function firstProgress(handle) {
  for await (const pid of handle.progress()) return Number(pid);
  throw new Error(`wrong result: task ${handle.id} ended before its worker was killed`);
}

async function holdersKilled() {
  const lock = client.lock('held');
  const took = [];
  for (let k = 0; k < kills; k++) {
    const holder = fork(fileURLToPath(new URL('lock-holder.mjs', import.meta.url)), {
      env: { ...process.env, QUARTERMASTER_CONNECTION: client.connectionFile },
    });
    const ended = once(holder, 'exit');
    const said = await Promise.race([once(holder, 'message'), ended.then(() => undefined)]);
    if (said === undefined) throw new Error('the lock holder ended before it held the lock');
    const token = BigInt(said[0]);
    const granted = lock.acquire();
    check(await lock.locked(), 'the lock is free while it is held'); // and the acquire, made before, waits
    const killed = performance.now();
    holder.kill('SIGKILL');
    const guard = await granted;
    took.push(performance.now() - killed);
    check(guard.token > token, `token ${guard.token} after ${token}`);
    await guard.release();
    await ended;
  }
  check(!(await lock.locked()), 'the lock is held by nobody, and locked');
  return took;
}
