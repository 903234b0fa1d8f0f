/**
 * What is installed as a software bill of materials: CycloneDX 1.6, as JSON (https://cyclonedx.org/docs/1.6/json/). The
 * same for the same packages, but for the time in it.
 */
import { createRequire } from 'node:module';
import { inByteOrder, type PackageDigest } from './digest.ts';
import type { LockedPackage } from './lockfile.ts';

export interface SbomInput {
  /** The project's. */
  readonly name: string;
  readonly version: string;
  readonly packages: readonly PackageDigest[];
  /** What the lockfile says of them. */
  readonly locked: readonly LockedPackage[];
  /** Keys of the packages that the project itself depends on. */
  readonly direct: readonly string[];
}

const spdxIds: ReadonlySet<string> = new Set(createRequire(import.meta.url)('spdx-license-ids') as string[]);

export function makeSbom({ name, version, packages, locked, direct }: SbomInput, now: Date): object {
  const byKey = new Map(locked.map((one) => [one.key, one]));
  const there = new Set(packages.map(({ key }) => key));
  const dependsOn = (keys: readonly string[]): string[] => keys.filter((key) => there.has(key)).toSorted(inByteOrder);
  return {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: {
      timestamp: now.toISOString(),
      tools: { components: [{ type: 'application', name: 'package-digest' }] },
      component: { type: 'application', 'bom-ref': ROOT, name, ...(version === '' ? {} : { version }) },
    },
    components: packages.map((one) => componentOf(one, byKey.get(one.key))),
    dependencies: [
      { ref: ROOT, dependsOn: dependsOn(direct) },
      ...packages.map(({ key }) => ({ ref: key, dependsOn: dependsOn(byKey.get(key)?.dependencies ?? []) })),
    ],
  };
}

/** What stands for the project itself; packages stand for themselves by their keys. */
const ROOT = 'project';

function componentOf(
  { key, name, version, license, digest }: PackageDigest,
  locked: LockedPackage | undefined,
): object {
  const [scope, own = name] = name.startsWith('@') ? name.split('/') : [undefined, name];
  const hash = sha512(locked?.integrity);
  return {
    type: 'library',
    'bom-ref': key,
    ...(scope === undefined ? {} : { group: scope }),
    name: own,
    ...(version === '' ? {} : { version }),
    ...(locked?.omittable === true ? { scope: 'optional' } : {}),
    ...(hash === undefined ? {} : { hashes: [{ alg: 'SHA-512', content: hash }] }),
    ...(license === undefined ? {} : { licenses: [licenseChoice(license)] }),
    ...(version === '' ? {} : { purl: purlOf(name, version) }),
    properties: [{ name: 'package-digest:sha256', value: digest }],
  };
}

/** An SPDX id, an expression of them, or a name that its author gave it. */
export function licenseChoice(license: string): object {
  if (spdxIds.has(license)) return { license: { id: license } };
  return isExpression(license) ? { expression: license } : { license: { name: license } };
}

/** Ids with AND, OR and brackets; what is rarer (WITH, +) is kept as a name. */
function isExpression(license: string): boolean {
  const words = license.split(/\s*[()]\s*|\s+/).filter((word) => word !== '');
  const ids = words.filter((word) => word !== 'AND' && word !== 'OR');
  return ids.length > 1 && ids.length * 2 - 1 === words.length && ids.every((id) => spdxIds.has(id));
}

/** https://github.com/package-url/purl-spec: the scope's '@' is written as '%40'. */
function purlOf(name: string, version: string): string {
  return `pkg:npm/${name.split('/').map(encodeURIComponent).join('/')}@${encodeURIComponent(version)}`;
}

/** As hexadecimal digits, out of what npm notes: 'sha512-…' in base64. */
function sha512(integrity: string | undefined): string | undefined {
  const found = /(?:^|\s)sha512-([A-Za-z0-9+/]{86}==)/.exec(integrity ?? '');
  return found === null ? undefined : Buffer.from(found[1] as string, 'base64').toString('hex');
}
