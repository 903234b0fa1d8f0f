/**
 * Writes in the middle of a turn. A socket of Node.js whose system buffer (some 200 KB) is full once takes nothing more to
 * the system before the event loop turns: in a loop that puts a hundred thousand tasks, the other side reads the first
 * few thousand and then has nothing to do until the loop has ended. So what such a turn writes goes to the system by
 * itself, as far as there is room each time, and what is left goes the usual way when the turn is over.
 */
import { writeSync } from 'node:fs';
import type { Socket } from 'node:net';

/** Bytes that wait for room, in their order. */
export class Kept {
  #pieces: Buffer[] = [];
  bytes = 0;

  add(piece: Buffer): void {
    this.#pieces.push(piece);
    this.bytes += piece.length;
  }

  /** All of them: they are the caller's. */
  take(): Buffer[] {
    const pieces = this.#pieces;
    this.#pieces = [];
    this.bytes = 0;
    return pieces;
  }

  /** Writes what there is room for. What is wrong with the socket comes out when it is written to the usual way. */
  writeTo(fd: number): void {
    try {
      for (let piece = this.#pieces[0]; piece !== undefined; piece = this.#pieces[0]) {
        const written = writeSync(fd, piece);
        this.bytes -= written;
        if (written < piece.length) {
          this.#pieces[0] = piece.subarray(written);
          return;
        }
        this.#pieces.shift();
      }
    } catch {
      // No room (EAGAIN).
    }
  }
}

/** Where the socket is a Unix socket of a system that has such. */
export function descriptorOf(socket: Socket): number | undefined {
  const { _handle: handle } = socket as unknown as { _handle?: { fd?: unknown } | null };
  const fd = handle?.fd;
  return typeof fd === 'number' && fd >= 0 ? fd : undefined;
}
