/** A client's way in: the handshake of protocol/handshake.ts from its side. Rejects with what the manager said. */
import { hostname } from 'node:os';
import { AuthenticationError, ConnectionLostError, ProtocolError, TooManyConnectionsError } from '../errors.ts';
import { MAC_BYTES, newNonce, NONCE_BYTES, proof, proves, writeHello } from '../protocol/handshake.ts';
import {
  HANDSHAKE_DEADLINE,
  HANDSHAKE_FRAME_LIMIT,
  PROTOCOL_VERSION,
  Refusal,
  Role,
  ToClient,
  ToManager,
  WORKER_HANDSHAKE_DEADLINE,
} from '../protocol/messages.ts';
import type { Reader, Scalar } from '../protocol/wire.ts';
import { Deadline } from '../transport/deadline.ts';
import { Link } from '../transport/link.ts';
import type { Transport } from '../transport/transport.ts';

export interface Identity {
  readonly role: (typeof Role)[keyof typeof Role];
  readonly name: string;
  /** The ticket of an owned worker; of a helper, the session it helps. */
  readonly claim?: Scalar;
  /** Of a helper. */
  readonly secret?: string;
}

/** What the manager says of itself to whom it lets in. */
export interface Welcome {
  readonly session: number;
  readonly epoch: number;
  readonly pid: number;
  /** ms */
  readonly leaseTimeout: number;
  readonly frameBytes: number;
  readonly secret: string;
}

const SECRET_BYTES = 16;
const nothing = Buffer.alloc(0);

/**
 * The link it resolves with ignores all that comes until `handOver`. `entered` may do that at once: whoever is told
 * something unasked needs it, since what follows the welcome may come with it.
 */
export function enter(
  transport: Transport,
  channel: string,
  authKey: Uint8Array,
  identity: Identity,
  { signal, entered }: { signal?: AbortSignal | undefined; entered?: (link: Link) => void } = {},
): Promise<{ link: Link; welcome: Welcome }> {
  return new Promise((resolve, reject) => {
    const hello = { version: PROTOCOL_VERSION, role: identity.role, nonce: newNonce() };
    let managerNonce = nothing;
    /** The one kind that may come next: a manager that skips its proof is none. */
    let expected: number = ToClient.CHALLENGE;
    let over = false;
    const isWorker = identity.role === Role.helper || identity.claim !== undefined;
    const most = isWorker ? WORKER_HANDSHAKE_DEADLINE : HANDSHAKE_DEADLINE;
    const deadline = new Deadline(most, () =>
      fail(new ConnectionLostError(`${channel} did not finish the handshake within ${most} ms`)),
    );
    const fail = (error: Error): void => {
      if (over) return;
      settled();
      reject(error);
      transport.destroy();
    };
    const settled = (): void => {
      over = true;
      deadline.met();
      signal?.removeEventListener('abort', aborted);
    };
    const aborted = (): void => fail(signal?.reason as Error);
    signal?.addEventListener('abort', aborted);
    if (signal?.aborted === true) return aborted();
    const link = new Link(transport, HANDSHAKE_FRAME_LIMIT, {
      frame(kind, reader) {
        try {
          handle(kind, reader);
        } catch (error) {
          fail(error as Error);
        }
      },
      closed: (error) =>
        fail(new ConnectionLostError(`${channel} ended the connection during the handshake`, { cause: error })),
    });
    const handle = (kind: number, reader: Reader): void => {
      if (over) return;
      if (kind === ToClient.REFUSED) throw refusal(reader.u8(), reader.u16(), reader.text());
      if (kind !== expected) throw new ProtocolError(`${channel} sent a frame of kind ${kind} during the handshake`);
      switch (kind) {
        case ToClient.CHALLENGE: {
          checkVersion(reader.u16());
          managerNonce = Buffer.from(reader.view(NONCE_BYTES));
          const start = link.begin(ToManager.PROOF);
          link.writer.raw(proof(authKey, 'client', hello, managerNonce, channel));
          link.end(start);
          expected = ToClient.PROOF;
          return;
        }
        case ToClient.PROOF: {
          const given = reader.view(MAC_BYTES);
          if (!proves(given, proof(authKey, 'manager', hello, managerNonce, channel))) {
            throw new AuthenticationError(`${channel} could not prove that it holds the auth key`);
          }
          const start = link.begin(ToManager.IDENTIFY);
          for (const item of [process.pid, hostname(), identity.name, identity.claim, identity.secret]) {
            link.writer.item(item);
          }
          link.end(start);
          expected = ToClient.WELCOME;
          return;
        }
        case ToClient.WELCOME: {
          const welcome = readWelcome(reader);
          settled();
          link.sendLimit = welcome.frameBytes;
          // What the manager keeps came through its own limit; an answer may gather much of it.
          link.decoder.limit = 0xffff_ffff;
          entered?.(link);
          resolve({ link, welcome });
        }
      }
    };
    const start = link.begin(ToManager.HELLO);
    writeHello(link.writer, hello.role, hello.nonce);
    link.end(start);
  });
}

function readWelcome(reader: Reader): Welcome {
  return {
    session: reader.u48(),
    epoch: reader.f64(),
    pid: reader.u32(),
    leaseTimeout: reader.f64(),
    frameBytes: reader.u32(),
    secret: reader.view(SECRET_BYTES).toString('base64'),
  };
}

function checkVersion(version: number): void {
  if (version === PROTOCOL_VERSION) return;
  throw new ProtocolError(`the manager speaks protocol version ${version}, this client version ${PROTOCOL_VERSION}`);
}

function refusal(code: number, version: number, why: string): Error {
  switch (code) {
    case Refusal.authentication:
      return new AuthenticationError(why);
    case Refusal.connections:
      return new TooManyConnectionsError(why);
    default:
      return new ProtocolError(`${why} (manager: version ${version}, client: version ${PROTOCOL_VERSION})`);
  }
}
