/** The schema, what the documents say of it, and their examples. */
import { readFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import { expect, test } from 'vitest';
import { SourceDocument } from '#qm/cli/graph-file/document.js';
import { planOf } from '#qm/cli/graph-file/plan.js';
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
