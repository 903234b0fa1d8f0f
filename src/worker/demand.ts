/**
 * Whether an elastic group should grow: looks at the queue's counts again and again, one call at a time. Tasks that
 * wait at two looks, one after the other, are more than the workers keep up with.
 */
import type { Client } from '../proxy/client.ts';

/** Time (ms) between two looks. */
const LOOK = 50;

/** Calls `wanting` with the number of tasks that wait. Returns what ends the watch. */
export function watchDemand(client: Client, queue: string, wanting: (tasks: number) => void): () => void {
  const tasks = client.tasks(queue);
  let waited = false;
  let looking = false;
  const timer = setInterval(() => {
    if (looking) return;
    looking = true;
    tasks.dict
      .counts()
      .then(
        ({ ready }) => {
          if (ready > 0 && waited) wanting(ready);
          waited = ready > 0;
        },
        () => {},
      )
      .finally(() => (looking = false));
  }, LOOK).unref();
  return () => {
    clearInterval(timer);
    tasks.dispose().catch(() => {});
  };
}
