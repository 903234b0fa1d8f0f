import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { plainNet } from '#qm/transport/net.js';
import { nodeIpc } from '#qm/transport/node-ipc.js';
import type { Transport } from '#qm/transport/transport.js';
import { transportContract } from '../contract/transport.contract.ts';

const directory = mkdtempSync(join(tmpdir(), 'qm-'));
afterAll(() => rmSync(directory, { recursive: true }));

let used = 0;
transportContract('node-ipc', nodeIpc, {
  address: () => `unix:${directory}/${++used}`,
  nobody: 'ENOENT',
  sockets: true,
});

test.each([
  ['a plain client of a node-ipc listener', nodeIpc, plainNet],
  ['a node-ipc client of a plain listener', plainNet, nodeIpc],
])('the wire is the same: %s', async (_, server, client) => {
  const accept = (transport: Transport): void =>
    transport.receive({ data: (chunk) => transport.send(chunk), drained: () => {}, closed: () => {} });
  const listener = await server.listen(`unix:${directory}/${++used}`, accept, { maxConnections: 1 });
  const transport = await client.connect(listener.address);
  const echoed = await new Promise<Buffer>((resolve) => {
    transport.receive({ data: resolve, drained: () => {}, closed: () => {} });
    transport.send(Buffer.from('same'));
  });
  expect(echoed.toString()).toBe('same');
  transport.destroy();
  await listener.close();
});
