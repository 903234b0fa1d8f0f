/**
 * A job graph as it crosses. Its jobs stand in such an order that each comes after jobs before it alone: no cycle can be
 * said. The client has checked its graph; what came over the wire is checked all the same.
 */
import { ProtocolError } from '../../errors.ts';
import type { Neighbours } from '../../graph/digraph.ts';
import { JobFlags } from '../../protocol/messages.ts';
import type { Item, Reader } from '../../protocol/wire.ts';
import { StoredPayload } from '../arenas.ts';
import { listOf, textOf } from '../arguments.ts';
import type { Session } from '../session.ts';
import { discardPayload, readPayload } from './payload.ts';
import { putOptions, type PutOptionItems } from './put-options.ts';

/** By the places of its jobs, and flat: a graph may have a million of them. */
export interface SubmittedGraph {
  readonly ids: readonly string[];
  readonly names: readonly string[];
  /** As of puts. */
  readonly inputs: readonly unknown[];
  readonly bytesIn: readonly number[];
  readonly options: readonly PutOptionItems[];
  /** Ids of tasks outside of the graph that each comes after. */
  readonly outside: readonly (readonly string[])[];
  /** Places of the jobs that each comes after: lower than its own, each once. */
  readonly after: Neighbours;
}

/** Bytes that a job takes at least: size, id, name, flags, count, input. */
const LEAST = 4 + 3 + 4 + 1 + 4 + 1;

const noOptions: PutOptionItems = {};
const none: readonly never[] = [];

/** What is thrown but for `ProtocolError` is the caller's mistake. Nothing is kept of the frame then. */
export function readGraph(session: Session, reader: Reader): SubmittedGraph {
  const inputs: unknown[] = [];
  try {
    return readJobs(session, reader, inputs);
  } catch (error) {
    for (const input of inputs) discardPayload(input);
    throw error;
  }
}

function readJobs(session: Session, reader: Reader, inputs: unknown[]): SubmittedGraph {
  const known = listOf(reader.item(), 'names').map((name) =>
    session.manager.internName(textOf(name, 'the name of a job')),
  );
  const count = reader.u32();
  const edges = reader.u32();
  if (count * LEAST + edges * 4 > reader.left) {
    throw new ProtocolError(`a message claims ${count} jobs and ${edges} edges in ${reader.left} bytes`);
  }
  const ids = new Array<string>(count);
  const names = new Array<string>(count);
  const bytesIn = new Array<number>(count);
  const options = new Array<PutOptionItems>(count);
  const outside = new Array<readonly string[]>(count);
  const starts = new Uint32Array(count + 1);
  const nodes = new Uint32Array(edges);
  /** The last job that each was found to come before. */
  const before = new Int32Array(count).fill(-1);
  let edge = 0;
  for (let place = 0; place < count; place++) {
    const end = reader.entry();
    ids[place] = idOf(reader.item(), 'a job');
    const at = reader.claim(9);
    const name = known[reader.data.getUint32(at, true)];
    const flags = reader.data.getUint8(at + 4);
    const many = reader.data.getUint32(at + 5, true);
    if (name === undefined) throw new ProtocolError('a job has a name that its graph does not');
    names[place] = name;
    if (many > edges) throw new ProtocolError(`a job comes after ${many} others, in a graph of ${edges} edges`);
    const from = reader.claim(4 * many);
    for (let i = 0; i < many; i++) {
      const other = reader.data.getUint32(from + 4 * i, true);
      if (other >= place) throw new ProtocolError(`job ${place} of a graph comes after job ${other}`);
      if (before[other] === place) continue;
      before[other] = place;
      if (edge === edges) throw new ProtocolError(`a graph has more than the ${edges} edges that it claims`);
      nodes[edge++] = other;
    }
    starts[place + 1] = edge;
    options[place] = flags & JobFlags.options ? putOptions(reader.item()) : noOptions;
    outside[place] = flags & JobFlags.outside ? listOf(reader.item(), 'outside').map(String) : none;
    const { position } = reader;
    const input = readPayload(session, reader, end, (flags & JobFlags.refs) !== 0);
    inputs.push(input);
    bytesIn[place] = input instanceof StoredPayload ? input.itemBytes : end - position;
  }
  reader.end();
  return { ids, names, inputs, bytesIn, options, outside, after: { starts, nodes } };
}

/** The task of a job is known by 'run/job'. */
export function runId(value: Item): string {
  return idOf(value, 'a run');
}

function idOf(value: Item, what: string): string {
  if (typeof value === 'string' && value !== '' && value.length <= 1000 && !value.includes('/')) return value;
  throw new TypeError(`the id of ${what} must be a string of 1 to 1,000 characters without '/'`);
}
