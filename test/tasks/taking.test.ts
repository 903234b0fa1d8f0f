/** Taking tasks by hand: what a user's own loop stands on. */
import { describe, expect, test } from 'vitest';
import { DeadlockError, type LeasedTask, LeaseLostError, ProxyDisposedError, TimeoutError } from 'quartermaster';
import { connectionOf } from '#qm/proxy/client.js';
import { ToManager } from '#qm/protocol/messages.js';
import { arrived } from '../kit/arrived.ts';
import { aClient, fresh, places, sharedRig, working } from '../kit/tasks-rig.ts';

describe.each(places)('%s', (place) => {
  const rig = sharedRig(place);

  async function aQueue() {
    const name = fresh('queue');
    const other = await aClient(rig());
    return { name, other, queue: rig().client.tasks(name), elsewhere: other.tasks(name) };
  }

  test('Q4 getNowait on an empty queue resolves undefined, and uses no token', async () => {
    const { queue, elsewhere } = await aQueue();
    await queue.put('x');
    const { token } = await take(elsewhere);
    expect(await elsewhere.getNowait()).toBeUndefined();
    expect(await queue.getNowait()).toBeUndefined();
    await queue.put('x');
    expect((await take(elsewhere)).token).toBe(token + 1n);
  });

  test('get waits for a task; those who wait are served in their order', async () => {
    const { queue, elsewhere } = await aQueue();
    const third = await aClient(rig());
    const served: number[] = [];
    const waits: Promise<unknown>[] = [];
    for (const [i, taker] of [queue, elsewhere, third.tasks(queue.name)].entries()) {
      const wait = taker.get().then((task) => {
        served.push(i);
        return task.complete();
      });
      waits.push(wait);
      await taker.dict.size();
    }
    for (let i = 0; i < 3; i++) {
      await queue.put('x');
      await waits[i];
    }
    expect(served).toEqual([0, 1, 2]);
  });

  test('get with a timeout, with a signal, takes nothing when it ends', async () => {
    const { queue, elsewhere } = await aQueue();
    await expect(elsewhere.get({ timeout: 1 })).rejects.toThrow(TimeoutError);
    const abort = new AbortController();
    const waiting = elsewhere.get({ signal: abort.signal });
    const why = new Error('enough');
    abort.abort(why);
    await expect(waiting).rejects.toBe(why);
    await expect(elsewhere.get({ signal: abort.signal })).rejects.toBe(why);
    await expect(elsewhere.get({ timeout: -1 })).rejects.toThrow(RangeError);
    // The manager has heard of the ends before it answers.
    await elsewhere.dict.size();
    const handle = await queue.put('x');
    expect(await handle.state()).toBe('ready');
    expect((await take(queue)).id).toBe(handle.id);
  });

  test('Q3 a get that is cancelled at the moment of delivery: the task goes to the next', async () => {
    const { queue, elsewhere } = await aQueue();
    const third = (await aClient(rig())).tasks(queue.name);
    // While this client also runs a task, nothing else would make it look at what came too late.
    await queue.put('long');
    const long = await take(elsewhere);
    const results: Promise<unknown>[] = [];
    for (let i = 0; i < 200; i++) {
      const abort = new AbortController();
      const first = elsewhere.get({ signal: abort.signal });
      await elsewhere.dict.size();
      const second = third.get();
      await third.dict.size();
      const put = queue.put('x', i);
      // Now, or when it may have arrived: both races.
      if (i % 2 === 0) await put;
      abort.abort(new Error('left'));
      const task = await first.catch(() => undefined);
      if (task !== undefined) {
        results.push(task.complete());
        await queue.put('x', i);
      }
      const delivered = await second;
      expect(delivered.input).toBe(i);
      results.push(delivered.complete(), put);
    }
    await Promise.all(results);
    await long.complete();
    expect(await queue.dict.counts()).toMatchObject({ ready: 0, leased: 0 });
  });

  test('tokens grow over all leases of all queues, also of a task that comes back; attempts count executions', async () => {
    const one = await aQueue();
    const two = await aQueue();
    await one.queue.put('x', undefined, { retries: 1 });
    await two.queue.put('x');
    const tokens: bigint[] = [];
    const first = await take(one.elsewhere);
    tokens.push(first.token);
    await first.release();
    const other = await take(two.elsewhere);
    tokens.push(other.token);
    const again = await take(one.elsewhere);
    tokens.push(again.token);
    expect([first.id, first.attempt, again.id, again.attempt]).toEqual(['t1', 1, 't1', 1]);
    await again.fail(new Error('once'));
    const last = await take(one.elsewhere);
    tokens.push(last.token);
    expect(last.attempt).toBe(2);
    expect(tokens).toEqual(tokens.toSorted((a, b) => (a < b ? -1 : 1)));
    expect(new Set(tokens).size).toBe(4);
  });

  test('release gives a task back in its old place, un-started', async () => {
    const { queue, elsewhere } = await aQueue();
    for (let i = 0; i < 3; i++) await queue.put('x', i);
    const first = await take(elsewhere);
    await first.release();
    await first.release();
    const order = [await take(elsewhere), await take(elsewhere), await take(elsewhere)];
    expect(order.map((task) => task.input)).toEqual([0, 1, 2]);
    expect(await queue.dict.get('t1')).toMatchObject({ state: 'leased', attempt: 1 });
    await expect(first.extend(1000)).rejects.toThrow(LeaseLostError);
  });

  test('Q8 the end of a lease is told once: repeated, it gets the same answer', async () => {
    const { queue, elsewhere } = await aQueue();
    const handle = await queue.put('x');
    const task = await take(elsewhere);
    await Promise.all([task.complete('first'), task.complete('second'), task.fail(new Error('third')), task.release()]);
    expect(await handle.result()).toBe('first');
    expect(await handle.record()).toMatchObject({ attempt: 1, state: 'succeeded' });
  });

  test('a task whose output cannot cross can still be ended otherwise', async () => {
    const { queue, elsewhere } = await aQueue();
    const handle = await queue.put('x');
    const task = await take(elsewhere);
    await expect(task.complete({ bad: () => {} })).rejects.toMatchObject({
      code: 'QM_UNSERIALIZABLE',
      path: 'output.bad',
    });
    expect(await handle.state()).toBe('leased');
    await task.complete('good');
    expect(await handle.result()).toBe('good');
  });

  test('an error that cannot cross whole crosses as name, message and stack', async () => {
    const { queue, elsewhere } = await aQueue();
    const handle = await queue.put('x');
    await (await take(elsewhere)).fail(Object.assign(new RangeError('odd'), { callback: () => {} }));
    await expect(handle.result()).rejects.toMatchObject({ cause: { name: 'RangeError', message: 'odd' } });
  });

  test('extend takes a time', async () => {
    const { queue, elsewhere } = await aQueue();
    await queue.put('x');
    const task = await take(elsewhere);
    for (const wrong of [0, -1, NaN]) await expect(task.extend(wrong)).rejects.toThrow(RangeError);
    await task.extend(10_000);
    await task.complete();
    await expect(task.extend(10_000)).rejects.toThrow(LeaseLostError);
  });

  test('several proxies of one queue on one client take side by side', async () => {
    const { name, queue, other } = await aQueue();
    const proxies = [other.tasks(name), other.tasks(name), other.tasks(name)];
    for (let i = 0; i < 6; i++) await queue.put('x', i);
    const taken: LeasedTask[] = [];
    for (let i = 0; i < 6; i++) taken.push(await take(proxies[i % 3] as (typeof proxies)[0]));
    expect(taken.map((task) => task.input)).toEqual([0, 1, 2, 3, 4, 5]);
    await Promise.all(taken.map((task) => task.complete(task.input)));
    const waits = proxies.map((proxy) => proxy.get());
    for (let i = 0; i < 3; i++) await queue.put('y', i);
    for (const task of await Promise.all(waits)) await task.complete();
    expect(await queue.dict.counts()).toMatchObject({ succeeded: 9, ready: 0, leased: 0 });
  });

  test('two loops of one client share a queue', async () => {
    const { name, queue, other } = await aQueue();
    const ran: string[] = [];
    working(other, name, { x: () => void ran.push('one') });
    working(other, name, { x: () => void ran.push('two') });
    await Promise.all(Array.from({ length: 200 }, () => queue.run('x')));
    expect(ran).toHaveLength(200);
  });

  test('taking through a disposed proxy is refused; what was taken through it can still be ended', async () => {
    const { name, queue, other } = await aQueue();
    const handle = await queue.put('x');
    await queue.put('y');
    const proxy = other.tasks(name);
    const task = await take(proxy);
    await proxy.dispose();
    await expect(proxy.getNowait()).rejects.toThrow(ProxyDisposedError);
    await expect(proxy.get()).rejects.toThrow(ProxyDisposedError);
    await task.complete('done');
    expect(await handle.result()).toBe('done');
    expect((await take(other.tasks(name))).name).toBe('y');
  });

  describe('withLock', () => {
    test('the holder puts and takes, everybody else waits their turn', async () => {
      const { queue, elsewhere } = await aQueue();
      const order: string[] = [];
      let taken: Promise<unknown> | undefined;
      let put: Promise<unknown> | undefined;
      const task = await queue.withLock(async (held) => {
        taken = elsewhere.get().then((got) => order.push(`taken ${String(got.input)}`));
        put = elsewhere.put('x', 'theirs').then(() => order.push('put'));
        // Not for the queue's holder alone: what was asked before it has arrived by now.
        await elsewhere
          .handle('t1')
          .result()
          .catch(() => {});
        await held.put('x', 'mine');
        await held.putNowait('x', 'also mine');
        const first = await held.getNowait();
        order.push('end of the hold');
        return first as LeasedTask;
      });
      await Promise.all([taken, put]);
      expect(task.input).toBe('mine');
      expect([order[0], ...order.slice(1).toSorted()]).toEqual(['end of the hold', 'put', 'taken also mine']);
      // The hold is over: the lease is not.
      await task.complete('kept');
      expect(await queue.handle(task.id).result()).toBe('kept');
      expect((await take(queue)).input).toBe('theirs');
    });

    test('what would have to wait is a DeadlockError', async () => {
      const name = fresh('queue');
      const queue = rig().client.tasks(name, { maxSize: 1 });
      await queue.withLock(async (held) => {
        await expect(held.get()).rejects.toThrow(DeadlockError);
        expect(await held.getNowait()).toBeUndefined();
        await held.put('x');
        await expect(held.put('x')).rejects.toThrow(DeadlockError);
      });
    });

    test('Q10 a hold delays neither complete, fail, release, extend nor the end of a session', async () => {
      const { queue, elsewhere } = await aQueue();
      for (let i = 0; i < 5; i++) await queue.put('x', i, { retries: 1 });
      const ending = await rig().another();
      const [a, b, c, d] = [
        await take(elsewhere),
        await take(elsewhere),
        await take(elsewhere),
        await take(elsewhere),
      ] as const;
      const lost = await take(ending.tasks(queue.name));
      await queue.withLock(async (held) => {
        await a.complete();
        await b.fail(new Error('b'));
        await c.release();
        await d.extend(1000);
        await ending.close();
        while ((await held.dict.get(lost.id))?.state !== 'ready');
        expect(await held.dict.counts()).toMatchObject({ succeeded: 1, leased: 1, ready: 3 });
      });
      await expect(lost.complete()).rejects.toThrow(LeaseLostError);
      const states = (await queue.dict.entries()).map(([, { state, attempt }]) => `${state} ${attempt}`);
      expect(states).toEqual(['succeeded 1', 'ready 1', 'ready 0', 'leased 1', 'ready 1']);
    });
  });

  test('a loop whose tasks come one by one asks once for each, also after a burst', async () => {
    const { queue, other } = await aQueue();
    const { link } = other[connectionOf];
    const beginCall = link.beginCall.bind(link);
    let asked = 0;
    link.beginCall = (kind, call, handle) => {
      if (kind === ToManager.TAKE) asked++;
      return beginCall(kind, call, handle);
    };
    const loop = working(other, queue.name as string, { x: (input: unknown) => input });
    /** How often it has asked for a task when it has ended the ones before and waits for the next. */
    const asks = async (tasks: number): Promise<number> => {
      const before = asked;
      for (let i = 0; i < tasks; i++) expect(await queue.run('x', i)).toBe(i);
      await arrived(other);
      return asked - before;
    };
    await asks(2);
    expect(await asks(10)).toBe(10);
    const burst = Array.from({ length: 500 }, (_, i) => i);
    expect(await Promise.all(burst.map((i) => queue.run('x', i)))).toEqual(burst);
    await arrived(other);
    await asks(2);
    expect(await asks(10)).toBe(10);
    await loop.stop();
  });

  test('the end of a session ends its leases: other clients get its tasks, its late calls are refused', async () => {
    const { queue, elsewhere } = await aQueue();
    await queue.put('x', 'one');
    const leaving = await rig().another();
    const task = await take(leaving.tasks(queue.name));
    const { signal } = task;
    await leaving.close();
    expect(signal.aborted).toBe(true);
    await expect(task.complete()).rejects.toThrow(LeaseLostError);
    await expect(task.extend(10)).rejects.toThrow(LeaseLostError);
    const again = await elsewhere.get();
    expect([again.input, again.attempt]).toEqual(['one', 2]);
  });
});

async function take(queue: { getNowait(): Promise<LeasedTask | undefined> }): Promise<LeasedTask> {
  const task = await queue.getNowait();
  if (task === undefined) throw new Error('nothing is ready');
  return task;
}
