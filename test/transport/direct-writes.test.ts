/** A turn that writes much is read while it lasts: by a process of its own, since this thread is held up. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { nodeIpc } from '#qm/transport/node-ipc.js';
import { plainNet } from '#qm/transport/net.js';
import type { Medium, Transport } from '#qm/transport/transport.js';

/** More than any buffer of the system between the two. */
const MUCH = 8 << 20;

/** Reads from the socket of its argument, and creates a file once that was MUCH. */
const reader = `
  let read = 0;
  const socket = require('node:net').connect(process.argv[1]);
  socket.on('data', (chunk) => {
    if (read < ${MUCH} && (read += chunk.length) >= ${MUCH}) require('node:fs').writeFileSync(process.argv[2], '');
  });
`;

test.skipIf(process.platform === 'win32').each<[string, Medium]>([
  ['node-ipc', nodeIpc],
  ['net', plainNet],
])('%s: the other side reads on while the turn lasts', async (_, medium) => {
  const directory = mkdtempSync(join(tmpdir(), 'qm-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'socket');
  const done = join(directory, 'done');
  let accept!: (transport: Transport) => void;
  const accepted = new Promise<Transport>((resolve) => (accept = resolve));
  const listener = await medium.listen(`unix:${path}`, accept, { maxConnections: 10 });
  onTestFinished(() => listener.close());
  const child = spawn(process.execPath, ['-e', reader, path, done], { stdio: 'inherit' });
  const transport = await accepted;
  const drained = new Promise<void>((resolve) =>
    transport.receive({ data: () => {}, drained: resolve, closed: () => {} }),
  );
  const lock = new Int32Array(new SharedArrayBuffer(4));
  // All in one turn, of some ten seconds at most. Where nothing leaves, nothing is read beyond the first few 100 KB.
  for (let i = 0; i < 10_000 && !existsSync(done); i++) {
    const waits = transport.pending > 1 << 20;
    transport.sendNow(Buffer.alloc(waits ? 1 : 1 << 16));
    if (waits) Atomics.wait(lock, 0, 0, 1);
  }
  expect(existsSync(done)).toBe(true);
  for (let i = 0; i < 10_000 && transport.pending > 0; i++) {
    Atomics.wait(lock, 0, 0, 1);
    transport.sendNow(Buffer.alloc(1));
  }
  // All gone before the turn was over: it had waited all the same.
  expect(transport.pending).toBe(0);
  await drained;
  transport.destroy();
  await once(child, 'exit');
});
