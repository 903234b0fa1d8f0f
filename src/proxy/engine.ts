/**
 * Settings of V8 in the processes that this library spawns (docs/decisions/0008-engine-settings.md). Node.js 20 has no
 * compiler between the baseline and the optimising one, and lets a function run a few thousand times before it is
 * optimised: a burst of short tasks is over by then. Later versions have one, and are left as they are.
 */
import { setFlagsFromString } from 'node:v8';

const waitsLong = process.versions.v8.startsWith('11.');

/**
 * For the command line of a process that we spawn: how large its old objects may grow (MiB) before they are collected
 * for the first time. By default that is what the loaded code alone comes to, so that the first tasks pay for it.
 */
const FIRST_COLLECTION = '--initial-old-space-size=32';

/**
 * For the command line of a manager: it optimises a function at once, and not in a thread beside. While workers keep the
 * processors busy such a thread gets its share of them late, and most of a burst runs unoptimised. A worker is its user's,
 * whose code may be large, and run where a processor is free.
 */
const COMPILE_AT_ONCE = '--no-concurrent-recompilation';

/** What a manager process is started with; it calls `keepOwnArguments` first. */
export const managerArguments: readonly string[] = waitsLong ? [FIRST_COLLECTION, COMPILE_AT_ONCE] : [];

/** What a worker that we spawn is started with; it calls `keepOwnArguments` first. */
export const workerArguments: readonly string[] = waitsLong ? [FIRST_COLLECTION] : [];

/** Of a command line, what is ours. */
const OURS = [FIRST_COLLECTION, COMPILE_AT_ONCE];

/**
 * For a worker's environment: large buffers come from memory that stays with the process when they are collected, up to
 * 64 MiB of it. By default glibc gives it back at once, and the next input is read into fresh pages, which takes more than
 * twice as long. Other allocators know nothing of it. What the user has set himself wins.
 */
export const workerAllocator: Readonly<Record<string, string>> = {
  MALLOC_MMAP_THRESHOLD_: String(32 << 20),
  MALLOC_TRIM_THRESHOLD_: String(64 << 20),
};

/** What this process spawns in turn does not inherit our settings: `fork()` passes on what stands in `process.execArgv`. */
export function keepOwnArguments(): void {
  process.execArgv = process.execArgv.filter((argument) => !OURS.includes(argument));
  for (const [name, value] of Object.entries(workerAllocator))
    if (process.env[name] === value) delete process.env[name];
}

/** What runs often is optimised sooner, and as well as ever. */
export function compileSooner(): void {
  if (waitsLong) setFlagsFromString('--ticks-before-optimization=1');
}

/** Less of what a function calls is compiled into it: right for our code, which is many small functions. */
export function inlineLess(): void {
  if (waitsLong) setFlagsFromString('--max-inlined-bytecode-size-cumulative=300');
}
