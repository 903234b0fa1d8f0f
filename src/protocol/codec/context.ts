import type { JobRefInfo, ProxyRef } from '../wire.ts';

/**
 * What proxies and job references mean on this side of a connection. In the bytes stands only their position in
 * `Packed.proxies` and `Packed.jobs`. The first two are asked about objects that are neither data nor built in, at most
 * twice for each; without them such objects are refused. Without the last two, what comes out is the reference itself.
 */
export interface CodecContext {
  /** The reference by which this object crosses, if it is a proxy of this connection. */
  proxyRef?(value: object): ProxyRef | undefined;
  /** The reference by which this object crosses, if it is a `JobRef` or `TaskHandle`. */
  jobRef?(value: object): JobRefInfo | undefined;
  /** A live proxy. */
  proxy?(ref: ProxyRef): unknown;
  /** A live handle, or the output of that job. */
  job?(ref: JobRefInfo): unknown;
}
