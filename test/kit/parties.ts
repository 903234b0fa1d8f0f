/**
 * Other processes that take part in a test, each doing what the test tells it: a function is sent to it by its source,
 * runs there with a client of the manager, and its result comes back. Nobody sleeps; whatever must have happened first
 * is awaited.
 *
 *     const party = await partyOfTest(manager);
 *     const token = await party.run(async ({ client, kept }, name) => {
 *       kept.guard = await client.lock(name).acquire();
 *       return kept.guard.token;
 *     }, 'the lock');
 *     await party.kill();
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, onTestFinished } from 'vitest';
import type { Client } from 'quartermaster';

/** What a function has in the other process. It sees nothing of the module that it was written in. */
export interface There {
  readonly client: Client;
  readonly qm: typeof import('quartermaster');
  /** Stays from one function to the next. */
  readonly kept: Record<string, unknown>;
  /** Sends a message to the test while the function runs; `Party.messages` has it. */
  readonly say: (message: unknown) => void;
  /** A proxy of an object of any type. */
  readonly open: (typeId: string, name?: string) => AnyProxy;
}

/** What the proxies of all types that can be held have in common. */
export interface AnyProxy {
  readonly name: string | undefined;
  readonly typeId: string;
  snapshot(): Promise<unknown>;
  dispose(): PromiseLike<void>;
  [Symbol.asyncDispose](): PromiseLike<void>;
  [Symbol.dispose](): void;
  withLock<R>(
    fn: (held: AnyProxy) => R | Promise<R>,
    options?: { signal?: AbortSignal; timeout?: number; holdTimeout?: number },
  ): Promise<R>;
}

type Answer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: { name: string; message: string; code?: string } }
  | { readonly said: unknown }
  | { readonly ready: true };

export class Party {
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  readonly #calls = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  readonly #listeners: ((message: unknown) => void)[] = [];
  #ids = 0;

  constructor(child: ChildProcess) {
    this.#child = child;
    this.#exited = once(child, 'exit');
    child.on('message', (answer: Answer) => this.#answered(answer));
    child.once('exit', (code, signal) => {
      const error = new Error(`the process of this party ended (${signal ?? `exit code ${code}`})`);
      for (const { reject } of this.#calls.values()) reject(error);
      this.#calls.clear();
    });
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** Runs `there` in the other process. Rejects with its error by name, message and code, or when the process ends. */
  run<A extends readonly unknown[], R>(there: (me: There, ...args: A) => R, ...args: A): Promise<Awaited<R>> {
    return new Promise((resolve, reject) => {
      const id = ++this.#ids;
      this.#calls.set(id, { resolve, reject });
      this.#child.send({ id, source: String(there), args }, (error) => {
        if (error !== null) reject(error);
      });
    });
  }

  /** The next thing that the other process says. */
  said(): Promise<unknown> {
    return new Promise((resolve) => this.#listeners.push(resolve));
  }

  /** Ends the process at once, without a chance to say goodbye. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  #answered(answer: Answer): void {
    if ('ready' in answer) return;
    if ('said' in answer) {
      this.#listeners.shift()?.(answer.said);
      return;
    }
    const call = this.#calls.get(answer.id);
    this.#calls.delete(answer.id);
    if ('error' in answer) {
      const { name, message, code } = answer.error;
      call?.reject(Object.assign(new Error(message), { name }, code === undefined ? {} : { code }));
    } else {
      call?.resolve(answer.value as never);
    }
  }
}

/** A process with a client of that manager, connected. */
export async function startParty(manager: { readonly connectionFile: string }): Promise<Party> {
  const child = fork(fileURLToPath(new URL('./children/party.mjs', import.meta.url)), {
    serialization: 'advanced',
    execArgv: [],
    env: { ...process.env, QUARTERMASTER_CONNECTION: manager.connectionFile },
  });
  const party = new Party(child);
  const [first] = (await Promise.race([once(child, 'message'), once(child, 'exit')])) as [unknown];
  if (typeof first !== 'object') throw new Error('a party ended before it was connected: its standard error says why');
  return party;
}

/** A party until the end of the test that runs. */
export async function partyOfTest(manager: { readonly connectionFile: string }): Promise<Party> {
  const party = await startParty(manager);
  onTestFinished(() => party.kill());
  return party;
}

/** One party for all tests of the suite that is being described. */
export function partyOfSuite(manager: () => { readonly connectionFile: string }): () => Party {
  let party: Party | undefined;
  beforeAll(async () => {
    party = await startParty(manager());
  });
  afterAll(() => party?.kill());
  return () => party as Party;
}
