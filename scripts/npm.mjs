// How to start npm: the very one that started us where there is one, else the one on the path.

import path from 'node:path';

/**
 * @param {string[]} args
 * @returns {[command: string, args: string[], options: { shell: boolean }]} for `spawn` and its kin
 */
export function npm(args) {
  const running = process.env['npm_execpath'];
  if (running !== undefined && path.basename(running) === 'npm-cli.js') {
    return [process.execPath, [running, ...args], { shell: false }];
  }
  return ['npm', args, { shell: process.platform === 'win32' }]; // there npm is a batch file
}
