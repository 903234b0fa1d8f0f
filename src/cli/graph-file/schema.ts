/** Holds a graph file against the schema that the package ships (`schema/graph.schema.json`), the one editors use too. */
import { readFileSync } from 'node:fs';
import { Ajv, type DefinedError, type ErrorObject } from 'ajv';
import type { Place, SourceDocument } from './document.ts';
import type { GraphFileText } from './model.ts';
import { suggestion } from './spelling.ts';

/** Where the schema is in the package. */
export const schemaUrl = new URL('../../../schema/graph.schema.json', import.meta.url);

/**
 * The document's value, of the form that the schema says.
 * @throws CommandError with every place that is not
 */
export function checkedBySchema(document: SourceDocument): GraphFileText {
  const ajv = new Ajv({ allErrors: true, verbose: true, allowUnionTypes: true });
  // What a value must be, in words: for messages.
  ajv.addVocabulary(['x-must']);
  const validate = ajv.compile(JSON.parse(readFileSync(schemaUrl, 'utf8')) as object);
  if (!validate(document.value)) {
    for (const error of validate.errors ?? []) note(document, error as ErrorObject & DefinedError);
  }
  document.throwProblems();
  return document.value as GraphFileText;
}

function note(document: SourceDocument, error: ErrorObject & DefinedError): void {
  // What each branch would have wanted: the choice as a whole is told once.
  if (error.schemaPath.includes('/oneOf/')) return;
  const place = stepsOf(error.instancePath);
  const what = place.length === 0 ? 'the file' : titleOf(place);
  switch (error.keyword) {
    case 'additionalProperties': {
      const key = error.params.additionalProperty;
      const known = Object.keys((error.parentSchema?.['properties'] ?? {}) as object);
      document.problemWithKey([...place, key], `${what} has no '${key}': ${suggestion(key, known)}`);
      return;
    }
    case 'propertyNames':
      return;
    case 'required':
      document.problem(place, `${what} needs '${error.params.missingProperty}'`);
      return;
    case 'oneOf': {
      const given = error.data as Record<string, unknown>;
      const both = given['run'] !== undefined && given['task'] !== undefined;
      document.problemWithKey(
        place,
        `${what} ${both ? 'has both: keep one of' : 'needs one of'} run (a shell command) and task (the name of a handler)`,
      );
      return;
    }
    default: {
      const { propertyName } = error as { propertyName?: string };
      if (propertyName !== undefined) {
        document.problemWithKey([...place, propertyName], `the name '${propertyName}' must be ${wanted(error)}`);
        return;
      }
      document.problem(place, `${what} must be ${wanted(error)}, not ${shown(error.data)}`);
    }
  }
}

function wanted(error: ErrorObject & DefinedError): string {
  const must: unknown = error.parentSchema?.['x-must'];
  if (typeof must === 'string') return must;
  switch (error.keyword) {
    case 'enum':
      return `one of ${error.params.allowedValues.join(', ')}`;
    case 'minLength':
      return 'a text that is not empty';
    case 'minProperties':
      return 'an object that is not empty';
    case 'type': {
      const types = ([] as string[]).concat(error.params.type);
      return types.map((type) => words[type] ?? type).join(' or ');
    }
    default:
      return error.message?.replace(/^must (be )?/, '') ?? 'something else';
  }
}

const words: Readonly<Record<string, string>> = {
  string: 'a text',
  object: 'an object',
  array: 'a list',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
};

function shown(value: unknown): string {
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (typeof value === 'object') return Object.keys(value).length === 0 ? 'an empty object' : 'an object';
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

function stepsOf(pointer: string): Place {
  return pointer
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** `jobs/test/retries` → "retries of job 'test'". */
function titleOf(place: Place): string {
  const [top, name, ...rest] = place;
  if (top === 'jobs' && name !== undefined) {
    return rest.length === 0 ? `job '${name}'` : `${rest.join('.')} of job '${name}'`;
  }
  return place.join('.');
}
