/**
 * Who is at the other end: both sides prove that they hold the auth key without saying it.
 *
 *     client                                   manager
 *       HELLO   version, role, nonce C  ──▶
 *                                       ◀──   CHALLENGE   version, nonce M
 *       PROOF   MAC(key, "client" …)    ──▶
 *                                       ◀──   PROOF       MAC(key, "manager" …)
 *
 * Each MAC is HMAC-SHA256 over the sender's side, the role, the version, the channel (the address) and both nonces: a
 * recorded proof fits no other connection, and a proof sent back is not the one that is wanted. Compared in equal time.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { ProtocolError } from '../errors.ts';
import { PROTOCOL_VERSION } from './messages.ts';
import type { Reader, Writer } from './wire.ts';

export const NONCE_BYTES = 32;
export const MAC_BYTES = 32;
const MAGIC = 0x4d51;

export interface Hello {
  readonly version: number;
  readonly role: number;
  readonly nonce: Buffer;
}

export function newNonce(): Buffer {
  return randomBytes(NONCE_BYTES);
}

/** A fresh auth key. */
export function newAuthKey(): Buffer {
  return randomBytes(32);
}

export function writeHello(writer: Writer, role: number, nonce: Uint8Array, version: number = PROTOCOL_VERSION): void {
  writer.u16(MAGIC);
  writer.u16(version);
  writer.u8(role);
  writer.raw(nonce);
}

/** Fixed size: whatever the version, these fields stand in these places. */
export function readHello(reader: Reader): Hello {
  if (reader.left !== 5 + NONCE_BYTES || reader.u16() !== MAGIC) {
    throw new ProtocolError('the peer does not speak the Quartermaster protocol');
  }
  return { version: reader.u16(), role: reader.u8(), nonce: Buffer.from(reader.view(NONCE_BYTES)) };
}

/** What one side proves to the other. */
export function proof(
  key: Uint8Array,
  side: 'client' | 'manager',
  hello: Hello,
  managerNonce: Uint8Array,
  channel: string,
): Buffer {
  return createHmac('sha256', key)
    .update(`quartermaster ${side} ${hello.version} ${hello.role} ${channel.length} ${channel} `)
    .update(hello.nonce)
    .update(managerNonce)
    .digest();
}

export function proves(given: Uint8Array, expected: Uint8Array): boolean {
  return given.length === expected.length && timingSafeEqual(given, expected);
}
