/** Its queue in a redis-server on a Unix socket, added to in bulk, read by worker processes; results come as its events. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Queue, QueueEvents, Worker } from 'bullmq';
import { perform } from '../operations.mjs';
import { startRedis } from '../redis.mjs';

const QUEUE = 'bench';
const CONCURRENCY = 50; // tasks that one worker process has at once: what is asynchronous of it overlaps

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const connection = JSON.parse(process.argv[2]);
  const worker = new Worker(
    QUEUE,
    async (/** @type {{ name: string, data: { input: any } }} */ { name: operation, data: { input } }) => {
      if (operation !== 'echo') return perform({ operation, input });
      return Buffer.from(input, 'base64').toString('base64');
    },
    { connection, concurrency: CONCURRENCY, removeOnComplete: { count: 0 } },
  );
  await worker.waitUntilReady();
  process.send?.('ready');
  process.once('disconnect', () => process.exit(0));
}

/** @param {number} count */
export async function open(count) {
  const { connection, pid, server } = await startRedis();
  const queue = new Queue(QUEUE, { connection });
  const events = new QueueEvents(QUEUE, { connection });
  await events.waitUntilReady();
  const script = fileURLToPath(import.meta.url);
  const workers = Array.from({ length: count }, () => fork(script, [JSON.stringify(connection)]));
  await Promise.all(workers.map((worker) => once(worker, 'message')));

  /** @type {Map<string, (output: unknown) => void>} */
  const outstanding = new Map();
  events.on('completed', (/** @type {{ jobId: string, returnvalue: unknown }} */ { jobId, returnvalue }) => {
    outstanding.get(jobId)?.(returnvalue);
    outstanding.delete(jobId);
  });
  let ids = 0;
  /** @type {{ name: string, data: object, opts: object }[]} */
  let batch = [];
  const send = () => {
    void queue.addBulk(batch);
    batch = [];
  };
  const run = (/** @type {string} */ operation, /** @type {unknown} */ input) =>
    new Promise((resolve) => {
      const jobId = `job-${ids++}`;
      outstanding.set(jobId, resolve);
      if (batch.length === 0) setImmediate(send);
      batch.push({ name: operation, data: { input }, opts: { jobId } });
      if (batch.length === 1000) send();
    });
  return {
    run,
    echo: async (/** @type {Buffer} */ bytes) =>
      Buffer.from(/** @type {string} */ (await run('echo', bytes.toString('base64'))), 'base64'),
    workers: workers.map((worker) => Number(worker.pid)),
    manager: pid,
    close: async () => {
      for (const worker of workers) worker.disconnect();
      await Promise.all([events.close(), queue.close()]);
      server.kill('SIGKILL');
    },
  };
}
