/** What every medium must do: one suite, run over node-ipc, node:net and memory. */
import { createHash, randomBytes } from 'node:crypto';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Listener, Medium, Transport } from '#qm/transport/transport.js';

export interface ContractOptions {
  /** A fresh address, at which nobody listens. */
  readonly address: () => string;
  /** The code with which `connect()` to nothing rejects. */
  readonly nobody: string;
  /** A medium over sockets of the system: limits of descriptors and backlog are real. */
  readonly sockets: boolean;
}

/** What arrived at one end, and promises for what is still to come. */
class End {
  readonly transport: Transport;
  readonly chunks: Buffer[] = [];
  bytes = 0;
  drains = 0;
  closes = 0;
  error: Error | undefined;
  onData: (chunk: Buffer) => void = () => {};
  readonly #waiting = new Set<() => void>();

  constructor(transport: Transport) {
    this.transport = transport;
    transport.receive({
      data: (chunk) => {
        this.chunks.push(chunk);
        this.bytes += chunk.length;
        this.#changed();
        this.onData(chunk);
      },
      drained: () => {
        this.drains++;
        this.#changed();
      },
      closed: (error) => {
        this.closes++;
        this.error = error;
        this.#changed();
      },
    });
  }

  #changed(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  /** Waits until `condition` holds; it is looked at after everything that this end is told. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  received(bytes: number): Promise<void> {
    return this.until(() => this.bytes >= bytes);
  }

  closed(): Promise<void> {
    return this.until(() => this.closes > 0);
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString();
  }
}

const digest = (buffers: readonly Uint8Array[]): string => {
  const hash = createHash('sha1');
  for (const buffer of buffers) hash.update(buffer);
  return hash.digest('hex');
};

interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
}

function deferred<T>(): Deferred<T> {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((settle) => (resolve = settle));
  return { promise, resolve };
}

/** One turn of the event loop, for "nothing more comes": everything on its way within this process has arrived. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export function transportContract(name: string, medium: Medium, options: ContractOptions): void {
  describe(name, () => {
    const opened: Transport[] = [];
    const listeners: Listener[] = [];

    afterEach(async () => {
      vi.useRealTimers();
      for (const transport of opened.splice(0)) transport.destroy();
      for (const listener of listeners.splice(0)) await listener.close();
    });

    async function listen(accept: (transport: Transport) => void, maxConnections = 10_000): Promise<Listener> {
      const take = (transport: Transport): void => {
        opened.push(transport);
        accept(transport);
      };
      const listener = await medium.listen(options.address(), take, { maxConnections });
      listeners.push(listener);
      return listener;
    }

    async function connect(address: string): Promise<Transport> {
      const transport = await medium.connect(address);
      opened.push(transport);
      return transport;
    }

    /** Both ends of a connection; the second has not set its handlers yet. */
    async function pair(): Promise<{ client: Transport; server: Transport; listener: Listener }> {
      const accepted = deferred<Transport>();
      const listener = await listen(accepted.resolve);
      const client = await connect(listener.address);
      return { client, server: await accepted.promise, listener };
    }

    async function ends(): Promise<{ client: End; server: End; listener: Listener }> {
      const { client, server, listener } = await pair();
      return { client: new End(client), server: new End(server), listener };
    }

    test('bytes arrive in order, both ways at once', async () => {
      const { client, server } = await ends();
      for (let i = 0; i < 1000; i++) {
        client.transport.send(Buffer.from(`c${i};`));
        server.transport.send(Buffer.from(`s${i};`));
      }
      const expected = (side: string): string => Array.from({ length: 1000 }, (_, i) => `${side}${i};`).join('');
      await server.received(expected('c').length);
      await client.received(expected('s').length);
      expect(server.text).toBe(expected('c'));
      expect(client.text).toBe(expected('s'));
    });

    test('a connection names its address', async () => {
      const { client, server, listener } = await ends();
      expect(client.transport.peer).toBe(listener.address);
      expect(server.transport.peer).toBe(listener.address);
    });

    test.runIf(options.sockets)(
      'what a peer had sent before it ended is read, also where a write to it fails',
      async () => {
        const { client, server } = await ends();
        for (const [ending, reading] of [
          [client, server] as const,
          await ends().then((a) => [a.server, a.client] as const),
        ]) {
          ending.transport.send(Buffer.alloc(100_000, 'x'));
          ending.transport.destroy();
          reading.transport.send(Buffer.from('to nobody'));
          await reading.closed();
          expect(reading.bytes).toBe(100_000);
          expect(reading.closes).toBe(1);
        }
      },
    );

    test('nothing is delivered from inside send(), nor closed() from inside close()', async () => {
      const { client, server } = await ends();
      client.transport.send(Buffer.from('x'));
      expect(server.bytes).toBe(0);
      await server.received(1);
      client.transport.close();
      expect(client.closes).toBe(0);
      await client.closed();
    });

    test('8 MiB in odd pieces, plain Uint8Arrays and empty ones among them', async () => {
      const { client, server } = await ends();
      const all = randomBytes(8 * 1024 * 1024);
      let size = 1;
      for (let at = 0; at < all.length; size = (size * 7 + 3) % 300_007) {
        const piece = new Uint8Array(all.subarray(at, at + size + 1));
        client.transport.send(piece);
        client.transport.send(new Uint8Array(0));
        at += piece.length;
      }
      await server.received(all.length);
      expect(digest(server.chunks)).toBe(digest([all]));
    });

    test('what is sent in the middle of a turn keeps its place, whatever the system has room for', async () => {
      const { client, server } = await ends();
      const all = randomBytes(6 * 1024 * 1024);
      server.transport.pause();
      for (let at = 0, i = 0; at < all.length; i++) {
        const piece = all.subarray(at, at + 1 + ((i * 7919) % 60_001));
        if (i % 5 === 4) client.transport.send(piece);
        else client.transport.sendNow(piece);
        client.transport.sendNow(new Uint8Array(0));
        at += piece.length;
        // Now and then the other side reads, and the event loop turns.
        if (i % 50 !== 49) continue;
        server.transport.resume();
        await turn();
        server.transport.pause();
      }
      server.transport.resume();
      await server.received(all.length);
      expect(digest(server.chunks)).toBe(digest([all]));
      await client.until(() => client.transport.pending === 0);
    });

    test('what was sent in the middle of a turn leaves before close(), and never after destroy()', async () => {
      const closing = await ends();
      const sent = randomBytes(2 * 1024 * 1024);
      closing.client.transport.sendNow(sent);
      closing.client.transport.close();
      closing.client.transport.sendNow(Buffer.from('dropped'));
      await closing.server.closed();
      expect(digest(closing.server.chunks)).toBe(digest([sent]));
      const destroyed = await ends();
      destroyed.client.transport.sendNow(sent);
      destroyed.client.transport.destroy();
      destroyed.client.transport.sendNow(sent);
      await destroyed.client.closed();
      await destroyed.server.closed();
      expect(destroyed.server.bytes).toBeLessThan(sent.length + 1);
    });

    test('pending counts what a turn has sent in its middle, and its end is told', async () => {
      const { client, server } = await ends();
      server.transport.pause();
      for (const bytes of [2 * 1024 * 1024, 300_000]) {
        const { drains } = client;
        const before = server.bytes;
        client.transport.sendNow(Buffer.alloc(bytes));
        expect(client.transport.pending).toBeGreaterThan(0);
        server.transport.resume();
        await client.until(() => client.drains > drains);
        expect(client.transport.pending).toBe(0);
        await server.received(before + bytes);
        server.transport.pause();
      }
    });

    test('20,000 small sends in one turn', async () => {
      const { client, server } = await ends();
      const one = Buffer.from('0123456789');
      for (let i = 0; i < 20_000; i++) client.transport.send(one);
      await server.received(200_000);
      expect(server.bytes).toBe(200_000);
    });

    test('what came before receive() is not lost, the end included', async () => {
      const { client, server } = await pair();
      client.send(Buffer.from('early'));
      client.close();
      for (let i = 0; i < 5; i++) await turn();
      const late = new End(server);
      await late.closed();
      expect(late.text).toBe('early');
      expect(late.closes).toBe(1);
    });

    test('receive() is for one owner', async () => {
      const { client } = await ends();
      const nobody = { data: () => {}, drained: () => {}, closed: () => {} };
      expect(() => client.transport.receive(nobody)).toThrow('twice');
    });

    test('close() lets what was sent before it leave, also to a slow reader', async () => {
      const { client, server } = await ends();
      const sent = randomBytes(3 * 1024 * 1024);
      server.transport.pause();
      client.transport.send(sent);
      client.transport.close();
      client.transport.send(Buffer.from('dropped'));
      await turn();
      server.transport.resume();
      await Promise.all([server.closed(), client.closed()]);
      expect(digest(server.chunks)).toBe(digest([sent]));
      expect(server.error).toBeUndefined();
    });

    test('close() in the face of a peer that goes on talking: the last word arrives, and no error with it', async () => {
      const { client, server } = await ends();
      server.onData = () => {
        if (server.bytes < 100_000) return;
        server.transport.send(Buffer.from('too much'));
        server.transport.close(new Error('too much'));
      };
      const talk = (): void => {
        client.transport.send(Buffer.alloc(20_000));
        if (client.closes === 0) setImmediate(talk);
      };
      talk();
      await Promise.all([client.closed(), server.closed()]);
      expect(client.text).toBe('too much');
      expect(client.error).toBeUndefined();
      expect(server.error?.message).toBe('too much');
    });

    test('close() of a paused side over unread bytes needs no deadline', async () => {
      vi.useFakeTimers({ toFake: ['setTimeout'] });
      const { client, server } = await ends();
      client.transport.pause();
      server.transport.send(Buffer.alloc(2 * 1024 * 1024));
      await turn();
      client.transport.close();
      await Promise.all([client.closed(), server.closed()]);
      expect(client.bytes).toBe(0);
    });

    if (options.sockets)
      test('close() cuts off a peer that takes nothing for a second, not one that is slow', async () => {
        vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
        const { client, server } = await ends();
        server.transport.pause();
        for (let i = 0; i < 4; i++) client.transport.send(Buffer.alloc(1024 * 1024));
        const before = client.transport.pending;
        client.transport.close();
        server.onData = () => server.transport.pause();
        while (client.transport.pending === before) {
          server.transport.resume(); // one chunk
          await turn();
        }
        vi.advanceTimersByTime(1000); // it took something since: another second
        for (let i = 0; i < 5; i++) await turn();
        expect(client.closes).toBe(0);
        vi.advanceTimersByTime(1000);
        await client.closed();
        expect(client.closes).toBe(1);
      });

    test('close() of a side that is held up itself lets what was sent before it leave all the same', async () => {
      const { client, server } = await ends();
      const sent = randomBytes(4 * 1024 * 1024);
      server.transport.pause();
      client.transport.send(sent);
      await turn();
      client.transport.close();
      server.transport.resume();
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1500);
      await Promise.all([server.closed(), client.closed()]);
      expect(digest(server.chunks)).toBe(digest([sent]));
    });

    test('closed() is called once on each side, with the reason on the side that gave one', async () => {
      const { client, server } = await ends();
      client.transport.close(new Error('enough'));
      client.transport.close(new Error('again'));
      client.transport.destroy();
      await Promise.all([client.closed(), server.closed()]);
      client.transport.destroy();
      server.transport.close();
      server.transport.destroy();
      for (let i = 0; i < 5; i++) await turn();
      expect([client.closes, server.closes]).toEqual([1, 1]);
      expect(client.error?.message).toBe('enough');
      expect(server.error).toBeUndefined();
    });

    test('closed() reaches an owner who comes after the end', async () => {
      const { client, server } = await pair();
      client.destroy();
      server.destroy();
      for (let i = 0; i < 5; i++) await turn();
      const late = new End(client);
      await late.closed();
      expect(late.closes).toBe(1);
    });

    test('both ends close at once', async () => {
      const { client, server } = await ends();
      client.transport.send(Buffer.from('a'));
      server.transport.send(Buffer.from('b'));
      client.transport.close();
      server.transport.close();
      await Promise.all([client.closed(), server.closed()]);
      expect([client.closes, server.closes]).toEqual([1, 1]);
    });

    test('the peer vanishes: closed(), and sending into the void does not throw', async () => {
      const { client, server } = await ends();
      client.transport.destroy();
      for (let i = 0; i < 100; i++) server.transport.send(Buffer.alloc(10_000));
      await Promise.all([client.closed(), server.closed()]);
      for (let i = 0; i < 100; i++) server.transport.send(Buffer.alloc(10_000));
      server.transport.pause();
      server.transport.resume();
      server.transport.ref();
      server.transport.unref();
      expect(server.closes).toBe(1);
      expect(server.transport.pending).toBe(0);
    });

    test('no data after this side closed', async () => {
      const { client, server } = await ends();
      server.transport.send(Buffer.from('on its way'));
      client.transport.close();
      await client.closed();
      expect(client.bytes).toBe(0);
    });

    test('a paused reader makes pending grow; resumed, all of it arrives and drained() fires', async () => {
      const { client, server } = await ends();
      server.transport.pause();
      const sent = randomBytes(4 * 1024 * 1024);
      client.transport.send(sent);
      await turn();
      await turn();
      // The system's own buffers may take a part of it, far less than half.
      expect(client.transport.pending).toBeGreaterThan(sent.length / 2);
      expect(client.drains).toBe(0);
      server.transport.resume();
      await server.received(sent.length);
      await client.until(() => client.drains > 0);
      expect(client.transport.pending).toBe(0);
      expect(digest(server.chunks)).toBe(digest([sent]));
    });

    test('pause() from inside data() holds the next chunk back', async () => {
      const { client, server } = await ends();
      let paused = false;
      server.onData = () => {
        expect(paused).toBe(false);
        paused = true;
        server.transport.pause();
        setImmediate(() => {
          paused = false;
          server.transport.resume();
        });
      };
      for (let i = 0; i < 50; i++) {
        client.transport.send(Buffer.alloc(1000, i));
        if (i % 5 === 0) await turn();
      }
      await server.received(50_000);
      expect(server.error).toBeUndefined();
    });

    test('an exception in data() closes that connection with it and leaves the others', async () => {
      const servers: End[] = [];
      const listener = await listen((transport) => {
        const end = new End(transport);
        end.onData = (chunk) => {
          if (chunk.includes('bad')) throw new Error('cannot read this');
          transport.send(chunk);
        };
        servers.push(end);
      });
      const good = new End(await connect(listener.address));
      const bad = new End(await connect(listener.address));
      good.transport.send(Buffer.from('one'));
      await good.received(3);
      bad.transport.send(Buffer.from('bad'));
      await bad.closed();
      good.transport.send(Buffer.from('two'));
      await good.received(6);
      expect(good.text).toBe('onetwo');
      await Promise.race(servers.map((end) => end.closed()));
      const failed = servers.filter((end) => end.closes > 0);
      expect(failed.map((end) => end.error?.message)).toEqual(['cannot read this']);
    });

    test('an exception in data() of a client closes that client only', async () => {
      const listener = await listen((transport) => {
        const end = new End(transport);
        end.onData = (chunk) => transport.send(chunk);
      });
      const one = new End(await connect(listener.address));
      const two = new End(await connect(listener.address));
      one.onData = () => {
        throw new Error('not for me');
      };
      for (const end of [one, two]) end.transport.send(Buffer.from('hello'));
      await one.closed();
      await two.received(5);
      expect(one.error?.message).toBe('not for me');
      expect(two.closes).toBe(0);
    });

    test('an exception in drained() closes that connection', async () => {
      const { client, server } = await pair();
      const closed = deferred<Error | undefined>();
      new End(server);
      client.receive({
        data: () => {},
        drained: () => {
          throw new Error('no thanks');
        },
        closed: closed.resolve,
      });
      client.send(Buffer.alloc(1024 * 1024));
      expect((await closed.promise)?.message).toBe('no thanks');
    });

    test('exceptions in accept() and closed() become warnings, and the listener goes on', async () => {
      const warnings: string[] = [];
      const enough = deferred<void>();
      const note = (warning: Error): void => {
        if (!warning.message.startsWith('own: ')) return;
        warnings.push(warning.message);
        if (warnings.length === 2) enough.resolve();
      };
      process.on('warning', note);
      try {
        let connections = 0;
        const listener = await listen((transport) => {
          if (++connections === 1) throw new Error('own: in accept');
          new End(transport);
        });
        await new End(await connect(listener.address)).closed();
        const client = await connect(listener.address);
        client.receive({
          data: () => {},
          drained: () => {},
          closed: () => {
            throw new Error('own: in closed');
          },
        });
        client.close();
        await enough.promise;
        expect(warnings).toEqual(['own: in accept', 'own: in closed']);
      } finally {
        process.off('warning', note);
      }
    });

    test('connect() to nothing says so, with the code', async () => {
      const address = options.address();
      await expect(connect(address)).rejects.toMatchObject({ code: options.nobody });
      await expect(connect(address)).rejects.toThrow(`nobody listens at ${JSON.stringify(address)}`);
    });

    test('connect() aborted before or meanwhile rejects with the reason', async () => {
      const listener = await listen((transport) => void new End(transport));
      const reason = new Error('changed my mind');
      const before = medium.connect(listener.address, { signal: AbortSignal.abort(reason) });
      await expect(before).rejects.toBe(reason);
      if (!options.sockets) return; // memory connects in one turn: there is no meanwhile
      const controller = new AbortController();
      const meanwhile = medium.connect(listener.address, { signal: controller.signal });
      controller.abort(reason);
      await expect(meanwhile).rejects.toBe(reason);
    });

    test('an abort after connect() has resolved changes nothing', async () => {
      const listener = await listen((transport) => {
        const end = new End(transport);
        end.onData = (chunk) => transport.send(chunk);
      });
      const controller = new AbortController();
      const transport = await medium.connect(listener.address, { signal: controller.signal });
      opened.push(transport);
      controller.abort();
      const client = new End(transport);
      client.transport.send(Buffer.from('still here'));
      await client.received(10);
      expect(client.text).toBe('still here');
    });

    test('a second listener at one address is refused, and the first is not disturbed', async () => {
      const listener = await listen((transport) => {
        const end = new End(transport);
        end.onData = (chunk) => transport.send(chunk);
      });
      const second = medium.listen(listener.address, () => {}, { maxConnections: 10 });
      await expect(second).rejects.toMatchObject({ code: 'EADDRINUSE' });
      const client = new End(await connect(listener.address));
      client.transport.send(Buffer.from('alive'));
      await client.received(5);
    });

    test('after close() of the listener: no new connections, the old ones live, the address is free', async () => {
      const { client, server, listener } = await ends();
      await listener.close();
      await listener.close();
      await expect(connect(listener.address)).rejects.toMatchObject({ code: options.nobody });
      client.transport.send(Buffer.from('still'));
      await server.received(5);
      const again = await medium.listen(listener.address, (transport) => opened.push(transport), {
        maxConnections: 10,
      });
      listeners.push(again);
      await listener.close(); // the old owner's repeated close must not take the new one's address away
      await connect(listener.address);
    });

    test('connections over maxConnections are dropped, and the place of one that left is free', async () => {
      const accepted: End[] = [];
      const listener = await listen((transport) => {
        const end = new End(transport);
        end.onData = (chunk) => transport.send(chunk);
        accepted.push(end);
      }, 2);
      const one = new End(await connect(listener.address));
      const two = new End(await connect(listener.address));
      const three = new End(await connect(listener.address));
      await three.closed();
      expect(accepted.length).toBe(2);
      expect([one.closes, two.closes]).toEqual([0, 0]);
      one.transport.close();
      await Promise.race(accepted.map((end) => end.closed()));
      const four = new End(await connect(listener.address));
      for (const end of [two, four]) {
        end.transport.send(Buffer.from('x'));
        await end.received(1);
      }
      expect(accepted.length).toBe(3);
    });

    test('a busy pair leaves turns to timers', async () => {
      const { client, server } = await ends();
      const bounce = Buffer.from('x');
      let bouncing = true;
      client.onData = () => {
        if (bouncing) client.transport.send(bounce);
      };
      server.onData = () => server.transport.send(bounce);
      client.transport.send(bounce);
      await server.received(2);
      await new Promise((resolve) => setTimeout(resolve, 1));
      bouncing = false;
    });

    if (options.sockets)
      test('C7 1,000 connections at once on one listener, all served', async () => {
        // More than node-ipc's default of 100, and more than the 511 that a socket's backlog holds.
        const count = 1000;
        const listener = await listen((transport) => {
          const end = new End(transport);
          end.onData = (chunk) => transport.send(chunk);
        }, count);
        const clients = await Promise.all(
          Array.from({ length: count }, async () => new End(await connect(listener.address))),
        );
        await Promise.all(
          clients.map(async (client, i) => {
            const said = `client ${i}`;
            client.transport.send(Buffer.from(said));
            await client.received(said.length);
            expect(client.text).toBe(said);
          }),
        );
        for (const client of clients) client.transport.close();
        await Promise.all(clients.map((client) => client.closed()));
      });

    test('ref() holds the process, unref() lets it go', async () => {
      const { client } = await ends();
      // The kind of resource that stands for an open connection; only those that hold the process are listed.
      const kind = options.sockets ? 'PipeWrap' : 'Timeout';
      const held = (): number => process.getActiveResourcesInfo().filter((resource) => resource === kind).length;
      client.transport.unref();
      const without = held();
      client.transport.ref();
      client.transport.ref();
      expect(held()).toBe(without + 1);
      client.transport.unref();
      expect(held()).toBe(without);
      client.transport.ref();
      client.transport.close();
      await client.closed();
      await turn();
      expect(held()).toBeLessThanOrEqual(without);
    });
  });
}
