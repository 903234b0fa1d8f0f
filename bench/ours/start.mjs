/**
 * T11, in a fresh process: a bare `node -e 0`, then the manager, 2 workers, one more client, one task through all of
 * it, and the end of it all; then a pool of 2 workers with a manager of its own. Milliseconds.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, startManager, startPool, startWorkers } from 'quartermaster';
import { check, parameters, report } from '../measured.mjs';

const { workers, tasks } = parameters({ workers: 2, tasks: new URL('tasks.mjs', import.meta.url).href });

const [bare, code] = await timed(async () => {
  const [exitCode] = await once(spawn(process.execPath, ['-e', '0'], { stdio: 'ignore' }), 'exit');
  return exitCode;
});
check(code === 0, `node -e 0 ended with ${code}`);

const [manager, client] = await timed(() => startManager());
const [group, workerGroup] = await timed(() => startWorkers(client, tasks, { count: workers }));
const [connected, other] = await timed(() => connect(client.connectionFile));
check((await other.tasks().run('noop', { i: 1 })) === 2, 'the task gave something other than 2');
const [closed] = await timed(() => other.close());
const pids = [client.pid, ...workerGroup.workers().map(({ pid }) => pid)];
const [workersEnded] = await timed(() => workerGroup.close());
const [managerEnded] = await timed(() => client.shutdown());
const [poolStarted, started] = await timed(() => startPool({ tasks, workers }));
const pool = /** @type {import('quartermaster').Pool<import('quartermaster').Handlers>} */ (
  /** @type {unknown} */ (started)
);
check((await pool.run('noop', { i: 1 })) === 2, 'the task of the pool gave something other than 2');
pids.push(pool.client.pid, ...pool.workers().map(({ pid }) => pid));
const [poolEnded] = await timed(() => pool.close());
for (const pid of pids) check(!lives(pid), `process ${pid} still lives`);

report({
  bare,
  manager,
  group: manager + group,
  connect: connected,
  close: closed,
  shutdown: workersEnded + managerEnded,
  managerEnded,
  pool: poolStarted,
  poolEnded,
});

/**
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<[number, T]>}
 */
async function timed(work) {
  const start = performance.now();
  const value = await work();
  return [performance.now() - start, value];
}

/** @param {number} pid */
function lives(pid) {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
