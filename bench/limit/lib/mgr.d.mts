/** What our own programs use of it. */
import type { Socket } from 'node:net';

export const PUT: number;
export const HELLO: number;
/** Frames of one turn leave in one write. */
export class Out {
  constructor(socket: Socket);
  str(type: number, id: number, text: string): void;
  flush(): void;
}
/** Calls back for each whole frame: `from` is the start of its length. */
export function frames(
  onFrame: (bytes: Buffer, from: number, to: number, type: number, id: number) => void,
): (chunk: Buffer) => void;
