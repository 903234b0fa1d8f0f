/** Starting a manager process. */
import { expect, test } from 'vitest';
import { startManager } from 'quartermaster';

test('options that cannot be said to a manager are an error before there is a process', async () => {
  const processes = (): number => process.getActiveResourcesInfo().filter((what) => what === 'ProcessWrap').length;
  const before = processes();
  const options = { limits: { connections: 10n } } as unknown as Parameters<typeof startManager>[0];
  await expect(startManager(options)).rejects.toThrow(TypeError);
  expect(processes()).toBe(before);
});
