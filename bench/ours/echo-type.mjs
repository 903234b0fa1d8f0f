/** A custom type for T4: its arguments are decoded in the manager, and its answers encoded there. */

export class Echo {
  /** @param {{ id: number, fn: string, arg: { i: number } }} value */
  echo(value) {
    return value;
  }
}

/** @param {import('quartermaster').Manager} manager */
export default function register(manager) {
  manager.register('echo', Echo);
}
