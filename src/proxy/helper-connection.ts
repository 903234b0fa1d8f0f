/**
 * What the helper thread of a worker process does once it has a connection. See helper.ts.
 *
 *     every beat ──▶ BEAT, by the main thread while not let in
 *     RECALL from the manager ──▶ once the main thread has been at one task for 2 ms: GIVE_BACK what it has not started
 */
import { parentPort } from 'node:worker_threads';
import { Role, ToClient, ToManager } from '../protocol/messages.ts';
import type { Link } from '../transport/link.ts';
import { plainNet } from '../transport/net.ts';
import { enter } from './enter.ts';
import type { HelperData, HelperMessage } from './helper.ts';
import { SharedWindow } from './shared-window.ts';

/** A task that runs for longer than this (ms) holds up those behind it. */
const HEAD_OF_LINE = 2;
/** After a connection that could not be had, or was lost, the next is tried so much later (ms). */
const AGAIN = 250;

/** Whom to connect to, said first of all. */
let data: HelperData;
const windows = new Map<number, SharedWindow>();
let link: Link | undefined;
let beats: NodeJS.Timeout | undefined;
/** How often it was told to join. */
let joins = 0;
/** It has been without a connection for longer than it takes to get one. */
let outside = false;

/** What the main thread says. */
export function take(message: HelperMessage): void {
  if ('data' in message) begin(message.data);
  else if ('window' in message) windows.set(message.window.handle, new SharedWindow(message.window.memory));
  else if ('beatEvery' in message) beat(message.beatEvery);
  else if ('session' in message) join(message.session, message.secret);
}

function begin(given: HelperData): void {
  data = given;
  beat(data.beatEvery);
  join(data.session, data.secret);
}

function beat(every: number): void {
  clearInterval(beats);
  beats = setInterval(() => {
    if (link !== undefined) link.end(link.begin(ToManager.BEAT));
    else if (outside) parentPort?.postMessage('beat');
  }, every);
}

/** Joins a session, and whatever was lent to another is forgotten. */
function join(session: number, secret: string): void {
  link?.close();
  link = undefined;
  windows.clear();
  joins++;
  void connect(session, secret);
}

async function connect(session: number, secret: string): Promise<void> {
  const mine = joins;
  // Where the manager has gone, or the session has ended, the main thread finds out, and says so or ends this one.
  const again = (): void => {
    if (mine !== joins) return;
    outside = true;
    setTimeout(() => mine === joins && void connect(session, secret), AGAIN);
  };
  const entered = (made: Link): void => {
    made.handOver({
      frame: (kind, reader) => {
        if (kind !== ToClient.RECALL) return;
        const handle = reader.u32();
        giveBack(
          handle,
          Array.from({ length: reader.u32() }, () => reader.u48()),
        );
      },
      closed: () => {
        if (link === made) link = undefined;
        again();
      },
    });
    if (mine !== joins) return made.close();
    link = made;
    outside = false;
  };
  try {
    const transport = await plainNet.connect(data.address);
    const identity = { role: Role.helper, name: 'helper', claim: session, secret };
    await enter(transport, data.address, data.authKey, identity, { entered });
  } catch {
    again();
  }
}

/** Somebody has nothing to do: whatever waits behind a long task here is theirs. */
function giveBack(handle: number, wanted: readonly number[]): void {
  const joined = link;
  if (joined === undefined) return;
  const window = windows.get(handle);
  if (window === undefined || window.busyFor < HEAD_OF_LINE) {
    setTimeout(() => {
      if (link === joined) giveBack(handle, wanted);
    }, HEAD_OF_LINE);
    return;
  }
  const leases = window.takeBack(wanted);
  const start = joined.begin(ToManager.GIVE_BACK);
  joined.writer.u32(handle);
  joined.writer.u32(leases.length);
  for (const lease of leases) joined.writer.u48(lease);
  joined.end(start);
}
