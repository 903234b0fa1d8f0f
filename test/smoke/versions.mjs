// Run by .ci/run with each supported version of Node.js, against the compiled package: it must load and work there.
// Plain JavaScript, because the oldest of them runs no TypeScript.

import * as quartermaster from 'quartermaster';

const names = Object.keys(quartermaster);
if (names.length === 0) throw new Error('quartermaster exports nothing');
console.log(`Node.js ${process.versions.node}: quartermaster loads, ${names.length} exports`);
