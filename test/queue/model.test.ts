/** The real queue beside the model, over random sequences of everything that can happen to it. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Holder, stateNames, type Task } from '#qm/queue/task.js';
import { Model, type ModelTask } from './model.ts';
import { aHolder, aJob, endOf, failed, lost, QueueRig } from './rig.ts';

const HOLDERS = 3;
/** Picks one of a list that is not known yet. */
const pick = fc.nat({ max: 1_000_000 });

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('put' as const),
      id: fc.option(fc.constantFrom('a', 'b', 'c', 'd'), { nil: undefined, freq: 4 }),
      priority: fc.constantFrom(0, 0, 0, 1, -1, 2.5),
      bytes: fc.nat({ max: 5 }),
      retries: fc.nat({ max: 2 }),
      poisonAfter: fc.integer({ min: 1, max: 3 }),
      after: fc.array(pick, { maxLength: 3 }),
      pins: fc.nat({ max: 1 }),
    }),
  },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('take' as const), holder: fc.nat({ max: HOLDERS - 1 }) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('complete' as const), pick, bytes: fc.nat({ max: 9 }) }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('fail' as const), pick, final: fc.boolean(), bytes: fc.nat({ max: 9 }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('giveBack', 'expire', 'cancel', 'unpin'), pick }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('retry' as const), pick }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('die' as const), pick, started: fc.nat({ max: 2 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('late' as const), pick, how: fc.nat({ max: 2 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('wait' as const), time: fc.nat({ max: 400 }) }) },
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

class Both {
  readonly rig: QueueRig;
  readonly model: Model;
  readonly holders: Holder[] = Array.from({ length: HOLDERS }, aHolder);
  /** Leases that have ended, by whatever. */
  readonly past: { readonly task: ModelTask; readonly lease: number; readonly holder: Holder }[] = [];
  #highest = 0;

  constructor(count: number, age: number, bytes: number) {
    this.rig = new QueueRig({ count, age, bytes });
    this.model = new Model(count, 10 * age, bytes);
  }

  run(step: Step): void {
    const { rig, model } = this;
    switch (step.do) {
      case 'put':
        return this.#put(step);
      case 'take':
        return this.#take(step.holder);
      case 'complete':
        return this.#onLease(step.pick, (task, real) => {
          expect(rig.complete(real, 'output', step.bytes)).toBe('done');
          model.complete(task, step.bytes, rig.now);
        });
      case 'fail':
        return this.#onLease(step.pick, (task, real) => {
          expect(rig.fail(real, step.final, failed('boom', step.bytes))).toBe('done');
          model.fail(task, step.final, step.bytes, rig.now);
        });
      case 'giveBack':
        return this.#onLease(step.pick, (task, real) => {
          expect(rig.giveBack(real)).toBe('done');
          model.giveBack(task);
        });
      case 'expire':
        return this.#onLease(step.pick, (task, real) => {
          rig.expire(real);
          model.lose(task, rig.now);
        });
      case 'die':
        return this.#die(step.pick % HOLDERS, step.started);
      case 'cancel':
        return this.#on(model.kept(), step.pick, (task, real) => {
          if (task.state === 'leased') this.#remember(task);
          expect(rig.cancel(real)).toBe(model.cancel(task, rig.now));
        });
      case 'retry':
        return this.#on(model.finished, step.pick, (task, real) => {
          expect(rig.queue.retry(real, rig.now)).toBe(model.retry(task));
        });
      case 'unpin':
        return this.#on(
          model.kept().filter((task) => task.pins > 0),
          step.pick,
          (task, real) => {
            rig.queue.records.unpin(real);
            model.unpin(task);
          },
        );
      case 'late':
        return this.#late(step.pick, step.how);
      case 'wait':
        rig.now += step.time;
        rig.queue.records.prune(rig.now);
        return model.prune(rig.now);
    }
  }

  /** Everything that can be seen of the real queue is as the model says. */
  compare(): void {
    const { rig, model } = this;
    rig.queue.validate();
    const kept = model.kept();
    expect([...rig.queue.records.values()].map(shown)).toEqual(kept.map(shownModel));
    expect(rig.settled.map((task) => task.key)).toEqual(model.ended.map((task) => task.key));
    for (const state of stateNames) {
      expect(rig.queue.count(stateNames.indexOf(state) as never)).toBe(
        kept.filter((task) => task.state === state).length,
      );
    }
    const waiting = kept.filter((task) => task.state === 'ready' || task.state === 'blocked');
    expect(rig.queue.records.bytes).toBe(model.keptBytes);
    expect(rig.queue.pending).toBe(waiting.length);
    expect(rig.queue.bytes).toBe(waiting.reduce((sum, task) => sum + task.bytes, 0));
    expect(rig.queue.ready).toBe(model.inState('ready').length);
    const leases = this.holders.flatMap((holder) => [...holder.leases.keys()]);
    expect(leases.toSorted((a, b) => a - b)).toEqual(
      model
        .inState('leased')
        .map((task) => task.lease)
        .toSorted((a, b) => a - b),
    );
  }

  /** Takes and completes all that can still run. */
  finish(): void {
    for (;;) {
      if (this.model.inState('leased').length > 0) this.run({ do: 'complete', pick: 0, bytes: 1 });
      else if (this.model.next() !== undefined) this.#take(0);
      else return;
    }
  }

  #put({ id, after, pins, ...rest }: Step & { do: 'put' }): void {
    const { rig, model } = this;
    const kept = model.kept();
    if (id !== undefined && rig.queue.records.get(id) !== undefined) return;
    const before = [...new Set(kept.length === 0 ? [] : after.map((at) => kept[at % kept.length] as ModelTask))];
    const { priority, bytes, retries, poisonAfter } = rest;
    const job = pins > 0 ? aJob() : undefined;
    const spec = { priority, bytes, retries, poisonAfter, job, after: before.map((task) => this.#real(task)) };
    const real = rig.put(id === undefined ? spec : { ...spec, id });
    const task = model.put({ id, priority, bytes, retries, poisonAfter, after: before, pins }, rig.now);
    expect([real.number, real.key]).toEqual([task.number, task.key]);
  }

  #take(holder: number): void {
    const { rig, model } = this;
    const real = rig.queue.take(this.holders[holder] as Holder, undefined, rig.now);
    const task = model.take(holder);
    expect(real?.key).toBe(task?.key);
    if (real === undefined) return;
    expect(real.lease).toBeGreaterThan(this.#highest);
    this.#highest = real.lease;
  }

  #die(holder: number, started: number): void {
    const { rig, model } = this;
    const held = model.inState('leased').filter((task) => task.holder === holder);
    held
      .toSorted((a, b) => a.lease - b.lease)
      .forEach((task, i) => {
        this.#remember(task);
        rig.queue.lose(this.holders[holder] as Holder, task.lease, i < started, lost, rig.now);
        if (i < started) model.lose(task, rig.now);
        else model.giveBack(task);
      });
  }

  #late(at: number, how: number): void {
    if (this.past.length === 0) return;
    const { task, lease, holder } = this.past[at % this.past.length] as (typeof this.past)[number];
    const { rig } = this;
    const end = { ...endOf({ lease, number: task.number } as Task), holder };
    if (how === 2) expect(rig.queue.giveBack(holder, lease, rig.now)).toBe('lost');
    else {
      const answer =
        how === 0 ? rig.queue.complete(end, 'late', 1, rig.now) : rig.queue.fail(end, failed('late'), false, rig.now);
      expect(answer).toBe(this.model.late(task, lease));
    }
  }

  #onLease(at: number, act: (task: ModelTask, real: Task) => void): void {
    this.#on(this.model.inState('leased'), at, (task, real) => {
      this.#remember(task);
      act(task, real);
    });
  }

  #on(tasks: readonly ModelTask[], at: number, act: (task: ModelTask, real: Task) => void): void {
    if (tasks.length === 0) return;
    const task = tasks[at % tasks.length] as ModelTask;
    act(task, this.#real(task));
  }

  #remember(task: ModelTask): void {
    this.past.push({ task, lease: task.lease, holder: this.holders[task.holder] as Holder });
  }

  #real(task: ModelTask): Task {
    const real = this.rig.queue.records.byNumber(task.number);
    if (real === undefined) throw new Error(`${task.key} should be kept`);
    return real;
  }
}

function shown(task: Task) {
  const { key, attempt, failures, deaths, lease, endedAt } = task;
  const ancestor = task.failure?.code === 'QM_DEPENDENCY_FAILED' ? task.failure.fields[1] : undefined;
  return { key, state: stateNames[task.state], attempt, failures, deaths, lease, endedAt, ancestor };
}

function shownModel({ key, state, attempt, failures, deaths, lease, endedAt, ancestor }: ModelTask) {
  return { key, state, attempt, failures, deaths, lease, endedAt, ancestor };
}

test('Q5 Q8 Q9 Q11 whatever happens, the queue does as the model does', () => {
  const history = fc.record({
    count: fc.integer({ min: 1, max: 12 }),
    age: fc.integer({ min: 5, max: 100 }),
    bytes: fc.oneof(fc.constant(Infinity), fc.nat({ max: 60 })),
    steps: fc.array(step, { maxLength: 120 }),
  });
  fc.assert(
    fc.property(history, ({ count, age, bytes, steps }) => {
      const both = new Both(count, age, bytes);
      for (const one of steps) {
        both.run(one);
        both.compare();
      }
      both.finish();
      both.compare();
      expect(both.model.kept().every((task) => task.endedAt >= 0)).toBe(true);
    }),
    { numRuns: 150 },
  );
});
