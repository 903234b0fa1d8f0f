/** What a handler may do to its own queue and its own manager: it settles, whatever it waits for. */
import { describe, expect, test } from 'vitest';
import { DeadlockError, ManagerGoneError } from 'quartermaster';
import { aClient, aRig, fresh, places, working } from '../kit/tasks-rig.ts';

describe.each(places)('D4 from inside a task (a manager %s)', (place) => {
  test.each(['join', 'drain'] as const)('%s of its own queue would wait for itself: told at once', async (how) => {
    const rig = await aRig(place);
    const name = fresh('queue');
    const queue = rig.client.tasks(name);
    working(await aClient(rig), name, {
      wait: (_, { client }) => client.tasks(name)[how](),
      echo: (input) => input,
    });
    const handle = await queue.put('wait');
    const error = await handle.result().catch((reason: Error) => reason.cause);
    expect(error).toBeInstanceOf(DeadlockError);
    expect(error).toMatchObject({
      message: `task '${handle.id}' (wait) waits for all of tasks '${name}' to end, and is one of them`,
    });
    // Nothing was shut down by that.
    expect(await queue.run('echo', 'it goes on')).toBe('it goes on');
  });

  test('join of another queue lends its slot to those that the other one waits for', async () => {
    const rig = await aRig(place);
    const [outer, inner] = [fresh('outer'), fresh('inner')];
    working(await aClient(rig), outer, {
      async wait(_, { client }) {
        await client.tasks(inner).put('ask');
        await client.tasks(inner).join();
        return 'empty';
      },
      echo: (input) => input,
    });
    working(await aClient(rig), inner, { ask: (_, { client }) => client.tasks(outer).run('echo', 'yes') });
    expect(await rig.client.tasks(outer).run('wait')).toBe('empty');
  });

  test('shutdown of its own queue: what is there still runs, and the loop ends', async () => {
    const rig = await aRig(place);
    const name = fresh('queue');
    const queue = rig.client.tasks(name);
    const loop = working(await aClient(rig), name, {
      end: (_, { client }) => client.tasks(name).shutdown(),
      echo: (input) => input,
    });
    const [end, after] = await Promise.all([queue.put('end'), queue.put('echo', 'after it')]);
    await end.result();
    expect(await after.result()).toBe('after it');
    await loop.ended;
    await expect(queue.put('echo')).rejects.toMatchObject({ code: 'QM_QUEUE_SHUTDOWN' });
  });
});

test.each([
  ['at once', {}],
  ['with drain, which waits for its own end no longer than its time', { drain: true, timeout: 50 }],
])('D4 a manager that is closed from inside a task: it settles, %s', async (_, options) => {
  const rig = await aRig('embedded');
  let closed = (): void => {};
  const closing = new Promise<void>((resolve) => (closed = resolve));
  working(await aClient(rig), 'tasks', {
    async end() {
      await rig.manager?.close(options);
      closed();
    },
  });
  const handle = await rig.client.tasks('tasks').put('end');
  await expect(handle.result()).rejects.toThrow(ManagerGoneError);
  await closing;
});
