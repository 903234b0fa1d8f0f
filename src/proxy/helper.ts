/**
 * A worker's helper thread as its process sees it. It has a small connection of its own, so that it beats, and gives
 * un-started tasks back, while the main thread is busy; and it ends the process when its parent has gone.
 */
import { Worker } from 'node:worker_threads';
import type { Connection } from './connection.ts';
import type { SharedWindow } from './shared-window.ts';

/** What the thread is started with. The auth key stays in this process's memory. */
export interface HelperData {
  readonly address: string;
  readonly authKey: Uint8Array;
  readonly session: number;
  readonly secret: string;
  /** ms */
  readonly beatEvery: number;
  /** A pipe whose other end the parent holds; when it closes, the process group is killed. */
  readonly parentPipe: number | undefined;
}

/** What the thread is told later. */
export type HelperMessage =
  | { readonly window: { readonly handle: number; readonly memory: SharedArrayBuffer } }
  /** The worker is ready: its beats, and its window, are the thread's business from now on. */
  | { readonly join: true }
  | { readonly beatEvery: number }
  | { readonly session: number; readonly secret: string };

export class Helper {
  readonly #worker: Worker;
  readonly #connection: Connection;
  #beatEvery: number;
  /** In place of a thread that cannot run. */
  #beats: NodeJS.Timeout | undefined;

  constructor(connection: Connection, authKey: Uint8Array, parentPipe: number | undefined) {
    const { session, secret, leaseTimeout } = connection.welcome;
    const beatEvery = leaseTimeout / 5;
    const data: HelperData = { address: connection.address, authKey, session, secret, beatEvery, parentPipe };
    this.#connection = connection;
    this.#beatEvery = beatEvery;
    this.#worker = new Worker(new URL('./helper-thread.js', import.meta.url), {
      workerData: data,
      name: 'quartermaster helper',
      stdin: false,
    });
    // While the thread has no connection it asks this one to beat; nothing else is lost.
    this.#worker.on('message', () => connection.beat());
    this.#worker.on('error', () => this.#beatHere());
    // Only now: whoever listens holds the process.
    this.#worker.unref();
    connection.on('reconnected', () =>
      this.#tell({ session: connection.welcome.session, secret: connection.welcome.secret }),
    );
  }

  watch(handle: number, window: SharedWindow): void {
    this.#tell({ window: { handle, memory: window.memory } });
  }

  beatEvery(ms: number): void {
    this.#beatEvery = ms;
    if (this.#beats !== undefined) this.#beatHere();
    this.#tell({ beatEvery: ms });
  }

  /** Of a spawned worker: it has started. The thread of any other client has not waited for that. */
  join(): void {
    this.#tell({ join: true });
  }

  async stop(): Promise<void> {
    clearInterval(this.#beats);
    await this.#worker.terminate();
  }

  #beatHere(): void {
    clearInterval(this.#beats);
    this.#beats = setInterval(() => this.#connection.beat(), this.#beatEvery).unref();
  }

  #tell(message: HelperMessage): void {
    this.#worker.postMessage(message);
  }
}
