/** A redis-server of our own: on a Unix socket in this program's folder, in memory. It ends with this process. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export async function startRedis() {
  const socket = path.join(os.tmpdir(), 'redis.sock');
  const args = ['--port', '0', '--unixsocket', socket, '--save', '', '--appendonly', 'no', '--dir', os.tmpdir()];
  const server = spawn('redis-server', args, { stdio: 'ignore' });
  process.once('exit', () => server.kill('SIGKILL'));
  while (!existsSync(socket)) {
    if (server.exitCode !== null) throw new Error(`redis-server ended with ${server.exitCode}`);
    await sleep(5);
  }
  return { connection: { path: socket, maxRetriesPerRequest: null }, pid: Number(server.pid), server };
}
