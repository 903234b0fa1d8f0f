/** What src/transport/node-ipc.ts uses of node-ipc 14.0.0, which ships no types. */
declare module 'node-ipc' {
  import type { Server as NetServer, Socket } from 'node:net';

  export interface Config {
    rawBuffer: boolean;
    silent: boolean;
    unlink: boolean;
    maxConnections: number;
    maxRetries: number;
    stopRetrying: boolean;
    socketRoot: string;
    secureSocketRoot: boolean;
    readableAll: boolean;
    writableAll: boolean;
  }

  /** `emit` writes; what arrives comes through `on`. In raw mode the first argument is the bytes. */
  export interface Client {
    readonly socket: Socket;
    emit(bytes: Buffer): boolean;
    on(event: 'data', handler: (chunk: Buffer) => void): this;
  }

  export interface Server {
    /** False until `start()`. */
    readonly server: NetServer | false;
    start(): void;
    emit(socket: Socket, bytes: Buffer): boolean;
    on(event: 'start', handler: () => void): this;
    on(event: 'connect', handler: (socket: Socket) => void): this;
    on(event: 'data', handler: (chunk: Buffer, socket: Socket) => void): this;
    on(event: 'error', handler: (error: Error) => void): this;
  }

  export class IPCModule {
    readonly config: Config;
    readonly of: Record<string, Client>;
    readonly server: Server;
    serve(path: string, onStart: () => void): void;
    connectTo(id: string, path: string, onCalled: () => void): void;
  }
}
