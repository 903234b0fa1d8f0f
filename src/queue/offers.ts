/** The enrolled offers, the views they look at, and which classes none of them can run. */
import { type Demand, type Demands, Offer, type OfferSpec, sortedTags } from './demands.ts';
import { View } from './views.ts';

export class Offers {
  readonly #demands: Demands;
  readonly #unrunnable: (demand: Demand) => void;
  readonly #enrolled = new Set<Offer>();
  readonly #views = new Map<string, View>();
  /** Of takers that are not enrolled: they offer nothing. */
  #anonymous: Offer | undefined;

  constructor(demands: Demands, unrunnable: (demand: Demand) => void) {
    this.#demands = demands;
    this.#unrunnable = unrunnable;
  }

  /** The offer, and the views made for it. */
  enrol(spec: OfferSpec): { offer: Offer; made: readonly View[] } {
    const { offer, made } = this.#make(spec);
    this.#enrolled.add(offer);
    for (const demand of this.#demands.values()) {
      if (demand.possible(offer)) demand.able++;
      this.#tell(demand);
    }
    return { offer, made };
  }

  leave(offer: Offer): void {
    if (!this.#enrolled.delete(offer)) return;
    offer.gone = true;
    for (const view of [offer.view, offer.named]) if (view !== undefined && --view.offers === 0) this.#drop(view);
    for (const demand of this.#demands.values()) {
      if (demand.possible(offer)) demand.able--;
      this.#tell(demand);
    }
  }

  /** For takers that are not enrolled. */
  anonymous(): { offer: Offer; made: readonly View[] } {
    if (this.#anonymous !== undefined) return { offer: this.#anonymous, made: [] };
    const { offer, made } = this.#make({});
    this.#anonymous = offer;
    return { offer, made };
  }

  runnable(demand: Demand): boolean {
    return demand.plain || demand.able > 0 || this.#enrolled.size === 0;
  }

  /** Tasks of a new class are coming. */
  begun(demand: Demand): void {
    for (const view of this.#views.values()) if (view.sees(demand)) demand.views.push(view);
    for (const offer of this.#enrolled) if (demand.possible(offer)) demand.able++;
    this.#tell(demand);
  }

  #make(spec: OfferSpec): { offer: Offer; made: readonly View[] } {
    const made: View[] = [];
    const viewOf = (tags: readonly string[], worker: string | undefined): View => {
      const signature = JSON.stringify(worker ?? tags);
      let view = this.#views.get(signature);
      if (view === undefined) {
        view = new View(signature, tags, worker);
        this.#views.set(signature, view);
        made.push(view);
        for (const demand of [this.#demands.plain, ...this.#demands.values()]) {
          if (view.sees(demand)) demand.views.push(view);
        }
      }
      view.offers++;
      return view;
    };
    const tags = sortedTags(spec.tags ?? []);
    const named = spec.worker === undefined ? undefined : viewOf([], spec.worker);
    return { offer: new Offer(spec, tags, viewOf(tags, undefined), named), made };
  }

  /** Nobody looks at it any more. */
  #drop(view: View): void {
    this.#views.delete(view.signature);
    for (const { group } of view.shares) {
      group.shares.splice(
        group.shares.findIndex((share) => share.view === view),
        1,
      );
    }
    for (const { views } of [this.#demands.plain, ...this.#demands.values()]) {
      const at = views.indexOf(view);
      if (at >= 0) views.splice(at, 1);
    }
  }

  #tell(demand: Demand): void {
    const runnable = this.runnable(demand);
    if (!runnable && !demand.told) this.#unrunnable(demand);
    demand.told = !runnable;
  }
}
