/** What our own programs use of it. */

/** A fixed amount of work: about `us` µs on a core of its own. */
export function spin(us: number): number;
export function warmSpin(): void;
/** How long (µs) each of `n` tasks is. */
export function skewTasks(n: number, order: string, seed?: number): number[];
/** The smallest length (µs) of a task with which `workers` workers reach half of the ideal rate; null: none was found. */
export function metg(options: {
  layers: number;
  width: number;
  workers: number;
  /** Runs all `layers` × `width` tasks, each of so many µs: in how many seconds. */
  runOnce: (us: number) => Promise<number>;
  budgetS?: number;
  start?: number;
}): Promise<{ metgUs: number | null; lowerUs: number; tried: [number, number][] }>;
/** A path for a Unix socket, below this program's temporary folder. */
export function sockPath(name: string): string;
