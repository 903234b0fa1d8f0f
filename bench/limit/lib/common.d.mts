/** What our own programs use of it. */

/** A fixed amount of work: about `us` µs on a core of its own. */
export function spin(us: number): number;
export function warmSpin(): void;
/** How long (µs) each of `n` tasks is. */
export function skewTasks(n: number, order: string, seed?: number): number[];
