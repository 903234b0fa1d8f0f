/**
 * What `import 'quartermaster'` gives in a process that a worker group has spawned (the condition of package.json by
 * which it is started): the same as index.ts, with hardly more behind it than a worker has loaded anyway. A tasks module
 * imports it for `defineTasks`, and seldom for a manager.
 */
import { lazily } from '../protocol/lazily.ts';

export * from '../public-errors.ts';
export { asCompleted, wait } from '../proxy/as-completed.ts';
export { connect } from '../proxy/connect.ts';
export { defineTasks } from '../proxy/task-context.ts';
export { work } from '../worker/work.ts';

const managers = lazily<typeof import('../manager/manager.ts')>(new URL('../manager/manager.js', import.meta.url));
const graphs = lazily<typeof import('../proxy/job-graph.ts')>(new URL('../proxy/job-graph.js', import.meta.url));

export const Manager = loadedLater(() => managers().Manager);
export const JobGraph = loadedLater(() => graphs().JobGraph);

export const startManager: typeof import('./start-manager.ts').startManager = async (options) =>
  (await import('./start-manager.ts')).startManager(options);

export const startPool: typeof import('./start-pool.ts').startPool = async (options) =>
  (await import('./start-pool.ts')).startPool(options);

export const startWorkers: typeof import('../worker/start-workers.ts').startWorkers = async (...args) =>
  (await import('../worker/start-workers.ts')).startWorkers(...args);

/** Stands for a class, in `new`, `extends` and `instanceof`, and loads it then. */
function loadedLater<C extends new (...args: never[]) => object>(load: () => C): C {
  // A target that can be constructed, so that the proxy can be; a class would insist on its own prototype.
  return new Proxy(function () {} as unknown as C, {
    construct: (_, args, newTarget) => Reflect.construct(load(), args, newTarget) as object,
    get: (_, key) => Reflect.get(load(), key) as unknown,
  });
}
