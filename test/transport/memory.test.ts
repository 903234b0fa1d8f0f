import { expect, test } from 'vitest';
import { memory, memoryPair } from '#qm/transport/memory.js';
import { transportContract } from '../contract/transport.contract.ts';

let used = 0;
transportContract('memory', memory, {
  address: () => `memory:${++used}`,
  nobody: 'ECONNREFUSED',
  sockets: false,
});

test('bytes are handed over by reference: no copy is made of a large buffer', async () => {
  const [a, b] = memoryPair();
  const sent = Buffer.alloc(1024 * 1024, 7);
  const got = await new Promise<Buffer>((resolve) => {
    b.receive({ data: resolve, drained: () => {}, closed: () => {} });
    a.send(sent);
  });
  expect(got.buffer).toBe(sent.buffer);
});

test('the other end goes while a turn hands its bytes over: the rest of them is gone, and nothing is counted twice', async () => {
  const [a, b] = memoryPair();
  let bytes = 0;
  await new Promise<void>((resolve) => {
    b.receive({
      data: (chunk) => {
        bytes += chunk.length;
        a.destroy();
        a.send(Buffer.alloc(10));
      },
      drained: () => {},
      closed: () => resolve(),
    });
    for (let i = 0; i < 3; i++) a.send(Buffer.alloc(10));
  });
  expect(bytes).toBe(10);
  expect(a.pending).toBe(0);
});

test('an address that is not memory:name is refused', async () => {
  await expect(memory.connect('unix:/somewhere')).rejects.toThrow('memory:name');
  await expect(memory.listen('memory:', () => {}, { maxConnections: 1 })).rejects.toThrow(TypeError);
});
