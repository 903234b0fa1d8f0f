/** What is in memory, for tests that nothing stays there. */
import v8 from 'node:v8';
import vm from 'node:vm';

v8.setFlagsFromString('--expose-gc');
const gc = vm.runInNewContext('gc') as () => void;

/** Twice: the memory of buffers goes a collection after the buffers. */
export function collectGarbage(): void {
  gc();
  gc();
}
