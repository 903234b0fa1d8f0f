/** Loading a tasks module: its handlers, and what it does before and after. */
import type { Client } from '../proxy/client.ts';
import type { Handlers } from '../proxy/task-context.ts';

export interface TasksModule {
  readonly handlers: Handlers;
  readonly setup?: ((client: Client) => unknown) | undefined;
  readonly teardown?: (() => unknown) | undefined;
}

/** @throws what the module throws, or a TypeError that says what it must export */
export async function loadTasks(url: string): Promise<TasksModule> {
  const loaded = (await import(url)) as { default?: unknown; setup?: unknown; teardown?: unknown };
  return {
    handlers: checkHandlers(loaded.default, url),
    setup: optionalFunction<(client: Client) => unknown>(loaded.setup, 'setup', url),
    teardown: optionalFunction<() => unknown>(loaded.teardown, 'teardown', url),
  };
}

/** Refuses what are no handlers. */
export function checkHandlers(handlers: unknown, from: string): Handlers {
  if (typeof handlers !== 'object' || handlers === null) {
    throw new TypeError(
      `${from} must default-export its handlers: export default defineTasks({ name: (input) => output })`,
    );
  }
  for (const [name, handler] of Object.entries(handlers)) {
    if (typeof handler !== 'function')
      throw new TypeError(`handler '${name}' of ${from} is a ${typeof handler}, not a function`);
  }
  return handlers as Handlers;
}

function optionalFunction<F>(value: unknown, name: string, url: string): F | undefined {
  if (value === undefined || typeof value === 'function') return value as F | undefined;
  throw new TypeError(`${url} exports '${name}', which must be a function`);
}
