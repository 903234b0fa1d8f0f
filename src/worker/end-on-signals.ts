/** A process that lives for its workers ends with them when it is told to: first gently, then at once. */
import { constants } from 'node:os';
import type { WorkerGroup } from './worker-group.ts';

/** How long (ms) what runs may go on after the first signal. */
const GRACE = 10_000;

/** Returns what takes the handlers away again. */
export function endOnSignals(group: WorkerGroup): () => void {
  let first: NodeJS.Signals | undefined;
  const signalled = (signal: NodeJS.Signals): void => {
    if (first !== undefined) {
      const code = 128 + constants.signals[first];
      void group.close().finally(() => process.exit(code));
      return;
    }
    first = signal;
    setTimeout(signalled, GRACE, signal);
    // Whoever waited for what has been finished goes on first.
    void group.drain().finally(() => setImmediate(() => process.exit(0)));
  };
  const signals = ['SIGTERM', 'SIGINT'] as const;
  for (const signal of signals) process.on(signal, signalled);
  return () => {
    // Between the first signal and the end a second one is still ours.
    if (first === undefined) for (const signal of signals) process.off(signal, signalled);
  };
}
