/**
 * Settings of V8 in the processes that this library spawns (docs/decisions/0008-engine-settings.md). Node.js 20 has no
 * compiler between the baseline and the optimising one, and lets a function run a few thousand times before it is
 * optimised: a burst of short tasks is over by then. Later versions have one, and are left as they are.
 */
import { setFlagsFromString } from 'node:v8';

const waitsLong = process.versions.v8.startsWith('11.');

/** What runs often is optimised sooner, and as well as ever. */
export function compileSooner(): void {
  if (waitsLong) setFlagsFromString('--ticks-before-optimization=1');
}

/** Less of what a function calls is compiled into it: right for our code, which is many small functions. */
export function inlineLess(): void {
  if (waitsLong) setFlagsFromString('--max-inlined-bytecode-size-cumulative=300');
}
