/** Two units of a pair in one process, over loopback: stores of their own, and what they tell. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Pair } from '../../appliance/ha/pair/pair.js';
import type { Session } from '../../appliance/ha/pair/session.js';
import type { PairNews } from '../../appliance/ha/pair/state.js';
import { PairStore } from '../../appliance/ha/pair/store.js';
import { MachineKey } from '../../appliance/tls/machine-key.js';

export class PairUnit {
  readonly news: PairNews[] = [];
  readonly errors: unknown[] = [];
  readonly folder = mkdtempSync(join(tmpdir(), 'weir-pair-'));
  /** The latest. */
  session: Session | null = null;
  pair: Pair;
  /** Hears the news as they come. */
  listener: (news: PairNews) => void = () => undefined;
  #store: PairStore;
  readonly #wakes = new Set<() => void>();

  constructor(
    readonly name: string,
    readonly port: number,
    readonly invitationMs?: number,
  ) {
    [this.pair, this.#store] = this.#open();
  }

  #open(): [Pair, PairStore] {
    const store = PairStore.open(this.folder);
    const pair = new Pair({
      store,
      machineKey: () => MachineKey.open(this.folder, true),
      unit: () => this.name,
      port: this.port,
      timing: { heartbeatMs: 50, silenceMs: 2000 },
      ...(this.invitationMs === undefined ? {} : { invitationMs: this.invitationMs }),
      onNews: (news) => {
        this.news.push(news);
        this.listener(news);
        for (const wake of this.#wakes) wake();
      },
      onListenerError: (error) => this.errors.push(error),
    });
    pair.onSession((session) => (this.session = session));
    return [pair, store];
  }

  get store(): PairStore {
    return this.#store;
  }

  /** Of the daemon: the same state, a new run. */
  restart(): void {
    this.stop();
    this.session = null;
    [this.pair, this.#store] = this.#open();
  }

  stop(): void {
    this.pair.close();
    this.#store.close();
  }

  close(): void {
    this.stop();
    rmSync(this.folder, { recursive: true });
  }

  /** Resolves once something of this kind was told, from the `from`-th news on. */
  async heard<W extends PairNews['what']>(
    what: W,
    from = 0,
  ): Promise<Extract<PairNews, { what: W }>> {
    for (;;) {
      const found = this.news
        .slice(from)
        .find((one): one is Extract<PairNews, { what: W }> => one.what === what);
      if (found !== undefined) return found;
      await this.#more();
    }
  }

  async untilLinks(up: number): Promise<void> {
    while ((this.session?.links.length ?? 0) !== up) await this.#more();
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#wakes.delete(wake);
        resolve();
      };
      this.#wakes.add(wake);
    });
  }
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export async function pairOf(
  links: readonly string[] = ['127.0.0.1', '127.0.0.2'],
): Promise<[PairUnit, PairUnit]> {
  const port = await freePort();
  const [a, b] = [new PairUnit('unit-a', port), new PairUnit('unit-b', port)];
  const { code } = await a.pair.invite(links);
  await b.pair.join(code, links[0] ?? '');
  await Promise.all([a.heard('together'), b.heard('together')]);
  return [a, b];
}
