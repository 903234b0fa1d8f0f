/** Which object a client's frame is for, where it is about the order of frames (protocol/order.ts). */
import { ToClient, ToManager } from '../protocol/messages.ts';
import { orderToManager, TASKS, type Track } from '../protocol/order.ts';
import type { Side } from '../transport/long-frames.ts';

interface Opened {
  readonly typeId: string;
  readonly name: string | undefined;
  /** Of a handle that stands for another one. */
  readonly track?: Track | undefined;
}

/** How long frames go from a client with these handles. */
export function sideOfClient(openings: ReadonlyMap<number, Opened>): Side {
  const track = (handle: number): Track | undefined => {
    const opened = openings.get(handle);
    return opened && trackOf(opened);
  };
  return { sends: ToManager, takes: ToClient, order: (kind, reader) => orderToManager(kind, reader, track) };
}

/** The same for all handles on one object. Which unnamed one a proxy stands for that came in a value, nobody here knows. */
export function trackOf({ typeId, name, track }: Opened): Track {
  if (track !== undefined) return track;
  if (typeId === 'tasks') return TASKS;
  return name === undefined ? typeId : `${typeId}\0${name}`;
}
