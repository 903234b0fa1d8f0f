/**
 * Which frames may pass a long one that is under way in parts.
 *
 * A frame that comes after a long one, or after a frame that waits for one, waits too if the two share a track; all
 * others pass. Frames of one track thus arrive in the order in which they were written. The tracks of a frame are what
 * its meaning depends on: the object that it is for, the call that it carries, the tasks. Kinds that are not named here
 * pass nothing and let nothing pass.
 */
import { type BuiltInType, GUARDED, methods, ToClient, ToManager } from './messages.ts';
import type { Reader } from './wire.ts';

/** Of a call its number, of an object a text. */
export type Track = number | string;

/** All tasks of all queues: they name each other, and their names are told once. */
export const TASKS = 'tasks';

/** The call on the manager that opens the proxy of a value. */
const OPEN_METHOD = methods.manager.indexOf('open');

/** A frame's place among those that wait. */
export interface Order {
  /** It waits for frames that are on one of these tracks. 'none': it passes even those that let nothing pass. */
  readonly after: readonly Track[] | 'all' | 'none';
  /** The tracks that it is on while it waits. 'all': nothing passes it. */
  readonly before: readonly Track[] | 'all';
}

const strict: Order = { after: 'all', before: 'all' };
const tasks = on([TASKS]);
/** What it opens is named by frames after it, also inside of values. Nothing before it is about what it opens. */
const opening: Order = { after: [], before: 'all' };
/** Of what it gives up, nothing that comes after it speaks. */
const closing: Order = { after: 'all', before: [] };
/** About no other frame: a region is named only after its arena is known to be open, and freed after all have copied it. */
const free: Order = { after: 'none', before: [] };

/** Types of objects by which others are told that something has been done: what was done before comes before. */
const fences: ReadonlySet<string> = new Set<BuiltInType>([
  'lock',
  'rlock',
  'rwlock',
  'semaphore',
  'condition',
  'event',
  'barrier',
]);

/** `track`: as `trackOf` gives it, the type first. */
function isFence(track: Track): boolean {
  return typeof track === 'string' && fences.has(track.split('\0', 1)[0] as string);
}

function on(tracks: readonly Track[]): Order {
  return { after: tracks, before: tracks };
}

/** Of a frame from a client. `trackOf`: the object behind a handle, however many handles there are on it. */
export function orderToManager(kind: number, reader: Reader, trackOf: (handle: number) => Track | undefined): Order {
  switch (kind) {
    case ToManager.BEAT:
    case ToManager.WANT_ARENA:
    case ToManager.OPENED:
    case ToManager.COPIED:
      return free;
    case ToManager.OPEN:
      return opening;
    case ToManager.DROP:
      return closing;
    case ToManager.CANCEL:
      return { after: [reader.u32(), TASKS], before: [] };
    case ToManager.CALL:
    case ToManager.HOLD: {
      const call = reader.u32();
      const handle = reader.u32();
      // Whoever calls the manager itself may want to know that all before has been handled.
      if (handle === 0) return reader.u8() === OPEN_METHOD ? opening : strict;
      const object = trackOf(handle);
      const tracks = [call, object];
      if (kind === ToManager.CALL && reader.u8() & GUARDED) tracks.push(trackOf(reader.u32()));
      if (tracks.includes(undefined)) return strict;
      return isFence(object as Track) ? { after: 'all', before: tracks as Track[] } : on(tracks as Track[]);
    }
    case ToManager.NAME:
    case ToManager.PUT:
    case ToManager.TAKE:
    case ToManager.WINDOW:
    case ToManager.COMPLETE:
    case ToManager.FAIL:
    case ToManager.RELEASE:
    case ToManager.EXTEND:
    case ToManager.PROGRESS:
    case ToManager.STARTED:
    case ToManager.GRAPH:
    case ToManager.LEND:
    case ToManager.RECLAIM:
    case ToManager.LOOP:
    case ToManager.ENDED:
    case ToManager.ITEMS:
    case ToManager.APART:
      return tasks;
    default:
      return strict;
  }
}

/** Of a frame from a manager. */
export function orderToClient(kind: number, reader: Reader): Order {
  switch (kind) {
    case ToClient.RESULT:
      return on([reader.u32()]);
    case ToClient.ARENA:
    case ToClient.FREED:
    case ToClient.ARENA_GONE:
      return free;
    case ToClient.PROGRESS:
      return on([reader.u32(), TASKS]);
    case ToClient.DONE:
    case ToClient.FAILED:
    case ToClient.CANCELLED:
    case ToClient.NAME:
    case ToClient.ACCEPTED:
    case ToClient.OUTCOME:
    case ToClient.TASK:
    case ToClient.TAKEN:
    case ToClient.LOST:
    case ToClient.STOP:
    case ToClient.ITEMS:
      return tasks;
    default:
      return strict;
  }
}
