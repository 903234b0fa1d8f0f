import { defineConfig } from 'vitest/config';

const inCi = process.env['CI'] === 'true';

export default defineConfig({
  ssr: { resolve: { conditions: ['module-sync', 'module', 'node', 'default'] } }, // `import 'quartermaster'` as Node.js resolves it
  test: {
    server: { deps: { external: [/\/dist\//] } }, // what is compiled runs as it does for users: Node.js loads it
    include: ['test/**/*.test.ts'],
    pool: 'forks', // tests spawn processes, signal them and count descriptors: a thread of the runner would be in the way
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    globalSetup: 'test/kit/run-setup.ts',
    reporters: inCi ? ['default', ['json', { outputFile: 'build/test-report.json' }]] : ['default'],
  },
});
