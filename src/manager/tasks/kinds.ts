/**
 * Takers by kind, which is what they offer: where nothing is ready for one, there is mostly nothing for any of its kind.
 * So a task that a thousand idle workers cannot run costs one question, not a thousand.
 */
import { Heap } from '../../queue/heap.ts';
import type { Call } from '../call.ts';
import { WaitList } from '../wait-list.ts';
import type { Taker } from './taker.ts';

/** A call that waits for a task. */
export interface Wait {
  readonly call: Call;
  readonly taker: Taker;
  /** Takes it from the list. */
  leave: () => boolean;
}

/** What one who was asked said: whether to go on with the others, of its kind and at all. */
export type Answer = 'given' | 'refused' | 'refused for its kind' | 'nothing left';

/** A wait, and how many came before it. */
interface Arrival {
  readonly wait: Wait;
  readonly number: number;
}

interface Kind {
  readonly signature: string;
  readonly waits: WaitList<Arrival>;
  /** Takers with room in their windows. */
  readonly hungry: Set<Taker>;
  takers: number;
}

/** The next one of a kind, while all are asked in turn. */
interface Turn {
  readonly rest: Iterator<Arrival>;
  next: Arrival;
}

export class Kinds {
  readonly #kinds = new Map<string, Kind>();
  #arrivals = 0;
  #waiting = 0;
  #byHand = 0;

  /** Calls that wait. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Those of them that no worker loop made. */
  get byHand(): number {
    return this.#byHand;
  }

  /** Kinds of which there are takers. */
  get size(): number {
    return this.#kinds.size;
  }

  /** Somebody waits, or has room. */
  get want(): boolean {
    if (this.#waiting > 0) return true;
    for (const { hungry } of this.#kinds.values()) if (hungry.size > 0) return true;
    return false;
  }

  /** The taker is there, until it leaves. */
  join(taker: Taker): void {
    const kind = this.#of(taker);
    kind.takers++;
    taker.hungryPeers = kind.hungry;
  }

  leave(taker: Taker): void {
    taker.hungryPeers.delete(taker);
    const kind = this.#of(taker);
    kind.takers--;
    this.#tidy(kind);
  }

  /** A call waits from here on. */
  wait(call: Call, taker: Taker): Wait {
    const kind = this.#of(taker);
    const wait: Wait = { call, taker, leave: () => false };
    const leave = kind.waits.add({ wait, number: ++this.#arrivals });
    const byHand = taker.loops ? 0 : 1;
    this.#waiting++;
    this.#byHand += byHand;
    taker.waits.add(wait);
    wait.leave = () => {
      const was = leave();
      if (was) {
        this.#waiting--;
        this.#byHand -= byHand;
        taker.waits.delete(wait);
      }
      this.#tidy(kind);
      return was;
    };
    return wait;
  }

  *waits(): IterableIterator<Wait> {
    for (const { waits } of this.#kinds.values()) for (const { wait } of waits) yield wait;
  }

  /** Asks those who wait, first come first, and leaves out those for whom another one has spoken. */
  askWaits(ask: (wait: Wait) => Answer): void {
    if (this.#waiting === 0) return;
    if (this.#kinds.size === 1) return this.#askAlike(ask);
    const turns = new Heap<Turn>((a, b) => a.next.number < b.next.number);
    for (const { waits } of this.#kinds.values()) {
      const rest = waits[Symbol.iterator]();
      const first = rest.next();
      if (first.done !== true) turns.push({ rest, next: first.value });
    }
    for (let turn = turns.pop(); turn !== undefined; turn = turns.pop()) {
      const answer = ask(turn.next.wait);
      if (answer === 'nothing left') return;
      if (answer === 'refused for its kind') continue;
      const next = turn.rest.next();
      if (next.done === true) continue;
      turn.next = next.value;
      turns.push(turn);
    }
  }

  /** All are of one kind. */
  #askAlike(ask: (wait: Wait) => Answer): void {
    for (const wait of this.waits()) {
      const answer = ask(wait);
      if (answer === 'nothing left' || answer === 'refused for its kind') return;
    }
  }

  /** Asks those with room, one task each in turn, as long as anyone is given one. */
  askHungry(ask: (taker: Taker) => Answer): void {
    let kinds: Kind[] = [];
    for (const kind of this.#kinds.values()) if (kind.hungry.size > 0) kinds.push(kind);
    while (kinds.length > 0) {
      const served: Kind[] = [];
      for (const kind of kinds) {
        let given = false;
        for (const taker of kind.hungry) {
          const answer = ask(taker);
          if (answer === 'nothing left') return;
          if (answer === 'refused for its kind') break;
          if (answer === 'given') given = true;
        }
        if (given) served.push(kind);
      }
      kinds = served;
    }
  }

  #of({ offer }: Taker): Kind {
    let kind = this.#kinds.get(offer.kind);
    if (kind === undefined) {
      kind = { signature: offer.kind, waits: new WaitList(), hungry: new Set(), takers: 0 };
      this.#kinds.set(offer.kind, kind);
    }
    return kind;
  }

  #tidy(kind: Kind): void {
    if (kind.takers === 0 && kind.waits.size === 0) this.#kinds.delete(kind.signature);
  }
}
