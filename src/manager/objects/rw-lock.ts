/** Many readers or one writer. First come, first served: a reader does not pass a writer who waits. */
import type { Item } from '../../protocol/wire.ts';
import { checkOptions } from '../arguments.ts';
import type { Answer, Call } from '../call.ts';
import type { Made } from '../shared-object.ts';
import { type Grant, Grantor } from './grantor.ts';

/** More readers than there can be; a writer needs the place of all of them. */
const ALL = 0x1_0000_0000;

export class RwLock extends Grantor {
  constructor(made: Made, options: ReadonlyMap<string, Item>) {
    super(made);
    this.attach(options);
  }

  attach(options: ReadonlyMap<string, Item>): void {
    checkOptions('a read-write lock', options, []);
  }

  read(call: Call, [lease]: readonly Item[]): Answer {
    return this.ask(call, 1, lease);
  }

  write(call: Call, [lease]: readonly Item[]): Answer {
    return this.ask(call, ALL, lease);
  }

  /** [readers, whether somebody writes, how many wait] */
  snapshot(): Answer {
    const used = ALL - this.free;
    return [used === ALL ? 0 : used, used === ALL, this.waiting];
  }

  override weightOf(grant: Grant): 'read' | 'write' {
    return grant.weight === ALL ? 'write' : 'read';
  }

  protected get capacity(): number {
    return ALL;
  }
}
