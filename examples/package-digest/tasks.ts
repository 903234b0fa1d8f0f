/** What the workers of package-digest run. */
import { defineTasks } from 'quartermaster';
import { type DigestInput, digestJob, type DigestResult } from './digest.ts';
import { type MergeInput, type Report, writeReport } from './report.ts';

export default defineTasks({
  /** The outputs of the jobs before it arrive in `dependencies`. */
  digest: (input: DigestInput): Promise<DigestResult> => digestJob(input),
  /** The last job: everything together, written to a file. */
  merge: (input: MergeInput): Promise<Report> => writeReport(input),
});
