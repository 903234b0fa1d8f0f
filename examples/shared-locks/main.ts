/**
 * Locks that processes share: at most two downloads at once (semaphore), many readers or one writer, a wait for a
 * change (condition), and two flows that would wait for each other for ever: the newest is told so, with the circle.
 */
import { connect, DeadlockError, startManager } from 'quartermaster';

const manager = await startManager();
// Another client, as another process would have it.
const other = await connect(manager.connectionFile);
try {
  const slots = manager.semaphore('downloads', { permits: 2 });
  let running = 0;
  let most = 0;
  const download = async (): Promise<void> => {
    most = Math.max(most, ++running);
    await manager.counter('downloads done').add();
    running--;
  };
  await Promise.all(Array.from({ length: 10 }, () => slots.runExclusive(download)));
  console.log(`${await manager.counter('downloads done').get()} downloads, at most ${most} at once`);

  const config = manager.dict<string, number>('config');
  await manager.rwLock('config lock').write((guard) => config.set('workers', 4, { guard }));
  console.log(
    'read by both:',
    await Promise.all([manager, other].map((client) => client.rwLock('config lock').read(() => config.get('workers')))),
  );

  const ready = manager.condition('ready');
  const waiting = ready.runExclusive(async (guard) => {
    await ready.waitFor(guard, async () => (await config.get('ready')) === 1);
    return 'ready';
  });
  const there = other.condition('ready');
  await there.runExclusive(async (guard) => {
    await other.dict<string, number>('config').set('ready', 1, { guard });
    await there.notifyAll();
  });
  console.log('the wait ended:', await waiting);

  const waits = manager.event('waits');
  const closing = manager.lock('a').runExclusive(async () => {
    await manager.event('a is held').set();
    await waits.wait();
    return manager.lock('b').runExclusive(() => 'never reached');
  });
  const first = other.lock('b').runExclusive(async () => {
    await other.event('a is held').wait();
    const a = other.lock('a').acquire();
    // Handled after the call before it: by then that one waits, and the other flow closes the circle.
    await other.event('waits').set();
    await (await a).release();
  });
  try {
    await closing;
  } catch (error) {
    if (!(error instanceof DeadlockError)) throw error;
    console.log('refused:', error.cycle.join(' → '));
  }
  await first;
  console.log('still held or waited for:', await manager.inspect.locks());
} finally {
  await other.close();
  await manager.shutdown();
}

// Output:
//     10 downloads, at most 2 at once
//     read by both: [ 4, 4 ]
//     the wait ended: ready
//     refused: lock 'a' → lock 'b' → lock 'a'
//     still held or waited for: []
