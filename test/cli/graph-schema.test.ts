/** The schema, what the documents say of it, and their examples. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv } from 'ajv';
import { expect, test } from 'vitest';
import { SourceDocument } from '#qm/cli/graph-file/document.js';
import { planOf, readPlan } from '#qm/cli/graph-file/plan.js';
import { folderWith } from '../kit/command.ts';

const schema = JSON.parse(readFileSync(new URL('../../schema/graph.schema.json', import.meta.url), 'utf8')) as {
  properties: Record<string, object>;
  definitions: { job: { properties: Record<string, { description?: string }> } };
};
const reference = readFileSync(new URL('../../docs/graph-files.md', import.meta.url), 'utf8');

test('is itself of the form that schemas have', () => {
  const ajv = new Ajv({ strict: true, strictRequired: false, allowUnionTypes: true });
  ajv.addVocabulary(['x-must']);
  expect(ajv.validateSchema(schema)).toBe(true);
  expect(() => ajv.compile(schema)).not.toThrow();
});

test('every key has a row in the reference', () => {
  const keys = [...Object.keys(schema.properties), ...Object.keys(schema.definitions.job.properties)];
  const missing = keys.filter((key) => key !== '$schema' && !new RegExp(`^\\| \`${key}\` +\\|`, 'm').test(reference));
  expect(missing).toEqual([]);
});

test.each(
  [...reference.matchAll(/^```yaml\n([^]*?)^```$/gm)].map(([, text = '']) => [text.split('\n')[0], text] as const),
)('the example of the reference that begins with %j is a graph file', (_, text) => {
  const folder = folderWith({ 'tasks.mjs': '', 'build.yaml': text });
  expect(planOf(new SourceDocument(`${folder}/build.yaml`, text)).jobs.length).toBeGreaterThan(0);
});

test('the graph file of this repository: CI in jobs, each in its order', () => {
  const file = fileURLToPath(new URL('../../examples/build.yaml', import.meta.url));
  const { jobs } = readPlan(file);
  const before = Object.fromEntries(jobs.map((job) => [job.id, job.before]));
  expect(before).toEqual({
    compile: [],
    format: [],
    lint: ['compile'],
    'types:tsconfig.json': ['compile'],
    'types:test': ['compile'],
    'types:examples': ['compile'],
    'types:scripts': ['compile'],
    test: ['compile'],
    package: ['compile'],
  });
  const root = path.dirname(path.dirname(file));
  const read = jobs.flatMap(({ inputs }) => inputs.map(([one]) => one as string));
  expect(read.filter((one) => !existsSync(path.join(root, one)))).toEqual([]);
});
