/**
 * The door: what a connection passes before it is a session. Until both sides have proved that they hold the key, only
 * frames of a fixed form and small size are read, a few of them, and not for long. Whoever fails hears why in one frame
 * and is let go.
 */
import { timingSafeEqual } from 'node:crypto';
import { ProtocolError, QuartermasterError } from '../errors.ts';
import { type Hello, newNonce, proof, proves, readHello, MAC_BYTES } from '../protocol/handshake.ts';
import {
  HANDSHAKE_BUDGET,
  HANDSHAKE_DEADLINE,
  HANDSHAKE_FRAME_LIMIT,
  PARTIAL_FRAME_DEADLINE,
  PROTOCOL_VERSION,
  Refusal,
  Role,
  ToClient,
  ToManager,
} from '../protocol/messages.ts';
import type { Reader } from '../protocol/wire.ts';
import { Deadline } from '../transport/deadline.ts';
import { Link } from '../transport/link.ts';
import type { Transport } from '../transport/transport.ts';
import type { ManagerCore } from './core.ts';
import { type Session, sideOfManager } from './session.ts';

export interface DoorOptions {
  readonly core: ManagerCore;
  readonly authKey: Uint8Array;
  readonly frameBytes: number;
  readonly connections: number;
  /** Replaced by tests only. */
  readonly deadlines?: { readonly handshake: number; readonly partial: number };
}

/** A refused proof is answered this much later (ms) for each refusal before it, up to ten times. */
const REFUSAL_DELAY = 100;
/** How often the time for the rest of a frame is looked at while it passes. */
const LOOKS = 4;

export class Door {
  readonly #options: DoorOptions;
  readonly #entrances = new Set<Entrance>();
  #refusals = 0;
  #watch: NodeJS.Timeout | undefined;

  constructor(options: DoorOptions) {
    this.#options = options;
  }

  get connections(): number {
    return this.#entrances.size;
  }

  /** Proofs that were refused so far. */
  get refusals(): number {
    return this.#refusals;
  }

  /** A transport has connected. `channel` is the address it came to: part of what is proved. */
  admit(transport: Transport, channel: string): void {
    const entrance = new Entrance(transport, channel, this.#options, {
      refused: () => Math.min(10, this.#refusals++) * REFUSAL_DELAY,
      closed: (gone) => this.#entrances.delete(gone),
      full: () => this.#entrances.size > this.#options.connections,
    });
    this.#entrances.add(entrance);
    // The listener may keep the process alive; who has connected does not.
    transport.unref();
    this.#watchSilence();
  }

  /** Ends every connection; what has been written still leaves. */
  close(): void {
    clearInterval(this.#watch);
    for (const { link } of this.#entrances) link.close();
  }

  /**
   * A frame that has begun must go on: whoever falls silent in the middle of one is cut off. The silence is counted in
   * looks, of which no turn of the event loop can take more than one: a manager that was itself held up has heard
   * nobody, and reads first what came meanwhile.
   */
  #watchSilence(): void {
    const deadline = this.#options.deadlines?.partial ?? PARTIAL_FRAME_DEADLINE;
    this.#watch ??= setInterval(() => {
      for (const entrance of this.#entrances) {
        if (entrance.looksInSilence() < LOOKS) continue;
        const why = new ProtocolError(`the peer fell silent in the middle of a message for ${deadline} ms`);
        entrance.link.transport.close(why);
      }
      if (this.#entrances.size > 0) return;
      clearInterval(this.#watch);
      this.#watch = undefined;
    }, deadline / LOOKS).unref();
  }
}

interface Doorkeeper {
  /** A proof was wrong. Returns how long (ms) to wait before saying so. */
  refused(): number;
  closed(entrance: Entrance): void;
  full(): boolean;
}

/** One connection on its way in. */
class Entrance {
  readonly link: Link;
  readonly #options: DoorOptions;
  readonly #channel: string;
  readonly #keeper: Doorkeeper;
  readonly #nonce = newNonce();
  readonly #deadline: Deadline;
  #hello: Hello | undefined;
  #proved = false;
  #session: Session | undefined;
  /** When it had been heard last at the latest look, and for how many looks it has owed the rest of a frame since. */
  #heard = 0;
  #looks = 0;
  /** Of a helper: whose it is. */
  #helped: Session | undefined;

  constructor(transport: Transport, channel: string, options: DoorOptions, keeper: Doorkeeper) {
    this.#options = options;
    this.#channel = channel;
    this.#keeper = keeper;
    const deadline = options.deadlines?.handshake ?? HANDSHAKE_DEADLINE;
    this.#deadline = new Deadline(deadline, () => transport.destroy()).unref();
    this.link = new Link(transport, HANDSHAKE_FRAME_LIMIT, {
      frame: (kind, reader) => this.#frame(kind, reader),
      turnEnded: () => this.#turnEnded(),
      drained: () => this.#session?.drained(),
      closed: () => this.#closed(),
    });
  }

  /**
   * How many looks in a row its frame has begun and nothing has come. None where the session does not read itself, nor
   * where its helper is heard: then the process is busy, and the rest of a large frame waits there for its event loop.
   */
  looksInSilence(): number {
    const { lastHeard } = this.#session ?? this;
    const owed = this.link.partial && this.#session?.paused !== true;
    this.#looks = owed && lastHeard === this.#heard ? this.#looks + 1 : 0;
    this.#heard = lastHeard;
    return this.#looks;
  }

  get lastHeard(): number {
    return this.link.lastReceived;
  }

  #frame(kind: number, reader: Reader): void {
    try {
      if (this.#session !== undefined) this.#session.frame(kind, reader);
      else if (this.#helped !== undefined) this.#helperFrame(this.#helped, kind, reader);
      else this.#handshake(kind, reader);
    } catch (error) {
      // A frame that cannot be: this connection ends, the others do not notice.
      this.link.decoder.stop();
      this.link.close(
        error instanceof QuartermasterError ? error : new ProtocolError('a malformed frame', { cause: error }),
      );
    }
  }

  #handshake(kind: number, reader: Reader): void {
    if (this.#proved && kind === ToManager.IDENTIFY) return this.#identify(reader);
    if (this.#hello === undefined && kind === ToManager.HELLO) return this.#challenge(readHello(reader));
    if (this.#hello !== undefined && !this.#proved && kind === ToManager.PROOF) return this.#judge(this.#hello, reader);
    throw new ProtocolError(`a frame of kind ${kind} came before the handshake was done`);
  }

  #challenge(hello: Hello): void {
    if (hello.version !== PROTOCOL_VERSION) {
      const both = `the client speaks protocol version ${hello.version}, this manager version ${PROTOCOL_VERSION}`;
      return this.#refuse(Refusal.version, `${both}; use the same release of quartermaster on both sides`);
    }
    if (this.#keeper.full()) {
      const { connections } = this.#options;
      return this.#refuse(
        Refusal.connections,
        `the manager holds ${connections} connections already; close some, or raise limits.connections`,
      );
    }
    this.#hello = hello;
    const start = this.link.begin(ToClient.CHALLENGE);
    this.link.writer.u16(PROTOCOL_VERSION);
    this.link.writer.raw(this.#nonce);
    this.link.end(start);
  }

  #judge(hello: Hello, reader: Reader): void {
    const { authKey } = this.#options;
    const given = reader.view(MAC_BYTES);
    reader.end();
    if (!proves(given, proof(authKey, 'client', hello, this.#nonce, this.#channel))) {
      this.link.decoder.stop();
      setTimeout(
        () => this.#refuse(Refusal.authentication, 'the auth key is not the one of this manager'),
        this.#keeper.refused(),
      ).unref();
      return;
    }
    this.#proved = true;
    const start = this.link.begin(ToClient.PROOF);
    this.link.writer.raw(proof(authKey, 'manager', hello, this.#nonce, this.#channel));
    this.link.end(start);
  }

  #identify(reader: Reader): void {
    const { core, frameBytes } = this.#options;
    const pid = reader.scalar();
    const host = reader.string();
    const name = reader.string();
    const claim = reader.scalar();
    const secret = reader.scalar();
    this.#deadline.met();
    this.link.decoder.limit = frameBytes;
    this.link.sendLimit = frameBytes;
    let id: number;
    if (this.#hello?.role === Role.helper) {
      const helped = core.sessions.get(Number(claim));
      if (helped === undefined || typeof secret !== 'string' || !sameSecret(secret, helped.secret)) {
        throw new ProtocolError('a helper names a session that is not its own');
      }
      this.#helped = helped;
      helped.helper = this.link;
      id = helped.id;
      this.#welcome(id, helped.secret);
      for (const board of core.boards) board.takers.helperJoined(helped);
    } else {
      const ticket = typeof claim === 'string' ? claim : undefined;
      this.link.carryLong(sideOfManager);
      this.#session = core.join(this.link, { pid: Number(pid), host, name, ticket });
      id = this.#session.id;
      this.#welcome(id, this.#session.secret);
    }
  }

  #welcome(session: number, secret: Uint8Array): void {
    const { core, frameBytes } = this.#options;
    const start = this.link.begin(ToClient.WELCOME);
    this.link.writer.u48(session);
    this.link.writer.f64(core.epoch);
    this.link.writer.u32(process.pid);
    this.link.writer.f64(core.taskDefaults.leaseTimeout);
    this.link.writer.u32(frameBytes);
    this.link.writer.raw(secret);
    this.link.end(start);
  }

  #helperFrame(helped: Session, kind: number, reader: Reader): void {
    if (kind === ToManager.BEAT) return;
    if (kind !== ToManager.GIVE_BACK) throw new ProtocolError(`a helper sent a frame of kind ${kind}`);
    helped.giveBack(reader);
  }

  #turnEnded(): void {
    if (this.#session !== undefined) this.#session.turnEnded();
    else if (!this.#proved && this.link.bytesReceived > HANDSHAKE_BUDGET) {
      this.link.close(new ProtocolError(`more than ${HANDSHAKE_BUDGET} bytes came before the handshake was done`));
    }
  }

  #refuse(refusal: number, why: string): void {
    const start = this.link.begin(ToClient.REFUSED);
    this.link.writer.u8(refusal);
    this.link.writer.u16(PROTOCOL_VERSION);
    this.link.writer.text(why);
    this.link.end(start);
    this.link.close();
  }

  #closed(): void {
    this.#deadline.met();
    this.#keeper.closed(this);
    if (this.#session !== undefined) this.#options.core.left(this.#session);
    if (this.#helped?.helper === this.link) this.#helped.helper = undefined;
  }
}

function sameSecret(given: string, secret: Buffer): boolean {
  const bytes = Buffer.from(given, 'base64');
  return bytes.length === secret.length && timingSafeEqual(bytes, secret);
}
