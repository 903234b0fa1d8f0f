// The contents of node-ipc and its five dependencies as a list of SHA-256 sums, which test/supply-chain.test.ts compares
// with what is installed. Run it (node scripts/hash-node-ipc.mjs) after a change of node-ipc's version, and only after
// reading what changed: SECURITY.md says why. The list can be checked by other means too:
//
//   cd node_modules && sha256sum -c ../test/supply-chain.sha256

import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { walk } from './freshness.mjs';

/** node-ipc and everything that it brings along. */
export const packages = ['easy-stack', 'event-pubsub', 'js-message', 'js-queue', 'node-ipc', 'strong-type'];

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/** The committed list. */
export const listFile = path.join(root, 'test', 'supply-chain.sha256');

/**
 * Every file of the packages below `folder` (a node_modules), as `sha256sum` prints it: sum, two spaces, path.
 *
 * @param {string} folder
 */
export function hashPackages(folder) {
  return packages
    .flatMap((name) => walk(path.join(folder, name)).files)
    .map((file) => `${hash(file)}  ${path.relative(folder, file).replaceAll(path.sep, '/')}\n`)
    .sort((a, b) => (a.slice(64) < b.slice(64) ? -1 : 1))
    .join('');
}

/** @param {string} file */
function hash(file) {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(listFile, hashPackages(path.join(root, 'node_modules')));
  console.log(`Wrote ${path.relative(process.cwd(), listFile)}.`);
}
