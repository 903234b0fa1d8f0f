/**
 * A client made by hand over node:net (or any transport): it sends any bytes and any frames, in any order, and hands out
 * the frames that come. For tests of what the manager does with peers that are slow, wrong or hostile; and, with a proper
 * handshake, of what exactly crosses.
 */
import { connect } from 'node:net';
import { hostname } from 'node:os';
import { onTestFinished } from 'vitest';
import { FrameDecoder } from '#qm/protocol/frames.js';
import { newNonce, proof, writeHello } from '#qm/protocol/handshake.js';
import { Assembly } from '#qm/protocol/parts.js';
import { PROTOCOL_VERSION, Role, ToClient, ToManager } from '#qm/protocol/messages.js';
import { type Item, Reader, Writer } from '#qm/protocol/wire.js';
import type { Transport } from '#qm/transport/transport.js';

export interface RawFrame {
  readonly kind: number;
  /** Over a copy of its body. */
  readonly reader: Reader;
  /** How many parts of long frames had come before its end. */
  readonly parts: number;
}

export interface RawLease {
  readonly lease: number;
  readonly number: number;
}

export interface RawHandshake {
  readonly key: Uint8Array | string;
  /** What is proved of the address; default: the address that was connected to. */
  readonly channel?: string;
  readonly version?: number;
  readonly role?: number;
  readonly name?: string;
  readonly claim?: Item;
  readonly secret?: string;
}

export interface RawWelcome {
  readonly session: number;
  readonly epoch: number;
  readonly pid: number;
  readonly leaseTimeout: number;
  readonly frameBytes: number;
  /** Base64. */
  readonly secret: string;
}

interface Wire {
  write(bytes: Uint8Array): void;
  pause(): void;
  resume(): void;
  destroy(): void;
}

/** The bytes of one frame. */
/** One of several entries of a frame: its size, then what `body` writes. */
export function entry(writer: Writer, body: () => void): void {
  const at = writer.length;
  writer.u32(0);
  body();
  writer.patchU32(writer.length - at - 4, at);
}

export function frame(kind: number, body: (writer: Writer) => void = () => {}): Buffer {
  const writer = new Writer();
  const start = writer.startFrame(kind);
  body(writer);
  writer.endFrame(start);
  return Buffer.from(writer.take());
}

export class RawClient {
  readonly address: string;
  /** Frames that came and that nobody has read. */
  readonly frames: RawFrame[] = [];
  /** Resolves when the connection has ended, whoever ended it. */
  readonly ended: Promise<void>;
  /** Bytes that came so far. */
  received = 0;
  readonly write: (bytes: Uint8Array) => void;
  /** Stops and starts reading: what comes meanwhile stays in the system, and then with the manager. */
  readonly pause: () => void;
  readonly resume: () => void;
  readonly #destroy: () => void;
  readonly #decoder: FrameDecoder;
  readonly #assembly = new Assembly();
  #parts = 0;
  #over = false;
  #wake: (() => void) | undefined;
  #tellEnded: () => void = () => {};
  #calls = 0;

  private constructor(address: string, wire: Wire) {
    this.address = address;
    this.write = wire.write;
    this.pause = wire.pause;
    this.resume = wire.resume;
    this.#destroy = wire.destroy;
    this.#decoder = new FrameDecoder(0xffff_ffff, (kind, reader) => this.#frame(kind, reader));
    this.ended = new Promise((resolve) => (this.#tellEnded = resolve));
  }

  static async connect(address: string): Promise<RawClient> {
    const socket = connect({ path: address.replace(/^unix:/, '') });
    await new Promise((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    const client = new RawClient(address, {
      write: (bytes) => socket.write(bytes),
      pause: () => socket.pause(),
      resume: () => socket.resume(),
      destroy: () => socket.destroy(),
    });
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => client.#incoming(chunk));
    socket.once('close', () => client.#closed());
    onTestFinished(() => client.destroy());
    return client;
  }

  /** Over one end of a connection; the other end is the manager's. */
  static over(transport: Transport, address: string): RawClient {
    const client = new RawClient(address, {
      write: (bytes) => transport.send(bytes),
      pause: () => transport.pause(),
      resume: () => transport.resume(),
      destroy: () => transport.destroy(),
    });
    transport.receive({
      data: (chunk) => client.#incoming(chunk),
      drained: () => {},
      closed: () => client.#closed(),
    });
    return client;
  }

  /** Connected, and through the handshake. */
  static async enter(address: string, handshake: RawHandshake): Promise<RawClient & { welcome: RawWelcome }> {
    const client = await RawClient.connect(address);
    return Object.assign(client, { welcome: await client.handshake(handshake) });
  }

  /** The connection has ended. */
  get over(): boolean {
    return this.#over;
  }

  send(kind: number, body?: (writer: Writer) => void): void {
    this.write(frame(kind, body));
  }

  /** The next frame of that kind (of any, where none is named); those before it are dropped. */
  async next(kind?: number): Promise<RawFrame> {
    for (;;) {
      for (let found = this.frames.shift(); found !== undefined; found = this.frames.shift()) {
        if (kind === undefined || found.kind === kind) return found;
      }
      if (this.#over)
        throw new Error(`the connection ended before a frame${kind === undefined ? '' : ` ${kind}`} came`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** HELLO and what answers it. */
  hello(version: number = PROTOCOL_VERSION, nonce: Buffer = newNonce(), role: number = Role.client): Promise<RawFrame> {
    this.send(ToManager.HELLO, (writer) => writeHello(writer, role, nonce, version));
    return this.next();
  }

  /** The whole way in. Rejects when the manager ends the connection or refuses. */
  async handshake(how: RawHandshake): Promise<RawWelcome> {
    const { version = PROTOCOL_VERSION, role = Role.client, name = 'raw', channel = this.address } = how;
    const nonce = newNonce();
    const challenge = await this.hello(version, nonce, role);
    if (challenge.kind !== ToClient.CHALLENGE) throw refusal(challenge);
    challenge.reader.u16();
    const managerNonce = challenge.reader.view(32);
    const mac = proof(Buffer.from(how.key), 'client', { version, role, nonce }, managerNonce, channel);
    this.send(ToManager.PROOF, (writer) => writer.raw(mac));
    const proved = await this.next();
    if (proved.kind !== ToClient.PROOF) throw refusal(proved);
    this.send(ToManager.IDENTIFY, (writer) => {
      for (const item of [process.pid, hostname(), name, how.claim, how.secret]) writer.item(item);
    });
    const { reader } = await this.next(ToClient.WELCOME);
    return {
      session: reader.u48(),
      epoch: reader.f64(),
      pid: reader.u32(),
      leaseTimeout: reader.f64(),
      frameBytes: reader.u32(),
      secret: reader.view(16).toString('base64'),
    };
  }

  /** Asks for a task through a handle, by call 1, and wants to hold `window` of them. */
  take(handle: number, window: number): void {
    this.send(ToManager.TAKE, (writer) => {
      writer.u32(1);
      writer.u32(handle);
      writer.u8(0);
      writer.u16(window);
    });
  }

  /** The first task of the next TASK frame, without what follows its numbers. */
  async task(): Promise<RawLease> {
    const { reader } = await this.next(ToClient.TASK);
    reader.u32();
    reader.entry();
    return { lease: reader.u48(), number: reader.u48() };
  }

  /** COMPLETE through handle 1, by `call` (0: not to be answered), with no output unless `body` writes another. */
  complete(
    call: number,
    { lease, number }: RawLease,
    body: (writer: Writer) => void = (writer) => writer.item(undefined),
    flags = 0,
  ): void {
    this.send(ToManager.COMPLETE, (writer) => {
      writer.u32(1);
      entry(writer, () => {
        writer.u32(call);
        writer.u48(lease);
        writer.u48(number);
        writer.u32(0);
        writer.u8(flags);
        body(writer);
      });
    });
  }

  /** OPEN: the object is `handle` from here on. */
  open(handle: number, typeId: string, name?: string, options: Item = []): void {
    this.send(ToManager.OPEN, (writer) => {
      writer.u32(handle);
      writer.text(typeId);
      writer.item(name);
      writer.item(options);
    });
  }

  /** CALL with a number of its own, or with a given one. Returns the number. */
  call(handle: number, method: number, args: readonly Item[] = [], id: number = ++this.#calls): number {
    this.send(ToManager.CALL, (writer) => {
      writer.u32(id);
      writer.u32(handle);
      writer.u8(method);
      for (const arg of args) writer.item(arg);
    });
    return id;
  }

  /** The answer of a RESULT, DONE or FAILED frame for call `id`; frames before it are dropped. */
  async answer(id: number): Promise<Item> {
    for (;;) {
      const { kind, reader } = await this.next();
      if (kind === ToClient.DONE) {
        const first = reader.u32();
        if (id >= first && id < first + reader.u32()) return undefined;
      } else if ((kind === ToClient.RESULT || kind === ToClient.FAILED) && reader.u32() === id) {
        const item = reader.item();
        if (kind === ToClient.FAILED) throw new RawFailure(item);
        return item;
      }
    }
  }

  #frame(kind: number, reader: Reader): void {
    if (kind === ToClient.LONG) return this.#assembly.begin(reader, 0xffff_ffff);
    if (kind === ToClient.PART) {
      this.#parts++;
      const whole = this.#assembly.add(reader);
      if (whole !== undefined) this.#frame(whole.u8(), whole);
      return;
    }
    this.frames.push({ kind, reader: new Reader(Buffer.from(reader.view(reader.left))), parts: this.#parts });
    this.#wake?.();
  }

  destroy(): Promise<void> {
    this.#destroy();
    return this.ended;
  }

  #incoming(chunk: Buffer): void {
    this.received += chunk.length;
    this.#decoder.push(chunk);
  }

  #closed(): void {
    this.#over = true;
    this.#wake?.();
    this.#tellEnded();
  }
}

/** The manager's FAILED, as it crossed: [code, message, fields, cause]. */
export class RawFailure extends Error {
  readonly code: unknown;
  constructor(item: Item) {
    const [code, message] = Array.isArray(item) ? (item as readonly unknown[]) : ['packed', 'an error of user code'];
    super(String(message));
    this.code = code;
  }
}

/** What the manager said instead of letting the client in. */
export class RawRefusal extends Error {
  readonly refusal: number;
  readonly version: number;
  constructor(refusal: number, version: number, why: string) {
    super(why);
    this.refusal = refusal;
    this.version = version;
  }
}

function refusal({ kind, reader }: RawFrame): Error {
  if (kind !== ToClient.REFUSED) return new Error(`a frame of kind ${kind} during the handshake`);
  return new RawRefusal(reader.u8(), reader.u16(), reader.text());
}
