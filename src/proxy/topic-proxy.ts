import type { Feed, FeedOptions } from './feed.ts';
import { type GuardOptions, HoldableProxy, type ObjectHandle } from './object-proxy.ts';

/** To whom something is published. */
export interface PublishOptions extends GuardOptions {
  /** Only to subscribers whose client has this name: that of a worker, or `connect({ name })`. */
  to?: string | undefined;
}

/** A topic at one moment. */
export interface TopicState {
  /** How many subscribe. */
  subscribers: number;
  /** How many values have been published so far. */
  published: number;
}

/** A shared topic: what is published goes to all who subscribe at that moment. Nothing is kept for those who come later. */
export class TopicProxy<T = unknown> extends HoldableProxy {
  /** Sends `value` to all who subscribe, or to those of one name; resolves with how many they are. */
  async publish(value: T, options?: PublishOptions): Promise<number> {
    const { to, guard } = options ?? {};
    const args = [this.pack(value, 'value')];
    if (to !== undefined) args.push(to);
    return (await this.call('publish', args, undefined, guard)) as number;
  }

  /**
   * What is published from now on, until the loop is left, `signal` aborts, or the proxy is disposed of. For a reader
   * that falls behind, 10,000 values or 4 MiB are kept (8 MiB for all feeds of a client); then the oldest are dropped, and
   * `missed` counts them. @throws what ends it: ConnectionLostError, ProxyDisposedError, the signal's reason
   */
  subscribe(options?: FeedOptions): Feed<T> {
    return this.feed('subscribe', [], (item) => this.unpack(item) as T, options);
  }

  /** How many subscribe now, and how many values have been published so far. */
  override async snapshot(): Promise<TopicState> {
    const [subscribers, published] = (await this.call('snapshot', [])) as unknown as [number, number];
    return { subscribers, published };
  }

  protected through(where: ObjectHandle): this {
    return new TopicProxy<T>(where) as this;
  }
}
