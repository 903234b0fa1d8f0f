import { type GuardOptions, HoldableProxy, type ObjectHandle } from './object-proxy.ts';

/** Shared named values: the properties of `T`, each read and written by a call. */
export class NamespaceProxy<T extends object = Record<string, unknown>> extends HoldableProxy {
  /** The value of a property; undefined where it has none. */
  async get<K extends keyof T & string>(name: K): Promise<T[K] | undefined> {
    return this.unpack(await this.call('get', [asProperty(name)])) as T[K] | undefined;
  }

  /** Replaces the value of a property. */
  async set<K extends keyof T & string>(name: K, value: T[K], options?: GuardOptions): Promise<void> {
    await this.call('set', [asProperty(name), this.pack(value, name)], undefined, options?.guard);
  }

  /** Whether there was something to delete. */
  async delete(name: keyof T & string, options?: GuardOptions): Promise<boolean> {
    return (await this.call('delete', [asProperty(name)], undefined, options?.guard)) as boolean;
  }

  /** All properties that have a value, at one moment, as a plain object. */
  async all(): Promise<Partial<T>> {
    // fromEntries defines, and does not assign: `__proto__` is a name like any other.
    return Object.fromEntries(this.unpack(await this.call('all', [])) as [string, unknown][]) as Partial<T>;
  }

  /** The same as `all()`. */
  override snapshot(): Promise<Partial<T>> {
    return this.all();
  }

  protected through(where: ObjectHandle): this {
    return new NamespaceProxy<T>(where) as this;
  }
}

function asProperty(name: unknown): string {
  if (typeof name === 'string') return name;
  throw new TypeError(`a property must be a string, not a ${typeof name}`);
}
