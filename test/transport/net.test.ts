import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { plainNet } from '#qm/transport/net.js';
import { transportContract } from '../contract/transport.contract.ts';

const directory = mkdtempSync(join(tmpdir(), 'qm-'));
afterAll(() => rmSync(directory, { recursive: true }));

let used = 0;
transportContract('net', plainNet, {
  address: () => `unix:${directory}/${++used}`,
  nobody: 'ENOENT',
  sockets: true,
});
