/**
 * A worker's helper thread as its process sees it. It has a small connection of its own, so that it beats, and gives
 * un-started tasks back, while the main thread is busy; and it ends the process when its parent has gone.
 */
import { Worker } from 'node:worker_threads';
import type { Connection } from './connection.ts';
import type { SharedWindow } from './shared-window.ts';

/** What the thread needs for its connection. The auth key stays in this process's memory. */
export interface HelperData {
  readonly address: string;
  readonly authKey: Uint8Array;
  readonly session: number;
  readonly secret: string;
  /** ms */
  readonly beatEvery: number;
}

/** What the thread is started with. */
export interface HelperStart {
  /** A pipe whose other end the parent holds; when it closes, the process group is killed. */
  readonly parentPipe: number | undefined;
}

/** What the thread is told. */
export type HelperMessage =
  | { readonly data: HelperData }
  | { readonly window: { readonly handle: number; readonly memory: SharedArrayBuffer } }
  /** The worker is ready: its beats, and its window, are the thread's business from now on. */
  | { readonly join: true }
  | { readonly beatEvery: number }
  | { readonly session: number; readonly secret: string };

/** The thread by itself: a spawned worker starts it before anything else, so that it boots beside what is loaded. */
export class HelperThread {
  readonly worker: Worker;
  failed = false;

  constructor(parentPipe: number | undefined) {
    this.worker = new Worker(new URL('./helper-thread.js', import.meta.url), {
      workerData: { parentPipe } satisfies HelperStart,
      name: 'quartermaster helper',
      stdin: false,
    });
    this.worker.on('error', () => (this.failed = true));
    this.worker.unref();
  }
}

export class Helper {
  readonly #worker: Worker;
  readonly #connection: Connection;
  #beatEvery: number;
  /** In place of a thread that cannot run. */
  #beats: NodeJS.Timeout | undefined;

  /** `thread`: of a spawned worker, which says when it has started; the thread of any other client joins at once. */
  constructor(connection: Connection, authKey: Uint8Array, thread: HelperThread | undefined) {
    const { session, secret, leaseTimeout } = connection.welcome;
    const beatEvery = leaseTimeout / 5;
    this.#connection = connection;
    this.#beatEvery = beatEvery;
    const { worker, failed } = thread ?? new HelperThread(undefined);
    this.#worker = worker;
    // While the thread has no connection it asks this one to beat; nothing else is lost.
    worker.on('message', () => connection.beat());
    worker.on('error', () => this.#beatHere());
    if (failed) this.#beatHere();
    // Only now: whoever listens holds the process.
    worker.unref();
    this.#tell({ data: { address: connection.address, authKey, session, secret, beatEvery } });
    if (thread === undefined) this.join();
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

  /** The process has started. */
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
