/**
 * How bytes travel: send, receive, close. A medium (node-ipc, node:net, memory) opens connections; what the bytes mean
 * is the protocol's business. Every medium passes one suite: test/contract/transport.contract.ts.
 *
 *     one side                          other side
 *     send(bytes) ──▶ pending ──▶ … ──▶ data(chunk)       in order, cut anywhere
 *     drained()  ◀── pending is 0       pause() / resume()
 *     close()    ──▶ what was sent ───▶ data, then closed()
 */

/** What a connection tells its owner. An exception of `data` or `drained` closes that connection with it, and no other. */
export interface TransportHandlers {
  /** The chunk belongs to the owner from here on. Never called after `close()` or `destroy()` of this side. */
  data(chunk: Buffer): void;
  /** `pending` is back at zero after it had passed the medium's high-water mark (16 to 64 KiB). */
  drained(): void;
  /**
   * The last call, made exactly once and never from inside `close()` or `destroy()`. `error` is the reason that this
   * side gave, or what broke the connection; undefined where the peer ended it in the ordinary way.
   */
  closed(error?: Error): void;
}

/** One connection, either side. */
export interface Transport {
  /** For messages: 'unix:/path'. */
  readonly peer: string;
  /** Bytes accepted by `send()` and not yet handed to the system. The sender watches it: nothing else bounds it. */
  readonly pending: number;
  /** `bytes` belongs to the transport from here on and must not be written to. Dropped after the connection's end. */
  send(bytes: Uint8Array): void;
  /**
   * The same in the middle of a turn that goes on writing: what the system has room for leaves now, also where it had none
   * before.
   */
  sendNow(bytes: Uint8Array): void;
  /** To be called once. What came before is kept in the system or the medium until then. */
  receive(handlers: TransportHandlers): void;
  /** Ends the connection after what was sent has left; a peer that takes nothing for a second is cut off. */
  close(reason?: Error): void;
  /** Ends the connection at once; pending bytes are lost. */
  destroy(): void;
  /** Stops reading, so that the peer's `pending` grows. Its end, too, is only seen after `resume()`. */
  pause(): void;
  resume(): void;
  /** Whether the connection keeps the process alive. Sockets start ref'd, memory starts unref'd. */
  ref(): void;
  unref(): void;
}

/** A place where connections arrive. */
export interface Listener {
  readonly address: string;
  /**
   * No new connections; those accepted live on. All that it changes on disk (the socket's path) is done before it
   * returns, so that it can be called while the process exits.
   */
  close(): Promise<void>;
  ref(): void;
  unref(): void;
}

export interface ListenOptions {
  /** The hard stop: connections over it are dropped without a word, so owners count and answer below it. */
  readonly maxConnections: number;
  /** Who holds the socket at `path`, for the message of `EADDRINUSE`. Default: the pid in the connection file beside it. */
  readonly ownerOf?: (path: string) => number | undefined;
}

export interface Medium {
  /**
   * Rejects with code `EADDRINUSE` where somebody lives at `address`. An exception of `accept` closes that connection
   * and is reported as a process warning.
   */
  listen(address: string, accept: (transport: Transport) => void, options: ListenOptions): Promise<Listener>;
  /** Rejects with the system's code (`ENOENT`, `ECONNREFUSED`) where nobody listens, with `signal.reason` on abort. */
  connect(address: string, options?: { signal?: AbortSignal | undefined }): Promise<Transport>;
}
