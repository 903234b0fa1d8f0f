/** The limit's manager, with `CREDIT` tasks ahead at each of its workers: what `limit_mgr` does, for other graphs. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import { frames, HELLO, Out, PUT } from '../../limit/lib/mgr.mjs';
import { sockPath } from '../../limit/lib/common.mjs';
import { check } from '../../measured.mjs';

const CREDIT = 4;
const script = fileURLToPath(new URL('../../limit/lib/mgr.mjs', import.meta.url));

/** @param {string[]} args */
async function start(...args) {
  const child = fork(script, args);
  await once(child, 'message');
  return child;
}

/** @param {number} count */
export async function open(count) {
  const path = sockPath('mgr');
  const manager = await start('managerBatch', path, String(CREDIT));
  const socket = net.connect({ path, noDelay: true });
  await once(socket, 'connect');
  const out = new Out(socket);
  out.str(HELLO, 0, 'M');
  out.flush();
  await once(socket, 'data');
  const workers = await Promise.all(Array.from({ length: count }, () => start('workerBatch', path)));

  /** @type {((output: unknown) => void)[]} */
  const outstanding = [];
  /** @type {number[]} */
  const free = [];
  const read = frames((bytes, from, to, _type, id) => {
    free.push(id);
    outstanding[id](JSON.parse(bytes.toString('latin1', from + 9, to)));
  });
  socket.on('data', read);
  let dirty = false;
  const touch = () => {
    if (dirty) return;
    dirty = true;
    process.nextTick(() => {
      dirty = false;
      out.flush();
    });
  };
  /** @param {string} operation @param {unknown} input */
  const send = (operation, input) =>
    new Promise((resolve) => {
      const id = free.pop() ?? outstanding.length;
      outstanding[id] = resolve;
      out.str(PUT, id, JSON.stringify([operation, input]));
      touch();
    });
  return {
    run: async (/** @type {string} */ operation, /** @type {unknown} */ input) => {
      check((await send(operation, input)) === 1, 'the limit’s spin gives 1');
      return input;
    },
    workers: workers.map(({ pid }) => Number(pid)),
    manager: Number(manager.pid),
    close: async () => {
      for (const child of [manager, ...workers]) child.kill('SIGKILL');
    },
  };
}
