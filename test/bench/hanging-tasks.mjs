/** Handlers that never end, in workers that leave a process of its own session behind. */
import { spawn } from 'node:child_process';

spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6)'], { detached: true, stdio: 'ignore' }).unref();

export default { noop: () => new Promise(() => {}) };
