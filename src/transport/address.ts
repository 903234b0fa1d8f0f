/**
 * Addresses: 'unix:/path', 'pipe:name' (Windows), 'memory:name'. Here they are taken apart and checked for what the
 * system can bind; who may reach them is src/transport/platform.ts's business.
 */

export const isWindows = process.platform === 'win32';

/** Bytes of a socket's path that fit beside the final NUL of `sun_path`. */
export const maxSocketPath = process.platform === 'linux' ? 107 : 103;

/** Where Windows keeps its named pipes. */
export const pipePrefix = '\\\\.\\pipe\\';

export type Endpoint =
  | { readonly kind: 'unix'; readonly path: string }
  /** `path` is the pipe's full path, with `pipePrefix`. */
  | { readonly kind: 'pipe'; readonly path: string };

/** A failure with a system error's code, for refusals that the system itself did not make. */
export function systemError(code: string, message: string, cause?: unknown): Error & { code: string } {
  return Object.assign(new Error(message, cause === undefined ? undefined : { cause }), { code });
}

export function codeOf(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/** The endpoint of a socket address. Throws `TypeError` for what is no address, `ENOTSUP` for what cannot be used here. */
export function parseAddress(address: string): Endpoint {
  const colon = address.indexOf(':');
  const scheme = colon === -1 ? '' : address.slice(0, colon);
  const rest = address.slice(colon + 1);
  switch (scheme) {
    case 'unix':
      if (isWindows) throw systemError('ENOTSUP', `${quoted(address)}: on Windows use pipe:name`);
      // An abstract socket ('\0name') has no owner and no mode; only absolute paths are taken.
      if (!rest.startsWith('/') || rest.endsWith('/') || rest.includes('\0'))
        throw new TypeError(
          `${quoted(address)}: the path of a socket must be absolute, as in unix:/run/user/1000/qm/s`,
        );
      assertSocketPathFits(rest);
      return { kind: 'unix', path: rest };
    case 'pipe':
      if (!/^[\w.-]{1,200}$/.test(rest))
        throw new TypeError(`${quoted(address)}: a pipe's name is made of letters, digits, '_', '-' and '.'`);
      if (!isWindows) throw systemError('ENOTSUP', `${quoted(address)}: named pipes exist on Windows; use unix:/path`);
      return { kind: 'pipe', path: pipePrefix + rest };
    case 'tcp':
    case 'tls':
      throw systemError('ENOTSUP', `${quoted(address)}: ${scheme} comes with a later release; use unix:/path`);
    default:
      throw new TypeError(`${quoted(address)} is no address; addresses look like unix:/path or pipe:name`);
  }
}

/** Refuses, before anything is bound, a path that the system would refuse or cut short. */
export function assertSocketPathFits(path: string, remedy = 'choose a shorter address'): void {
  const length = Buffer.byteLength(path);
  if (length <= maxSocketPath) return;
  throw systemError(
    'ENAMETOOLONG',
    `the socket path ${quoted(path)} is ${length} bytes long; at most ${maxSocketPath} fit: ${remedy}`,
  );
}

/** Paths and addresses come from users and environments: control characters do not reach a terminal. */
export function quoted(text: string): string {
  return JSON.stringify(text);
}
