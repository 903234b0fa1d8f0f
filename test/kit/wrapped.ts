/** A transport round another one: what it hears is what a subclass says, all else is passed on. */
import type { Transport, TransportHandlers } from '#qm/transport/transport.js';

export abstract class Wrapped implements Transport {
  protected readonly inner: Transport;

  constructor(inner: Transport) {
    this.inner = inner;
  }

  abstract receive(handlers: TransportHandlers): void;

  get peer(): string {
    return this.inner.peer;
  }
  get pending(): number {
    return this.inner.pending;
  }
  send(bytes: Uint8Array): void {
    this.inner.send(bytes);
  }
  sendNow(bytes: Uint8Array): void {
    this.inner.sendNow(bytes);
  }
  close(reason?: Error): void {
    this.inner.close(reason);
  }
  destroy(): void {
    this.inner.destroy();
  }
  pause(): void {
    this.inner.pause();
  }
  resume(): void {
    this.inner.resume();
  }
  ref(): void {
    this.inner.ref();
  }
  unref(): void {
    this.inner.unref();
  }
}
