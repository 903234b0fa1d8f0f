/**
 * Parts of this library that a process may never need, loaded where they are first used: a worker that runs small tasks
 * reads a third of the files that there are, and starts in half the time.
 *
 * They are loaded by `require()`, which takes modules since Node.js 20.19 and 22.12. Where it does not, or where a tool
 * has a loader of its own, `import 'quartermaster'` gives all of them from the start (start/at-once.ts).
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const provided = new Map<string, unknown>();

/** Whether this Node.js can load modules lazily; where not, start/at-once.ts is to be imported first. */
export const loadsLazily = process.features.require_module === true;

/** `part` is what `lazily(file)` gives, also where it has not been loaded yet. */
export function provide(file: URL, part: unknown): void {
  provided.set(file.href, part);
}

/** What a file exports, loaded at the first call. `P`: the type of that. */
export function lazily<P>(file: URL): () => P {
  let part: P | undefined;
  return () => (part ??= (provided.get(file.href) ?? require(fileURLToPath(file))) as P);
}
