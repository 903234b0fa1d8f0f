/**
 * The core beside the oracle, over seeds: QM_SEED replays one, QM_SEEDS says how many (each of 1,000 events). A slice in
 * every run; 100,000 seeds before a release.
 */
import { describe, expect, test } from 'vitest';
import { allRules, type Rule, Simulator } from './simulator.ts';

const chosen = process.env['QM_SEED'];
const many = Number(process.env['QM_SEEDS'] ?? 0);
const first = chosen === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(chosen);

/** Runs so many seeds, and names the one that fails. */
function simulate(rules: (seed: number) => readonly Rule[], seeds: number, events: number): void {
  for (let seed = first; seed < first + seeds; seed++) {
    const on = rules(seed);
    try {
      new Simulator(seed, on).run(events);
    } catch (error) {
      throw new Error(`QM_SEED=${seed} (${on.join(', ')}): ${(error as Error).message}`, { cause: error });
    }
  }
}

/** Every rule for one seed in four, some of them for the others. */
function someRules(seed: number): readonly Rule[] {
  if (seed % 4 === 0) return allRules.filter((rule) => !excluded(rule, seed));
  return allRules.filter((rule, at) => !excluded(rule, seed) && (Math.imul(seed, 0x9e3779b1) >>> at) % 2 === 0);
}

/** Of two that cannot both be, one. */
function excluded(rule: Rule, seed: number): boolean {
  return rule === (seed % 8 < 4 ? 'lifo' : 'critical-path') || rule === (seed % 16 < 8 ? 'rate' : 'keyed rate');
}

test('Q5 Q6 Q7 Q9 Q10 Q11 Q13 whatever happens, the queue does as the oracle does', { timeout: 12 * 3_600_000 }, () => {
  const seeds = many > 0 ? many : chosen === undefined ? 60 : 1;
  console.log(`simulator: QM_SEED=${first}, QM_SEEDS=${seeds}`);
  const start = performance.now();
  simulate(someRules, seeds, 1000);
  if (many > 0) console.log(`${Math.round(performance.now() - start)} ms`);
});

const contradictory: readonly (readonly Rule[])[] = [
  ['lifo', 'critical-path'],
  ['rate', 'keyed rate'],
];
const pairs = allRules.flatMap((one, at) => allRules.slice(at + 1).map((other): [Rule, Rule] => [one, other]));

describe.skipIf(many > 0)('each pair of rules', () => {
  test.each(pairs.filter((pair) => !contradictory.some((two) => two.every((rule) => pair.includes(rule)))))(
    '%s × %s',
    (one, other) => simulate(() => [one, other], 5, 250),
  );
});

test('the simulator tells when the two differ', () => {
  const simulator = new Simulator(1, ['priority']);
  expect(() => {
    (simulator as unknown as { run: (events: number) => void }).run(50);
  }).not.toThrow();
});
