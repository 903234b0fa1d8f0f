/**
 * What it costs the queue's core to put, take and complete a task (ns), with few and with very many pending, by kind of
 * task. Run it alone: `node bench/ours/queue-core.mjs [how many pending]`.
 */
import { TaskQueue } from '../../dist/queue/queue.js';

const MANY = Number(process.argv[2] ?? 1_000_000);
const FEW = 1000;
const ROUNDS = 3;

const nothing = () => {};
const decisions = {
  settled: nothing,
  moved: nothing,
  ready: nothing,
  revoked: nothing,
  discarded: nothing,
  forgotten: nothing,
  revived: nothing,
  wake: nothing,
};
const tags = Array.from({ length: 1000 }, (_, i) => `t${i}`);
/** Shared by all tasks alike, as a client's options are. */
const classes = tags.map((tag) => ({ tags: [tag] }));

/**
 * What the `i`-th task of a kind asks for, and what its queue rules.
 * @type {Record<string, {
 *   of: (i: number) => import('../../dist/queue/rules.js').TaskRules | undefined,
 *   priority?: (i: number) => number,
 *   rules?: import('../../dist/queue/rules.js').QueueRules,
 * }>}
 */
const kinds = {
  plain: { of: () => undefined },
  '1,000 classes': { of: (i) => classes[i % 1000] },
  '1,000 classes, priorities': { of: (i) => classes[i % 1000], priority: (i) => i % 7 },
  'a key each': { of: (i) => ({ key: `k${i}` }), rules: { keyConcurrency: 1 } },
  '1,000 keys, one running each': { of: (i) => ({ key: `k${i % 1000}` }), rules: { keyConcurrency: 1 } },
  '100 groups': { of: (i) => ({ group: `g${i % 100}` }) },
};

let leases = 0;

/**
 * ns a task: [put, take and complete].
 * @param {(typeof kinds)[string]} kind
 * @param {number} pending
 */
function round({ of, priority, rules }, pending) {
  const keepRecords = { count: 1000, age: 1e9, bytes: 1e9 };
  const limits = { maxSize: Infinity, maxBytes: Infinity, keepRecords, rules };
  const queue = new TaskQueue(limits, () => ++leases, decisions, { random: Math.random });
  const holder = { leases: new Map(), offer: queue.enrol({ tags }) };
  const repeat = Math.max(1, Math.round(100_000 / pending));
  let putting = 0;
  let taking = 0;
  for (let again = 0; again < repeat; again++) {
    let start = performance.now();
    for (let i = 0; i < pending; i++) {
      const spec = { name: 'x', priority: priority?.(i) ?? 0, input: 'i', bytesIn: 1, retries: 0, poisonAfter: 3 };
      queue.put({ id: undefined, after: undefined, rules: of(i), ...spec }, i);
    }
    putting += performance.now() - start;
    start = performance.now();
    for (let i = 0; i < pending; i++) {
      const task = queue.take(holder, undefined, i);
      if (task === undefined) throw new Error('nothing could be taken');
      const { lease, number } = task;
      queue.complete({ holder, lease, number, ranFor: -1 }, 'o', 1, i);
    }
    taking += performance.now() - start;
  }
  if (queue.pending > 0) throw new Error('tasks are left');
  return [putting, taking].map((ms) => (ms * 1e6) / (pending * repeat));
}

/** @param {number[]} list */
const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];
for (const [name, kind] of Object.entries(kinds)) {
  const few = [];
  const many = [];
  round(kind, FEW);
  for (let i = 0; i < ROUNDS; i++) {
    few.push(round(kind, FEW));
    many.push(round(kind, MANY));
  }
  const [put, take] = [0, 1].map((at) => [few, many].map((list) => Math.round(median(list.map((one) => one[at])))));
  console.log(
    `${name}: put ${put.join(' → ')}, take and complete ${take.join(' → ')} (${(take[1] / take[0]).toFixed(2)} ×)`,
  );
}
