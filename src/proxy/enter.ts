/** A client's way in: the handshake of protocol/handshake.ts from its side. Rejects with what the manager said. */
import { hostname } from 'node:os';
import { AuthenticationError, ConnectionLostError, ProtocolError, TooManyConnectionsError } from '../errors.ts';
import { MAC_BYTES, newNonce, NONCE_BYTES, proof, proves, writeHello } from '../protocol/handshake.ts';
import {
  DEFAULT_FRAME_LIMIT,
  HANDSHAKE_DEADLINE,
  PROTOCOL_VERSION,
  Refusal,
  type Role,
  ToClient,
  ToManager,
} from '../protocol/messages.ts';
import type { Reader, Scalar } from '../protocol/wire.ts';
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

/** The link it resolves with ignores all that comes until `handOver`, which must be called before the next turn. */
export function enter(
  transport: Transport,
  channel: string,
  authKey: Uint8Array,
  identity: Identity,
): Promise<{ link: Link; welcome: Welcome }> {
  return new Promise((resolve, reject) => {
    const hello = { version: PROTOCOL_VERSION, role: identity.role, nonce: newNonce() };
    let managerNonce: Buffer | undefined;
    let over = false;
    const timer = setTimeout(() => {
      fail(new ConnectionLostError(`${channel} did not finish the handshake within ${HANDSHAKE_DEADLINE} ms`));
    }, HANDSHAKE_DEADLINE);
    const fail = (error: Error): void => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      reject(error);
      transport.destroy();
    };
    const link = new Link(transport, DEFAULT_FRAME_LIMIT, {
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
      switch (kind) {
        case ToClient.CHALLENGE: {
          checkVersion(reader.u16());
          managerNonce = Buffer.from(reader.view(NONCE_BYTES));
          const start = link.begin(ToManager.PROOF);
          link.writer.raw(proof(authKey, 'client', hello, managerNonce, channel));
          link.end(start);
          return;
        }
        case ToClient.PROOF: {
          const given = reader.view(MAC_BYTES);
          if (managerNonce === undefined || !proves(given, proof(authKey, 'manager', hello, managerNonce, channel))) {
            throw new AuthenticationError(`${channel} could not prove that it holds the auth key`);
          }
          const start = link.begin(ToManager.IDENTIFY);
          for (const item of [process.pid, hostname(), identity.name, identity.claim, identity.secret]) {
            link.writer.item(item);
          }
          link.end(start);
          return;
        }
        case ToClient.WELCOME: {
          const welcome = readWelcome(reader);
          over = true;
          clearTimeout(timer);
          link.sendLimit = link.decoder.limit = welcome.frameBytes;
          resolve({ link, welcome });
          return;
        }
        case ToClient.REFUSED:
          throw refusal(reader.u8(), reader.u16(), reader.text());
        default:
          throw new ProtocolError(`${channel} sent a frame of kind ${kind} during the handshake`);
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
