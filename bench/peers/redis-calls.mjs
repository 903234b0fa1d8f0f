/** T3 with Redis by ioredis, over a Unix socket: rpush and lpop of a list, or hset and hget of a hash, as JSON. */
import { Redis } from 'ioredis';
import { check, parameters, report } from '../measured.mjs';
import { countCpu } from '../processes.mjs';
import { quantile } from '../statistics.mjs';
import { startRedis } from './redis.mjs';

const { n, object } = parameters({ n: 5_000, object: 'queue' }); // or dict
const WARM_UP = 2_000;

const { connection, pid, server } = await startRedis();
const redis = new Redis(connection);
const value = JSON.stringify({ id: 1, fn: 'noop', arg: { i: 1 } });
/** @type {[(k: number) => Promise<unknown>, (k: number) => Promise<string | null>]} */
const [write, read] =
  object === 'queue'
    ? [() => redis.rpush('queue', JSON.stringify({ id: 1, fn: 'noop', arg: { i: 1 } })), () => redis.lpop('queue')]
    : [
        (k) => redis.hset('dict', k, JSON.stringify({ id: 1, fn: 'noop', arg: { i: 1 } })),
        (k) => redis.hget('dict', k),
      ];

const microseconds = new Float64Array(2 * n);
const cpu = countCpu({ manager: pid });
for (let k = -WARM_UP; k < n; k++) {
  const start = performance.now();
  await write(k);
  const between = performance.now();
  const back = await read(k);
  const { arg } = JSON.parse(String(back));
  const end = performance.now();
  check(arg.i === 1 && back === value, `${String(back)} came back`);
  if (k < 0) continue;
  microseconds[2 * k] = (between - start) * 1000;
  microseconds[2 * k + 1] = (end - between) * 1000;
}
report({ n: 2 * n, p50us: quantile(microseconds, 0.5), p99us: quantile(microseconds, 0.99), ...cpu() });
await redis.quit();
server.kill('SIGKILL');
