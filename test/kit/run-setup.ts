/**
 * Around the whole run. Before: dist/ must be what src/ says, and the run gets temporary folders of its own.
 * After: nothing may be left of it (leftovers.ts).
 */
import path from 'node:path';
import { outdatedSources, projects } from '../../scripts/freshness.mjs';
import { environmentOf, freshFolder, refuseLeftovers } from './leftovers.ts';

const root = path.dirname(path.dirname(import.meta.dirname));

export default function setup(): () => Promise<void> {
  refuseOldOutput();
  const folder = freshFolder();
  Object.assign(process.env, environmentOf(folder)); // the test processes inherit it
  return async () => {
    try {
      await refuseLeftovers(folder);
    } catch (error) {
      process.exitCode = 1; // vitest only logs what a teardown throws
      throw error;
    }
  };
}

function refuseOldOutput(): void {
  const project = projects.find(({ name }) => name === 'dist')!;
  const outdated = outdatedSources(root, project);
  if (outdated.length === 0) return;
  const some = outdated.slice(0, 5).join(', ') + (outdated.length > 5 ? ` and ${outdated.length - 5} more` : '');
  throw new Error(
    `The tests run the compiled code, and dist/ is older than ${some}: run \`npm test\`, or \`npx tsc\` first.`,
  );
}
