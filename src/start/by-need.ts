/**
 * What `import 'quartermaster'` gives where Node.js loads modules by `require()` (the condition `module-sync` of
 * package.json): the same names as index.ts, with hardly anything behind them until they are used. A program that starts a
 * manager process, or connects to one, never loads what a manager consists of, and a tasks module that only wants
 * `defineTasks` loads nothing at all.
 */
import { lazily } from '../protocol/lazily.ts';

export * from '../public-errors.ts';
export { asCompleted, wait } from '../proxy/as-completed.ts';
export { defineTasks } from '../proxy/task-context.ts';

const connecting = lazily<typeof import('../proxy/connect.ts')>(new URL('../proxy/connect.js', import.meta.url));
const graphs = lazily<typeof import('../proxy/job-graph.ts')>(new URL('../proxy/job-graph.js', import.meta.url));
const groups = lazily<typeof import('../worker/start-workers.ts')>(
  new URL('../worker/start-workers.js', import.meta.url),
);
const managers = lazily<typeof import('../manager/manager.ts')>(new URL('../manager/manager.js', import.meta.url));
const pools = lazily<typeof import('./start-pool.ts')>(new URL('./start-pool.js', import.meta.url));
const processes = lazily<typeof import('./start-manager.ts')>(new URL('./start-manager.js', import.meta.url));
const working = lazily<typeof import('../worker/work.ts')>(new URL('../worker/work.js', import.meta.url));

export const Manager = loadedLater('Manager', () => managers().Manager);
export const JobGraph = loadedLater('JobGraph', () => graphs().JobGraph);

export const connect: typeof import('../proxy/connect.ts').connect = async (...args) => connecting().connect(...args);

export const startManager: typeof import('./start-manager.ts').startManager = async (...args) =>
  processes().startManager(...args);

export const startPool: typeof import('./start-pool.ts').startPool = async (options) => pools().startPool(options);

export const startWorkers: typeof import('../worker/start-workers.ts').startWorkers = async (...args) =>
  groups().startWorkers(...args);

export const work: typeof import('../worker/work.ts').work = async (...args) => working().work(...args);

/** Stands for a class, in `new`, `extends` and `instanceof`, and loads it then. */
function loadedLater<C extends new (...args: never[]) => object>(name: string, load: () => C): C {
  // A target that can be constructed, so that the proxy can be; a class would insist on its own prototype.
  const target = Object.defineProperty(function () {}, 'name', { value: name });
  return new Proxy(target as unknown as C, {
    construct: (_, args, newTarget) => Reflect.construct(load(), args, newTarget) as object,
    get: (_, key) => Reflect.get(load(), key) as unknown,
  });
}
