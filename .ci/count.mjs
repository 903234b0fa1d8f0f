// Prints what vitest's JSON report counted as one plain line: 'N passed, N failed'. A file that could not be run at all
// counts as one failure. Without a report there was no run: that fails.

import { readFileSync } from 'node:fs';

const report = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8'));
const notRun = report.testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0);
const failed = report.numFailedTests + notRun.length;
const skipped = report.numPendingTests + (report.numTodoTests ?? 0);
console.log(`${report.numPassedTests} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
if (report.numPassedTests === 0) process.exitCode = 1;
