/** What BaseManager and SyncManager promise and no other suite shows, the way that docs/python.md says to do it. */
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { AuthenticationError, connect, Manager, ManagerGoneError, startManager } from 'quartermaster';
import { aFolder, isAlive } from '../kit/tasks-rig.ts';

test('a manager in a process of its own, at an address and with a key that others know', async () => {
  const address = `unix:${path.join(aFolder(), 'manager.sock')}`;
  const manager = await startManager({ address, authKey: 'known to both' });
  onTestFinished(() => manager.shutdown());
  expect([manager.address, manager.pid === process.pid]).toEqual([address, false]);
  await manager.dict('shared').set('a', 1);
  const client = await connect(address, { authKey: 'known to both' });
  expect(await client.dict('shared').get('a')).toBe(1);
  await client.close();
  await expect(connect(address, { authKey: 'known to nobody' })).rejects.toThrow(AuthenticationError);
});

test('a manager that serves from this process, for ever or until it is closed', async () => {
  const manager = new Manager();
  manager.register('Greeter', () => ({ greet: (name: string) => `Hello, ${name}` }));
  const { address, connectionFile } = await manager.listen();
  const client = await connect(connectionFile);
  expect([client.address, client.pid]).toEqual([address, process.pid]);
  expect(await client.object<{ greet(name: string): string }>('Greeter').greet('Ada')).toBe('Hello, Ada');
  await manager.close();
  await expect(client.dict('shared').size()).rejects.toThrow(ManagerGoneError);
  await client.close();
  await expect(connect(connectionFile)).rejects.toThrow();
});

test('shutdown: resolved when the process is gone, to all who wait; with drain, after the last task or its time', async () => {
  const manager = await startManager();
  const { pid } = manager;
  const worker = await connect(manager.connectionFile);
  const handle = await manager.tasks().put('x');
  const task = await worker.tasks().get();
  const outcome = handle.result().catch((error: unknown) => error);
  const ends = [manager.shutdown({ drain: true, timeout: 60_000 }), manager.shutdown()];
  expect(isAlive(pid)).toBe(true);
  await task.complete('finished');
  await Promise.all(ends);
  expect(isAlive(pid)).toBe(false);
  await outcome;
  await worker.close();

  const impatient = await startManager();
  await impatient.tasks().put('never taken');
  await impatient.shutdown({ drain: true, timeout: 20 });
  expect(isAlive(impatient.pid)).toBe(false);
});
