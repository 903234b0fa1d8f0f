/**
 * A spawned worker process begins here: `require()` reads the many small files of process.ts in a quarter less time than `import`,
 * whose every file goes through several turns of the event loop.
 */
import { lazily, loadsLazily } from '../protocol/lazily.ts';

const main = new URL('./process.js', import.meta.url);

if (loadsLazily) {
  lazily(main)();
} else {
  await import(new URL('../start/at-once.js', import.meta.url).href);
  await import(main.href);
}
