/** The way in, over a real manager's socket: who is let in, who is not, what they hear, and what is read before that. */
import crypto, { createHmac, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { syncBuiltinESMExports } from 'node:module';
import { createServer, connect as dial, type Socket } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { AuthenticationError, connect, ConnectionLostError, ProtocolError } from 'quartermaster';
import { coreOf } from '#qm/manager/manager.js';
import { newNonce, proof, proves, writeHello } from '#qm/protocol/handshake.js';
import { PROTOCOL_VERSION, Refusal, Role, ToClient, ToManager } from '#qm/protocol/messages.js';
import { KEY, listening } from '../kit/listening.ts';
import { frame, RawClient, RawRefusal } from '../kit/raw-client.ts';

const wrongKey = 'not the key of the manager';

/** A server of our own at a trusted address, which stands where a client looks for a manager. */
async function impostor(accept: (socket: Socket) => void): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'qm-'));
  const path = join(directory, 's');
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    accept(socket);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
    rmSync(directory, { recursive: true });
  });
  return `unix:${path}`;
}

describe('the handshake as it crosses', () => {
  test('both proofs are HMAC-SHA256 over side, version, role, channel and both nonces', async () => {
    const { address } = await listening();
    const raw = await RawClient.connect(address);
    const nonce = newNonce();
    raw.write(Buffer.concat([Buffer.from([38, 0, 0, 0, 1, 0x51, 0x4d, 1, 0, 1]), nonce]));
    const challenge = await raw.next();
    expect(challenge.kind).toBe(128);
    expect(challenge.reader.u16()).toBe(1);
    const managerNonce = challenge.reader.view(32);
    challenge.reader.end();
    const mac = (side: string): Buffer =>
      createHmac('sha256', KEY)
        .update(`quartermaster ${side} 1 1 ${address.length} ${address} `)
        .update(nonce)
        .update(managerNonce)
        .digest();
    raw.write(Buffer.concat([Buffer.from([33, 0, 0, 0, 2]), mac('client')]));
    const proved = await raw.next();
    expect(proved.kind).toBe(129);
    expect(proved.reader.view(32)).toEqual(mac('manager'));
    proved.reader.end();
  });

  test('every connection is challenged with another nonce', async () => {
    const { address } = await listening();
    const nonces = new Set<string>();
    const same = newNonce();
    for (let i = 0; i < 20; i++) {
      const raw = await RawClient.connect(address);
      const { reader } = await raw.hello(PROTOCOL_VERSION, same);
      reader.u16();
      nonces.add(reader.view(32).toString('hex'));
    }
    expect(nonces.size).toBe(20);
  });

  test('a session begins with IDENTIFY, and not before', async () => {
    const { address, manager } = await listening();
    await RawClient.connect(address);
    await (await RawClient.connect(address)).hello();
    expect(manager[coreOf].sessions.size).toBe(0);
    await RawClient.enter(address, { key: KEY });
    expect(manager[coreOf].sessions.size).toBe(1);
  });
});

describe('S1 a wrong key', () => {
  test('S1 AuthenticationError, and the connection is closed', async () => {
    const { address, manager } = await listening();
    await expect(connect(address, { authKey: wrongKey })).rejects.toThrow(AuthenticationError);
    const raw = await RawClient.connect(address);
    await expect(raw.handshake({ key: wrongKey })).rejects.toMatchObject({
      refusal: Refusal.authentication,
      message: 'the auth key is not the one of this manager',
    });
    await raw.ended;
    expect(manager[coreOf].sessions.size).toBe(0);
  });

  test('S1 each refusal waits longer than the one before it, up to a second; the right key does not wait', async () => {
    const { address, connect: enter } = await listening();
    const timers: number[] = [];
    const original = globalThis.setTimeout;
    const spy = vi.spyOn(globalThis, 'setTimeout').mockImplementation((run: () => void, ms = 0) => {
      // Longer ones are deadlines; closing connections have theirs.
      const delays = ms <= 1000 && !String(new Error().stack).includes('/transport/socket-transport.');
      if (delays) timers.push(ms);
      return original(run, delays ? 0 : ms);
    });
    onTestFinished(() => spy.mockRestore());
    for (let i = 0; i < 13; i++) {
      const raw = await RawClient.connect(address);
      await expect(raw.handshake({ key: wrongKey })).rejects.toThrow(RawRefusal);
    }
    expect(timers).toEqual([0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1000, 1000]);
    timers.length = 0;
    await enter();
    expect(timers).toEqual([]);
  });

  test('S1 proofs are compared in equal time, whatever their length', () => {
    const compared = vi.spyOn(crypto, 'timingSafeEqual');
    syncBuiltinESMExports();
    onTestFinished(() => {
      compared.mockRestore();
      syncBuiltinESMExports();
    });
    const right = randomBytes(32);
    for (let at = 0; at < 32; at++) {
      const wrong = Buffer.from(right);
      wrong[at]! ^= 1;
      expect(proves(wrong, right)).toBe(false);
    }
    expect(proves(Buffer.from(right), right)).toBe(true);
    expect(compared).toHaveBeenCalledTimes(33);
    for (const length of [0, 31, 33]) expect(proves(Buffer.alloc(length), right)).toBe(false);
  });

  test('S1 a proof that is too short or too long is no proof', async () => {
    const { address } = await listening();
    for (const bytes of [0, 31, 33]) {
      const raw = await RawClient.connect(address);
      await raw.hello();
      raw.send(ToManager.PROOF, (writer) => writer.raw(Buffer.alloc(bytes)));
      await raw.ended;
      expect(raw.frames).toEqual([]);
    }
  });

  test('S1 a manager that does not hold the key is left by the client', async () => {
    const address = await impostor((socket) => {
      socket.once('data', () => {
        socket.write(
          frame(ToClient.CHALLENGE, (writer) => {
            writer.u16(PROTOCOL_VERSION);
            writer.raw(newNonce());
          }),
        );
        socket.once('data', () => socket.write(frame(ToClient.PROOF, (writer) => writer.raw(randomBytes(32)))));
      });
    });
    const error = await connect(address, { authKey: KEY }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(AuthenticationError);
    expect((error as Error).message).toContain('could not prove that it holds the auth key');
  });

  test('S1 a manager that skips its own proof is left by the client', async () => {
    const address = await impostor((socket) => {
      socket.once('data', () => {
        socket.write(
          frame(ToClient.WELCOME, (writer) => {
            writer.u48(1);
            writer.f64(Date.now());
            writer.u32(process.pid);
            writer.f64(15_000);
            writer.u32(1 << 20);
            writer.raw(Buffer.alloc(16));
          }),
        );
      });
    });
    const client = connect(address, { authKey: KEY });
    client.then((entered) => entered.close()).catch(() => {});
    await expect(client).rejects.toThrow(ProtocolError);
  });
});

describe('S2 replayed and reflected handshakes', () => {
  test('S2 a recorded proof does not open a second connection', async () => {
    const { address } = await listening();
    const nonce = newNonce();
    const recorded: Buffer[] = [];
    const open = async (): Promise<RawClient> => {
      const raw = await RawClient.connect(address);
      raw.send(ToManager.HELLO, (writer) => writeHello(writer, Role.client, nonce));
      return raw;
    };
    const first = await open();
    const { reader } = await first.next();
    reader.u16();
    const hello = { version: PROTOCOL_VERSION, role: Role.client, nonce };
    recorded.push(proof(Buffer.from(KEY), 'client', hello, reader.view(32), address));
    first.send(ToManager.PROOF, (writer) => writer.raw(recorded[0] as Buffer));
    expect((await first.next()).kind).toBe(ToClient.PROOF);

    const second = await open();
    await second.next();
    second.send(ToManager.PROOF, (writer) => writer.raw(recorded[0] as Buffer));
    const answer = await second.next();
    expect([answer.kind, answer.reader.u8()]).toEqual([ToClient.REFUSED, Refusal.authentication]);
    await second.ended;
  });

  test("S2 a client's own proof, sent back to it, is not the manager's", async () => {
    const address = await impostor((socket) => {
      socket.once('data', () => {
        socket.write(
          frame(ToClient.CHALLENGE, (writer) => {
            writer.u16(PROTOCOL_VERSION);
            writer.raw(newNonce());
          }),
        );
        socket.once('data', (sent: Buffer) => {
          socket.write(frame(ToClient.PROOF, (writer) => writer.raw(sent.subarray(5))));
        });
      });
    });
    await expect(connect(address, { authKey: KEY })).rejects.toThrow(AuthenticationError);
  });

  test("S2 the manager's proof, sent back to it, is not a client's", async () => {
    const { address } = await listening();
    const nonce = newNonce();
    const raw = await RawClient.connect(address);
    const challenge = await raw.hello(PROTOCOL_VERSION, nonce);
    challenge.reader.u16();
    const hello = { version: PROTOCOL_VERSION, role: Role.client, nonce };
    const mac = proof(Buffer.from(KEY), 'manager', hello, challenge.reader.view(32), address);
    raw.send(ToManager.PROOF, (writer) => writer.raw(mac));
    expect((await raw.next()).kind).toBe(ToClient.REFUSED);
  });

  test('S2 a proof for one role does not open the other', async () => {
    const { address } = await listening();
    const nonce = newNonce();
    const raw = await RawClient.connect(address);
    const challenge = await raw.hello(PROTOCOL_VERSION, nonce, Role.helper);
    challenge.reader.u16();
    const hello = { version: PROTOCOL_VERSION, role: Role.client, nonce };
    const mac = proof(Buffer.from(KEY), 'client', hello, challenge.reader.view(32), address);
    raw.send(ToManager.PROOF, (writer) => writer.raw(mac));
    expect((await raw.next()).kind).toBe(ToClient.REFUSED);
  });

  test('S2 a relay at another address, passing every byte on, opens nothing', async () => {
    const { address, manager } = await listening();
    const relay = await impostor((socket) => {
      const onward = dial(address.slice('unix:'.length));
      onward.on('error', () => {});
      socket.pipe(onward).pipe(socket);
      onTestFinished(() => void onward.destroy());
    });
    await expect(connect(relay, { authKey: KEY })).rejects.toThrow(AuthenticationError);
    expect(manager[coreOf].sessions.size).toBe(0);
  });

  test("S2 a helper needs the session's secret beside the key", async () => {
    const { address, manager } = await listening();
    const { welcome } = await RawClient.enter(address, { key: KEY });
    const other = (await RawClient.enter(address, { key: KEY })).welcome;
    const claim = { key: KEY, role: Role.helper, claim: welcome.session };
    for (const secret of [undefined, '', other.secret, Buffer.alloc(15).toString('base64')]) {
      const raw = await RawClient.connect(address);
      await expect(raw.handshake({ ...claim, ...(secret === undefined ? {} : { secret }) })).rejects.toThrow('ended');
    }
    const helper = await RawClient.enter(address, { ...claim, secret: welcome.secret });
    expect(helper.welcome.session).toBe(welcome.session);
    expect(manager[coreOf].sessions.size).toBe(2);
  });
});

describe('C9 another version', () => {
  test('C9 a client of another version hears both versions and how to mend it, and is closed', async () => {
    const { address } = await listening();
    for (const version of [0, PROTOCOL_VERSION + 1, 65_535]) {
      const raw = await RawClient.connect(address);
      const refused = await raw.handshake({ key: KEY, version }).catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(RawRefusal);
      expect(refused).toMatchObject({ refusal: Refusal.version, version: PROTOCOL_VERSION });
      expect((refused as Error).message).toBe(
        `the client speaks protocol version ${version}, this manager version ${PROTOCOL_VERSION}; use the same release of quartermaster on both sides`,
      );
      await raw.ended;
    }
  });

  test('C9 the hello of a manager of another version: the client names both', async () => {
    const address = await impostor((socket) => {
      socket.once('data', () =>
        socket.write(
          frame(ToClient.CHALLENGE, (writer) => {
            writer.u16(7);
            writer.raw(newNonce());
          }),
        ),
      );
    });
    const error = (await connect(address, { authKey: KEY }).catch((reason: unknown) => reason)) as Error;
    expect(error).toBeInstanceOf(ProtocolError);
    expect(error.message).toBe(`the manager speaks protocol version 7, this client version ${PROTOCOL_VERSION}`);
  });

  test('C9 a manager of another version that refuses: the client passes on what it said, and both versions', async () => {
    const address = await impostor((socket) => {
      socket.once('data', () =>
        socket.end(
          frame(ToClient.REFUSED, (writer) => {
            writer.u8(Refusal.version);
            writer.u16(7);
            writer.text('older clients are not served');
          }),
        ),
      );
    });
    const error = (await connect(address, { authKey: KEY }).catch((reason: unknown) => reason)) as Error;
    expect(error).toBeInstanceOf(ProtocolError);
    expect(error.message).toBe(
      `older clients are not served (manager: version 7, client: version ${PROTOCOL_VERSION})`,
    );
  });
});

describe('S3 before authentication', () => {
  const kinds = Array.from({ length: 256 }, (_, kind) => kind);
  /** A list that claims 4 billion members: decoding it would be noticed. */
  const bomb = Buffer.from([0x0c, 0xff, 0xff, 0xff, 0xff]);

  test('S3 every other frame closes the connection, unread and unanswered', async () => {
    const { address, manager } = await listening();
    const stages: [string, number, (raw: RawClient) => Promise<unknown>][] = [
      ['first of all', ToManager.HELLO, () => Promise.resolve()],
      ['after HELLO', ToManager.PROOF, (raw) => raw.hello()],
    ];
    for (const [, proper, reach] of stages) {
      await Promise.all(
        kinds.map(async (kind) => {
          if (kind === proper) return;
          const raw = await RawClient.connect(address);
          await reach(raw);
          raw.send(kind, (writer) => writer.raw(bomb));
          await raw.ended;
          expect(raw.frames, `kind ${kind}`).toEqual([]);
        }),
      );
    }
    expect(manager[coreOf].sessions.size).toBe(0);
  });

  test('S3 frames behind a wrong proof, in the same chunk, are not read', async () => {
    const { address, manager, connect: enter } = await listening();
    const raw = await RawClient.connect(address);
    await raw.hello();
    const open = frame(ToManager.OPEN, (writer) => {
      writer.u32(1);
      writer.text('dict');
      writer.item('planted');
      writer.item([]);
    });
    raw.write(Buffer.concat([frame(ToManager.PROOF, (writer) => writer.raw(Buffer.alloc(32))), open]));
    expect((await raw.next()).kind).toBe(ToClient.REFUSED);
    await raw.ended;
    // Had it been opened, the name would belong to a dict.
    const client = await enter();
    await client.counter('planted').add(1);
    expect(manager[coreOf].sessions.size).toBe(1);
  });

  test('S3 a hello of another form is not answered', async () => {
    const { address } = await listening();
    const forms: Buffer[] = [
      Buffer.alloc(0),
      Buffer.alloc(37),
      Buffer.concat([Buffer.from([0x51, 0x4d, 1, 0, 1]), Buffer.alloc(31)]),
      Buffer.concat([Buffer.from([0x51, 0x4d, 1, 0, 1]), Buffer.alloc(33)]),
      Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'),
    ];
    for (const form of forms) {
      const raw = await RawClient.connect(address);
      raw.send(ToManager.HELLO, (writer) => writer.raw(form));
      await raw.ended;
      expect(raw.frames).toEqual([]);
    }
  });

  test('S3 a web browser, or a JSON speaker, is closed at its first bytes', async () => {
    const { address } = await listening();
    for (const text of ['GET / HTTP/1.1\r\n\r\n', '{"type":"message","data":{}}\f', 'null\f']) {
      const raw = await RawClient.connect(address);
      raw.write(Buffer.from(text));
      await raw.ended;
      expect(raw.frames).toEqual([]);
    }
  });

  test('S3 a second IDENTIFY, or any frame of the handshake in a session, ends it', async () => {
    const { address } = await listening();
    for (const kind of [ToManager.HELLO, ToManager.PROOF, ToManager.IDENTIFY]) {
      const raw = await RawClient.enter(address, { key: KEY });
      raw.send(kind, (writer) => writer.raw(Buffer.alloc(37)));
      await raw.ended;
    }
  });

  test('S3 frames of a session before IDENTIFY end the connection', async () => {
    const { address, manager } = await listening();
    const nonce = newNonce();
    const raw = await RawClient.connect(address);
    const { reader } = await raw.hello(PROTOCOL_VERSION, nonce);
    reader.u16();
    const hello = { version: PROTOCOL_VERSION, role: Role.client, nonce };
    const mac = proof(Buffer.from(KEY), 'client', hello, reader.view(32), address);
    raw.send(ToManager.PROOF, (writer) => writer.raw(mac));
    await raw.next(ToClient.PROOF);
    raw.open(1, 'dict', 'early');
    await raw.ended;
    expect(manager[coreOf].sessions.size).toBe(0);
  });
});

test('a manager that hangs up in the middle of the handshake is a lost connection, not a silence', async () => {
  const address = await impostor((socket) => socket.once('data', () => socket.end()));
  await expect(connect(address, { authKey: KEY })).rejects.toThrow(ConnectionLostError);
});
