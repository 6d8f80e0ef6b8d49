/** Joins the clients that stick to members (ha/sticky) to the workers and the pair. */
import { StickyExchange } from '../ha/sticky/exchange.js';
import type { Pair } from '../ha/pair/pair.js';
import type { PairNews } from '../ha/pair/state.js';
import type { WorkerTier } from '../l7/supervisor/worker-tier.js';

export class StickySharing {
  readonly #exchange: StickyExchange;
  readonly #stop: () => void;

  constructor({
    pair,
    proxy,
    onMalformed,
  }: {
    readonly pair: Pick<Pair, 'onSession'>;
    readonly proxy: Pick<WorkerTier, 'sticky'>;
    readonly onMalformed: (why: string) => void;
  }) {
    this.#exchange = new StickyExchange({ table: () => proxy.sticky, onMalformed });
    this.#stop = pair.onSession((session) => {
      this.#exchange.attach(session);
      if (session.links.length > 0) this.#exchange.together();
    });
  }

  get state(): StickyExchange['state'] {
    return this.#exchange.state;
  }

  /** What happens to the pair. */
  heard({ what }: PairNews): void {
    if (what === 'together') this.#exchange.together();
    if (what === 'left') this.#exchange.attach(null);
  }

  close(): void {
    this.#stop();
    this.#exchange.close();
  }
}
