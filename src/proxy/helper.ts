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
  | { readonly beatEvery: number }
  | { readonly session: number; readonly secret: string };

export class Helper {
  readonly #worker: Worker;

  constructor(connection: Connection, authKey: Uint8Array, parentPipe: number | undefined) {
    const { session, secret, leaseTimeout } = connection.welcome;
    const data: HelperData = {
      address: connection.address,
      authKey,
      session,
      secret,
      beatEvery: leaseTimeout / 5,
      parentPipe,
    };
    this.#worker = new Worker(new URL('./helper-thread.js', import.meta.url), {
      workerData: data,
      name: 'quartermaster helper',
      stdin: false,
    });
    this.#worker.unref();
    // Without its helper the process beats from its main thread; nothing else is lost.
    this.#worker.on('error', () => {});
    connection.on('reconnected', () =>
      this.#tell({ session: connection.welcome.session, secret: connection.welcome.secret }),
    );
  }

  watch(handle: number, window: SharedWindow): void {
    this.#tell({ window: { handle, memory: window.memory } });
  }

  beatEvery(ms: number): void {
    this.#tell({ beatEvery: ms });
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }

  #tell(message: HelperMessage): void {
    this.#worker.postMessage(message);
  }
}
