/** The combinations of a job's matrix. */
import type { Scalar } from './model.ts';

export type Combination = Readonly<Record<string, Scalar>>;

/** Most combinations of one job: beyond it is a mistake more often than a wish. */
export const MOST_COMBINATIONS = 1_000;

/** Checked by the schema. Undefined where there are more than `MOST_COMBINATIONS`. */
export function combinationsOf(matrix: Readonly<Record<string, unknown>> | undefined): Combination[] | undefined {
  if (matrix === undefined) return [{}];
  const {
    exclude = [],
    include = [],
    ...axes
  } = matrix as {
    exclude?: readonly Combination[];
    include?: readonly Combination[];
  } & Record<string, readonly Scalar[]>;
  const names = Object.keys(axes);
  const count = names.reduce((product, name) => product * (axes[name] as readonly Scalar[]).length, 1);
  if (count + include.length > MOST_COMBINATIONS) return undefined;
  let all: Combination[] = names.length === 0 ? [] : [{}];
  for (const name of names) {
    all = all.flatMap((before) => (axes[name] as readonly Scalar[]).map((value) => ({ ...before, [name]: value })));
  }
  const left = all.filter((one) => !exclude.some((out) => Object.entries(out).every(([name, v]) => one[name] === v)));
  return [...left, ...include];
}

/** 'test' and { node: 20, os: 'linux' } → 'test:20:linux'; signs that would be in the way become '-'. */
export function instanceId(name: string, combination: Combination): string {
  const values = Object.values(combination).map((value) => String(value).replaceAll(/[^A-Za-z0-9._-]/g, '-'));
  return [name, ...values].join(':').slice(0, 400);
}
