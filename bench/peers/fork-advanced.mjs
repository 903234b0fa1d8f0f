/** T5 with nothing but `child_process.fork()` and its messages by structured clone: there and back between two processes. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parameters, report, timeEchoes } from '../measured.mjs';
import { countCpu } from '../processes.mjs';

if (process.send === undefined) await main();
else process.on('message', (bytes) => process.send?.(bytes));

async function main() {
  const { n, size, warmUp } = parameters({ n: 200, size: 1 << 20, warmUp: 20 });
  const child = fork(fileURLToPath(import.meta.url), { serialization: 'advanced' });
  /** @param {Buffer} bytes */
  const echo = async (bytes) => {
    const answer = once(child, 'message');
    child.send(bytes);
    return (await answer)[0];
  };
  await echo(Buffer.alloc(1)); // it listens
  const cpu = countCpu({ workers: [Number(child.pid)] });
  const figures = await timeEchoes(echo, n, size, warmUp);
  report({ n, ...figures, ...cpu() });
  child.disconnect();
}
