/** The tasks module of the type tests: one handler for each kind of input and output that the types must get right. */
import { defineTasks, type TaskHandle } from 'quartermaster';

export default defineTasks({
  inc: ({ i }: { i: number }) => i + 1,
  now: () => Date.now(),
  isOdd: (n: number) => n % 2 === 1,
  gate: (_x: { ok: boolean }) => 'gated',
  either: (_x: { v: string | number }) => 1,
  bytes: (x: { b: Uint8Array; when: Date; m: Map<string, number> }) => x.b,
  grow: (_n: number): Promise<TaskHandle<string>> => Promise.reject(new Error('only its type counts')),
  upper: (s: string) => s.toUpperCase(),
  opt: (_x: { a?: string }) => 1,
  maybe: (x?: number) => x ?? 0,
  tuple: (_x: readonly [number, string]) => 1,
  all: (_x: { parts: string[]; by: Record<string, number> }) => 1,
  json: (x: Json) => x,
  nothing: (_x: { i: number }) => {},
  union: (_x: { kind: 'a'; a: number } | { kind: 'b'; b: string }) => 1,
  brand: (_x: { id: Id }) => 1,
  anyIn: (x: any) => x as unknown,
  later: async (x: { ms: number }, { signal, progress }) => {
    progress(signal.aborted);
    return x.ms;
  },
});

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
export type Id = string & { readonly __id: unique symbol };
