/** A client and the end of its connection: what settles, with what, and what is there again afterwards. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  type Client,
  connect,
  ConnectionLostError,
  JobGraph,
  LeaseLostError,
  Manager,
  ManagerGoneError,
  NotLockOwnerError,
  ProxyDisposedError,
  work,
} from 'quartermaster';
import { coreOf } from '#qm/manager/manager.js';
import { PROTOCOL_VERSION, Refusal, ToClient } from '#qm/protocol/messages.js';
import { connectionUnder, KEY, listening, managerProcess } from '../kit/listening.ts';
import { frame } from '../kit/raw-client.ts';
import { run } from '../kit/run.ts';
import { until } from '../kit/until.ts';

/** The connection breaks, as if the manager had dropped it. */
function breakConnection(client: Client): void {
  connectionUnder(client).link.transport.destroy();
}

/** Breaks the connection and waits until it is there again. */
async function reconnected(client: Client): Promise<void> {
  const back = once(client, 'reconnected');
  breakConnection(client);
  await back;
}

/** Every kind of wait that a client can have, each of which would last for ever. */
async function everyWait(client: Client): Promise<Record<string, Promise<unknown>>> {
  const other = client.lock('held');
  await other.acquire();
  const full = client.queue('full', { maxSize: 1 });
  await full.put(1);
  const fullTasks = client.tasks('full tasks', { maxSize: 1 });
  const handle = await fullTasks.put('never');
  const held = client.dict('held dict');
  void held.withLock(() => new Promise(() => {})).catch(() => {});
  const graph = new JobGraph();
  graph.add('never', undefined, { id: 'a' });
  const graphRun = client.tasks('graph').runGraph(graph);
  const progress = handle.progress()[Symbol.asyncIterator]();
  return {
    'a call that is on its way': client.dict('d').get('k'),
    'a get': client.queue('empty').get(),
    'a get with a timeout': client.queue('empty').get({ timeout: 3_600_000 }),
    'a getMany': client.queue('empty').getMany(5),
    'a put into a full queue': full.put(2),
    'a join': full.join(),
    'a lock': client.lock('held').acquire(),
    'a lock for a body': client.lock('held').runExclusive(() => {}),
    'a hold': held.withLock(() => {}),
    'a call on a held object': held.size(),
    'a task to take': client.tasks('empty').get(),
    'a put into a full task queue': fullTasks.put('never'),
    'a run': client.tasks('graph').run('never'),
    'a run with a timeout': client.tasks('graph').run('never', undefined, { timeout: 3_600_000 }),
    'a result': handle.result(),
    'a result with a timeout': handle.result({ timeout: 3_600_000 }),
    'the result of a task by its id': client.tasks('full tasks').handle(handle.id).result(),
    'progress of a task': progress.next(),
    'puts of many': fullTasks.putMany('never', [1, 2, 3]).toArray(),
    'a job graph': graphRun.result(),
    'a job of a graph': graphRun.output('a'),
    'a worker loop': work(client.tasks('loop'), {}),
    'a closing call': client.inspect.workers(),
  };
}

/** How each settles: nothing stays pending. */
async function endings(waits: Record<string, Promise<unknown>>): Promise<Record<string, unknown>> {
  const ends: Record<string, unknown> = {};
  await Promise.all(
    Object.entries(waits).map(async ([name, wait]) => {
      ends[name] = await wait.then(
        () => 'resolved',
        (error: unknown) => error,
      );
    }),
  );
  return ends;
}

function expectAll(ends: Record<string, unknown>, Class: new (message: string) => Error): void {
  const others = Object.entries(ends).filter(([, end]) => !(end instanceof Class));
  // A call that had been answered already when the end came is as good.
  expect(others.filter(([name, end]) => !(end === 'resolved' && /call|closing/.test(name)))).toEqual([]);
}

describe('every pending promise settles', () => {
  test('when the client is closed: ConnectionLostError', async () => {
    const { connect: enter } = await listening();
    const client = await enter();
    const ends = endings(await everyWait(client));
    await client.close();
    expectAll(await ends, ConnectionLostError);
    await expect(client.dict('d').get('k')).rejects.toThrow('the client has been closed');
    await expect(client.tasks('t').put('x')).rejects.toThrow(ConnectionLostError);
    await expect(client.tasks('t').getNowait()).rejects.toThrow(ConnectionLostError);
    await client.close();
  });

  test('when the manager is closed: ManagerGoneError, over a socket', async () => {
    const { manager, connect: enter } = await listening();
    const client = await enter();
    const ends = endings(await everyWait(client));
    await manager.close();
    expectAll(await ends, ManagerGoneError);
    await expect(client.dict('d').get('k')).rejects.toThrow(ManagerGoneError);
  });

  test('when the manager is closed: ManagerGoneError, in its own process', async () => {
    const { manager } = await listening();
    const client = manager.client();
    const ends = endings(await everyWait(client));
    await manager.close();
    expectAll(await ends, ManagerGoneError);
    await expect(client.dict('d').get('k')).rejects.toThrow(ManagerGoneError);
  });

  test('M1 when the manager is killed: ManagerGoneError', async () => {
    const manager = await managerProcess();
    const client = await connect(manager.connectionFile);
    onTestFinished(() => client.close());
    const { pid } = manager;
    const waits = await everyWait(client);
    const ends = endings(waits);
    process.kill(pid, 'SIGKILL');
    expectAll(await ends, ManagerGoneError);
    const late = (await client
      .dict('d')
      .get('k')
      .catch((error: unknown) => error)) as Error;
    expect(late).toBeInstanceOf(ManagerGoneError);
    expect(late.message).toContain(`(pid ${pid}) has gone`);
    rmSync(join(manager.connectionFile, '..'), { recursive: true, force: true });
  });

  test('when the connection is lost: ConnectionLostError, and the manager is still there', async () => {
    const { connect: enter } = await listening();
    const client = await enter();
    const waits = await everyWait(client);
    waits['a worker loop']?.catch(() => {}); // it goes on
    delete waits['a worker loop'];
    const ends = endings(waits);
    await reconnected(client);
    expectAll(await ends, ConnectionLostError);
    await client.counter('n').add(1);
  });
});

describe('a connection that comes back', () => {
  test('a new session; named objects live on, also those that came inside values', async () => {
    const { connect: enter } = await listening();
    const [client, other] = [await enter(), await enter()];
    const { session } = client;
    const dict = client.dict<string, unknown>('d');
    await other.dict<string, unknown>('d').set('proxy', other.counter('inside'));
    const inside = (await dict.get('proxy')) as { add(n: number): Promise<number> };
    expect(await inside.add(1)).toBe(1);
    const queue = client.queue('q', { maxSize: 2 });
    await queue.put('kept');
    await reconnected(client);
    expect(client.session).not.toBe(session);
    expect(await queue.get()).toBe('kept');
    expect(await inside.add(1)).toBe(2);
    await dict.set('k', 'again');
    expect(await other.dict('d').get('k')).toBe('again');
  });

  test('unnamed objects have ended with the session, and say so', async () => {
    const { connect: enter } = await listening();
    const client = await enter();
    const [dict, lock] = [client.dict(), client.lock()];
    await dict.set('k', 1);
    await lock.acquire();
    await reconnected(client);
    for (const call of [dict.get('k'), lock.acquire(), dict.withLock(() => {}), client.dict('named').set('x', dict)]) {
      const error = (await call.catch((reason: unknown) => reason)) as Error;
      expect(error).toBeInstanceOf(ProxyDisposedError);
      expect(error.message).toContain('ask for the object again');
    }
    await client.dict().set('k', 1);
  });

  test('guards and holds are lost, and said to be; the next in line has the lock', async () => {
    const { connect: enter } = await listening();
    const [client, other] = [await enter(), await enter()];
    const guard = await client.lock('l').acquire();
    const waiting = other.lock('l').acquire();
    const body = client.dict('d').withLock(async (held) => {
      await reconnected(client);
      await held.set('k', 'too late');
    });
    await expect(body).rejects.toThrow(ProxyDisposedError);
    const next = await waiting;
    expect(next.token).toBeGreaterThan(guard.token);
    expect(guard.signal.aborted).toBe(true);
    expect(guard.signal.reason).toBeInstanceOf(ConnectionLostError);
    await expect(guard.release()).rejects.toThrow(NotLockOwnerError);
    await expect(client.dict('d').set('k', 1, { guard })).rejects.toThrow(NotLockOwnerError);
    expect(await client.dict('d').has('k')).toBe(false);
    await next.release();
  });

  test('leases are lost: the signal fires, a late complete is refused, another worker has the task', async () => {
    const { connect: enter } = await listening();
    const [client, other] = [await enter(), await enter()];
    const handle = await other.tasks('t').put('job', 'input');
    const task = await client.tasks('t').get();
    const aborted = once(task.signal, 'abort');
    await reconnected(client);
    await aborted;
    await expect(task.complete('late')).rejects.toThrow(LeaseLostError);
    const again = await other.tasks('t').get();
    expect([again.id, again.attempt]).toEqual([task.id, 2]);
    expect(again.token).toBeGreaterThan(task.token);
    await again.complete('in time');
    expect(await handle.result()).toBe('in time');
  });

  test('results of tasks that were put before are there, those that ended meanwhile and those that end later', async () => {
    const { connect: enter } = await listening();
    const [client, other] = [await enter(), await enter()];
    const tasks = client.tasks('t');
    const [before, meanwhile, later, failing] = await tasks.putMany('job', [1, 2, 3, 4]).toArray();
    const worker = other.tasks('t');
    await (await worker.get()).complete('one');
    expect(await before?.result()).toBe('one');
    const waiting = later?.result();
    waiting?.catch(() => {});
    const back = once(client, 'reconnected');
    breakConnection(client);
    await (await worker.get()).complete('two');
    await back;
    await expect(waiting).rejects.toThrow(ConnectionLostError);
    expect(await before?.result()).toBe('one');
    expect(await meanwhile?.result()).toBe('two');
    const asked = later?.result();
    await (await worker.get()).complete('three');
    expect(await asked).toBe('three');
    await (await worker.get()).fail(new RangeError('four'));
    await expect(failing?.result()).rejects.toMatchObject({ code: 'QM_TASK_FAILED', cause: new RangeError('four') });
  });

  test('a worker loop goes on', async () => {
    const { connect: enter } = await listening();
    const [client, other] = [await enter(), await enter()];
    const stop = new AbortController();
    const working = work(
      client.tasks<{ job: (n: number) => number }>('t'),
      { job: (n) => -n },
      { signal: stop.signal, concurrency: 2 },
    );
    const tasks = other.tasks<{ job: (n: number) => number }>('t');
    for (let i = 0; i < 5; i++) {
      expect(await tasks.run('job', i)).toBe(-i);
      await reconnected(client);
    }
    expect(await tasks.run('job', 5)).toBe(-5);
    stop.abort();
    await working;
  });

  test('a job graph goes on while its submitter is away', async () => {
    const { connect: enter } = await listening();
    const [client, other] = [await enter(), await enter()];
    const graph = new JobGraph<{ add: (input: { to: number }) => number }>();
    const first = graph.add('add', { to: 1 });
    graph.add('add', { to: first });
    const ran = client.tasks<{ add: (input: { to: number }) => number }>('t').runGraph(graph, { id: 'run' });
    const lost = ran.result();
    lost.catch(() => {});
    await until(async () => (await other.tasks('t').dict.size()) === 2);
    await reconnected(client);
    await expect(lost).rejects.toThrow(ConnectionLostError);
  });

  test('again and again, with calls under way: each settles, and what resolved has happened', async () => {
    const { connect: enter } = await listening();
    const [client, other] = [await enter(), await enter()];
    const counter = client.counter('n');
    let resolved = 0;
    let lost = 0;
    const count = async (): Promise<void> => {
      for (let i = 0; i < 50; i++) {
        await counter.add(1).then(
          () => resolved++,
          (error: unknown) => {
            expect(error).toBeInstanceOf(ConnectionLostError);
            lost++;
            return connectionUnder(client).closed ? undefined : new Promise((resolve) => setImmediate(resolve));
          },
        );
      }
    };
    const counting = Promise.all(Array.from({ length: 10 }, count));
    for (let i = 0; i < 20; i++) {
      const back = once(client, 'reconnected');
      breakConnection(client);
      await back;
    }
    await counting;
    expect(resolved + lost).toBe(500);
    const value = await other.counter('n').get();
    expect(value).toBeGreaterThanOrEqual(resolved);
    expect(value).toBeLessThanOrEqual(resolved + lost);
  });
});

/** What stands at the manager's address and accepts connections, but is none; `accept` answers. */
async function standIn(address: string, accept: (socket: Socket) => void): Promise<{ connections: () => number }> {
  let connections = 0;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    connections++;
    sockets.add(socket);
    socket.on('error', () => {});
    accept(socket);
  });
  await new Promise<void>((resolve) => server.listen(address.slice('unix:'.length), resolve));
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  });
  return { connections: () => connections };
}

function privateAddress(): string {
  const directory = mkdtempSync(join(tmpdir(), 'qm-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return `unix:${join(directory, 's')}`;
}

describe('a manager that does not come back', () => {
  test('another manager at its address, with the same key, is another manager', async () => {
    const address = privateAddress();
    const first = new Manager({ authKey: KEY });
    const { connectionFile } = await first.listen(address);
    const client = await connect(connectionFile);
    onTestFinished(() => client.close());
    await client.counter('n').add(1);
    const second = new Manager({ authKey: KEY });
    onTestFinished(() => second.close());
    rmSync(address.slice('unix:'.length));
    await second.listen(address);
    const reached = once(connectionUnder(client), 'closed');
    await first.close();
    await reached;
    await expect(client.counter('n').get()).rejects.toThrow(ManagerGoneError);
    const anew = await connect(connectionFile);
    onTestFinished(() => anew.close());
    expect(await anew.counter('n').get()).toBe(0);
  });

  test.each([
    ['the same key', KEY],
    ['another key', 'another key'],
  ])(
    'a manager process that was killed and another one started there with %s: ManagerGoneError, at once',
    async (_what, authKey) => {
      const address = privateAddress();
      const manager = await managerProcess({ address, authKey: KEY });
      const { connectionFile, pid } = manager;
      const client = await connect(connectionFile);
      onTestFinished(() => client.close());
      const pending = client.queue('q').get();
      pending.catch(() => {});
      await client.counter('n').add(1);
      // The other one is there before the client hears of the end.
      rmSync(address.slice('unix:'.length));
      await managerProcess({ address, authKey });
      process.kill(pid, 'SIGKILL');
      const error = (await pending.catch((reason: unknown) => reason)) as Error;
      expect(error).toBeInstanceOf(ManagerGoneError);
      expect(error.message).toBe(`the manager at ${address} (pid ${pid}) has gone; another one lives at its address`);
    },
  );

  test.each([
    ['refuses the key', Refusal.authentication],
    ['speaks another version', Refusal.version],
  ])('what stands there now %s: one attempt is enough', async (_what, refusal) => {
    const address = privateAddress();
    const manager = new Manager({ authKey: KEY });
    onTestFinished(() => manager.close());
    await manager.listen(address);
    const client = await connect(address, { authKey: KEY });
    onTestFinished(() => client.close());
    rmSync(address.slice('unix:'.length));
    const stand = await standIn(address, (socket) => {
      socket.end(
        frame(ToClient.REFUSED, (writer) => {
          writer.u8(refusal);
          writer.u16(PROTOCOL_VERSION);
          writer.text('no');
        }),
      );
    });
    const pending = client.queue('q').get();
    pending.catch(() => {});
    breakConnection(client);
    await expect(pending).rejects.toThrow('another one lives at its address');
    expect(stand.connections()).toBe(1);
  });

  test('what stands there now hangs up: tried again, and not for ever', { timeout: 60_000 }, async () => {
    const address = privateAddress();
    const manager = new Manager({ authKey: KEY });
    onTestFinished(() => manager.close());
    await manager.listen(address);
    const client = await connect(address, { authKey: KEY });
    onTestFinished(() => client.close());
    rmSync(address.slice('unix:'.length));
    const stand = await standIn(address, (socket) => socket.destroy());
    const pending = client.queue('q').get();
    pending.catch(() => {});
    breakConnection(client);
    await expect(pending).rejects.toThrow(ManagerGoneError);
    expect(stand.connections()).toBe(9);
  });

  test('reconnect: false ends with the connection: ConnectionLostError, since the manager may be well', async () => {
    const { manager, connect: enter } = await listening();
    const client = await enter({ reconnect: false });
    const pending = client.queue('q').get();
    breakConnection(client);
    await expect(pending).rejects.toThrow(ConnectionLostError);
    await expect(client.queue('q').get()).rejects.toThrow(ConnectionLostError);
    await manager.client().queue('q').put(1);
  });
});

describe('leaving in the middle', () => {
  /** A client whose connection is lost, at a place that accepts and says nothing. */
  async function adrift(): Promise<{ client: Client; pending: Promise<unknown> }> {
    const address = privateAddress();
    const manager = new Manager({ authKey: KEY });
    onTestFinished(() => manager.close());
    await manager.listen(address);
    const client = await connect(address, { authKey: KEY });
    const pending = client
      .tasks('t')
      .put('x')
      .then((handle) => handle.result());
    pending.catch(() => {});
    await client.counter('n').add(1);
    rmSync(address.slice('unix:'.length));
    let arrived = (): void => {};
    const accepted = new Promise<void>((resolve) => (arrived = resolve));
    await standIn(address, () => arrived());
    breakConnection(client);
    await accepted;
    return { client, pending };
  }

  test('closing while the connection comes back settles everything now, and leaves no connection', async () => {
    const { client, pending } = await adrift();
    const late = client.queue('q').get();
    await expect(late).rejects.toThrow(ConnectionLostError);
    let error: unknown;
    pending.catch((reason: unknown) => (error = reason));
    await client.close();
    await new Promise((resolve) => setImmediate(resolve));
    expect(error).toEqual(new ConnectionLostError('the client has been closed'));
  });

  test('closing just when the connection is there again closes that one too', async () => {
    const { manager, connect: enter } = await listening();
    const client = await enter();
    const core = manager[coreOf];
    for (let i = 0; i < 20; i++) {
      const other = await enter();
      const joined = core.sessions.size;
      breakConnection(other);
      // The new session begins before the client hears of it.
      while (core.sessions.size === joined - 1 || core.sessions.size === joined) {
        await new Promise((resolve) => setImmediate(resolve));
        if (!core.sessions.has(other.session)) break;
      }
      await other.close();
    }
    await client.counter('n').add(1);
    while (core.sessions.size > 1) await new Promise((resolve) => setImmediate(resolve));
    expect([...core.sessions.keys()]).toEqual([client.session]);
  });

  test("a signal ends connect() also during the handshake, with the signal's reason", async () => {
    const address = privateAddress();
    const abort = new AbortController();
    let arrived = (): void => {};
    const accepted = new Promise<void>((resolve) => (arrived = resolve));
    await standIn(address, () => arrived());
    const connecting = connect(address, { authKey: KEY, signal: abort.signal });
    connecting.catch(() => {});
    await accepted;
    abort.abort(new RangeError('enough'));
    await expect(connecting).rejects.toThrow(new RangeError('enough'));
    await expect(connect(address, { authKey: KEY, signal: abort.signal })).rejects.toThrow('enough');
  });

  test('the signal of connect() means nothing once it is connected', async () => {
    const { connect: enter } = await listening();
    const abort = new AbortController();
    const client = await enter({ signal: abort.signal });
    abort.abort();
    await client.counter('n').add(1);
    await reconnected(client);
    expect(await client.counter('n').add(1)).toBe(2);
  });
});

/** Runs a program that uses the library, and must end by itself. */
async function program(text: string): Promise<string> {
  const { stdout, stderr, code } = await run(process.execPath, ['--input-type=module', '-e', text], {
    cwd: import.meta.dirname,
    timeout: 20_000,
  });
  expect({ stderr, code }).toEqual({ stderr: '', code: 0 });
  return stdout;
}

describe('a process never spins, nor stays for nothing', () => {
  const start = `
    import { Manager, connect, work } from 'quartermaster';
    import { connectionOf } from '#qm/proxy/client.js';
    const manager = new Manager();
    const { connectionFile } = await manager.listen();
    const client = await connect(connectionFile);
  `;

  test('a worker loop whose client is closed ends', async () => {
    const said = await program(`${start}
      const working = work(client.tasks('t'), {}).catch((error) => console.log(error.name, error.message));
      await client.counter('n').add(1);
      await client.close();
      await working;
      await manager.close();
    `);
    expect(said).toBe('ConnectionLostError the client has been closed\n');
  });

  test('a handler that ends while the connection is away: the loop waits for it, and goes on', async () => {
    const said = await program(`${start}
      const stop = new AbortController();
      const other = await connect(connectionFile);
      const connection = client[connectionOf];
      const away = () => {
        connection.link.transport.destroy();
        return new Promise((resolve) => {
          const look = () => connection.call(0, 5, []).then(look, resolve);
          look();
        });
      };
      const working = work(client.tasks('t'), { away, here: () => 'here' }, { signal: stop.signal });
      const lost = other.tasks('t').run('away').catch((error) => error.name);
      const back = new Promise((resolve) => client.once('reconnected', resolve));
      await back;
      console.log(await other.tasks('t').run('here', undefined, { priority: 1 }));
      stop.abort();
      await client.close();
      await other.close();
      await working;
      await manager.close();
      console.log(await lost);
    `);
    expect(said).toMatch(/^here\n/);
  });

  test('calls that are refused before they are sent do not keep the process', async () => {
    const said = await program(`${start}
      const tasks = client.tasks('t');
      const refused = [
        tasks.put(''), tasks.put('x', () => {}), tasks.put('x', 1, { priority: NaN }), tasks.put('x'.repeat(1001)),
        client.dict('d').set('k', Symbol('s')), client.dict('d').get({}), client.queue('q').get({ timeout: -1 }),
        client.dict('d').set('k', Buffer.alloc(100e6)), tasks.put('x', Buffer.alloc(100e6)),
        tasks.run('x', Buffer.alloc(100e6)), client.lock('l').acquire({ signal: AbortSignal.abort() }),
      ];
      for (const { status, reason } of await Promise.allSettled(refused)) console.log(status, reason.name);
      await manager.close().then(() => console.log('closed'));
    `);
    expect(said).toBe(
      [
        'TypeError',
        'UnserializableError',
        'TypeError',
        'TypeError',
        'UnserializableError',
        'TypeError',
        'RangeError',
        'FrameTooLargeError',
        'FrameTooLargeError',
        'FrameTooLargeError',
        'AbortError',
      ]
        .map((name) => `rejected ${name}\n`)
        .join('') + 'closed\n',
    );
  });

  test('an idle client does not keep its process', async () => {
    const manager = await managerProcess();
    const said = await program(`
      import { connect } from 'quartermaster';
      const client = await connect(${JSON.stringify(manager.connectionFile)});
      const dict = client.dict('d');
      await dict.set('k', 1);
      const handle = await client.tasks('t').put('x');
      console.log(await dict.get('k'), handle.id);
    `);
    expect(said).toBe('1 t1\n');
  });
});
