/**
 * Worker processes that are spawned before their group is: while the manager starts, they start beside it, and load their
 * tasks module. A group takes them for its first workers; one that has ended by then is not counted.
 */
import type { ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import { CONTROL_PIPE, type LoadOrder } from './orders.ts';
import { type ChildSettings, spawnWorker } from './worker-child.ts';

export class Spares {
  readonly #children: ChildProcess[];
  readonly #killAll = (): void => {
    for (let child = this.take(); child !== undefined; child = this.take()) child.kill('SIGKILL');
  };

  constructor(count: number, settings: ChildSettings, tasks: string) {
    this.#children = Array.from({ length: count }, () => spawnSpare(settings, tasks));
    process.once('exit', this.#killAll);
  }

  /** One that lives. It is the caller's from here on. */
  take(): ChildProcess | undefined {
    let child = this.#children.shift();
    while (child !== undefined && (child.exitCode !== null || child.signalCode !== null))
      child = this.#children.shift();
    return child;
  }

  /** Those that nobody has taken have nothing to finish. */
  end(): void {
    this.#killAll();
    process.off('exit', this.#killAll);
  }
}

function spawnSpare(settings: ChildSettings, tasks: string): ChildProcess {
  const child = spawnWorker(settings);
  const control = child.stdio[CONTROL_PIPE] as Socket;
  // What is wrong with it is found when it is taken.
  child.on('error', () => {});
  control.on('error', () => {});
  control.write(`${JSON.stringify({ load: tasks } satisfies LoadOrder)}\n`);
  return child;
}
