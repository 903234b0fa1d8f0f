/**
 * T10: what a task costs in CPU beside a crowd that does nothing, against the same without it: two managers, each with
 * two workers and six clients that put no-op tasks, one after the other in turn.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { connect, startManager, startWorkers } from 'quartermaster';
import { check, checkNoops, parameters, report } from '../measured.mjs';
import { countCpu } from '../processes.mjs';
import { median } from '../statistics.mjs';

const { what, count, n, turns, tasks } = parameters({
  what: 'connections',
  count: 1_000,
  n: 20_000,
  turns: 4,
  tasks: new URL('tasks.mjs', import.meta.url).href,
});
const CLIENTS = 6;

const [few, many] = [await aManager(), await aManager()];
const crowd = fork(fileURLToPath(new URL('crowd.mjs', import.meta.url)), [
  `what=${what}`,
  `count=${count}`,
  `file=${many.manager.connectionFile}`,
]);
try {
  const [there] = await Promise.race([once(crowd, 'message'), once(crowd, 'exit')]);
  check(there === 'there', 'the crowd did not come');
  for (let i = 0; i < 2; i++) for (const each of [few, many]) await round(each);
  const ratios = [];
  const costs = { few: /** @type {number[]} */ ([]), many: /** @type {number[]} */ ([]) };
  for (let turn = 0; turn < turns; turn++) {
    // In turn the first: what drifts, drifts for both.
    const order = turn % 2 === 0 ? [few, many] : [many, few];
    const used = new Map();
    for (const each of order) used.set(each, await round(each));
    costs.few.push(used.get(few));
    costs.many.push(used.get(many));
    ratios.push(used.get(many) / used.get(few));
  }
  report({ n: turns * n, few: median(costs.few), many: median(costs.many), ratio: median(ratios) });
} finally {
  crowd.disconnect();
  for (const { group, clients, manager } of [few, many]) {
    await group.close();
    await Promise.all(clients.map((client) => client.close()));
    await manager.shutdown();
  }
}

async function aManager() {
  const manager = await startManager({ limits: { connections: count + 100, objects: count + 10_000 } });
  const group = await startWorkers(manager, tasks, { count: 2 });
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => connect(manager.connectionFile)));
  return { manager, group, clients };
}

/**
 * @param {Awaited<ReturnType<typeof aManager>>} where
 * @returns {Promise<number>} µs of CPU for each task, of the manager, its workers and this process
 */
async function round({ manager, group, clients }) {
  const each = Math.ceil(n / CLIENTS);
  const cpu = countCpu({ manager: manager.pid, workers: group.workers().map(({ pid }) => pid) });
  const all = await Promise.all(
    clients.map((client) => {
      const queue = client.tasks();
      return Promise.all(Array.from({ length: each }, (_, i) => queue.run('noop', { i })));
    }),
  );
  const { cpuMain, cpuManager, cpuWorkers } = cpu();
  for (const results of all) checkNoops(results, each);
  return ((cpuMain + cpuManager + cpuWorkers) * 1e6) / (each * CLIENTS);
}
