/**
 * Flags of V8 for the processes that this library spawns (docs/decisions/0008-engine-flags.md). Node.js 20 has no
 * compiler between the baseline and the optimising one, and lets a function run a few thousand times before it is
 * optimised: a burst of short tasks is over by then. Later versions have one, and are left as they are.
 */
const waitsLong = /^11\./.test(process.versions.v8);

/** A manager runs our code alone: hot functions are also kept small, so that compiling them takes little. */
export const managerFlags: readonly string[] = waitsLong
  ? ['--ticks-before-optimization=1', '--max-inlined-bytecode-size-cumulative=300']
  : [];

/** A worker runs its user's code: that is compiled sooner, and as well as ever. `execArgv` comes after these. */
export const workerFlags: readonly string[] = waitsLong ? ['--ticks-before-optimization=1'] : [];
