/**
 * The loop: whenever intent, health or network changed, compile again and let each tier
 * make the world match. One owner, no locks: runs never overlap, and what changes
 * during a run is one more run.
 *
 * Invariant: the tables of the last successful run are what the kernel executes; after
 * a failed one the same work is tried again, by itself, until it succeeds.
 */
import type { Intent } from '../config/schema.js';
import type { AttachOutcome, FastPathInterface } from '../l4/attach.js';
import { compile } from './compile.js';
import type { AccessView } from './compile-protection.js';
import type {
  FastPathPort,
  HostPort,
  InfluencesPort,
  InspectInterface,
  TuneInterfaces,
  MonitorsPort,
  NetOutcome,
  NetworkPort,
  ProxyPort,
  RolesPort,
} from './ports.js';
import type { NextHop, Tables } from './tables.js';

export interface ReconcilerPorts {
  readonly network: NetworkPort;
  readonly fastPath: FastPathPort;
  readonly monitors: MonitorsPort;
  readonly inspect: InspectInterface;
  /** Left out: interfaces are as they are. */
  readonly tune?: TuneInterfaces;
  /** Left out: the host is not touched. */
  readonly host?: HostPort;
  /** Left out: nothing serves layer 7. */
  readonly proxy?: ProxyPort;
  /** Left out: no member starts slowly, is weighed or drained. */
  readonly influences?: InfluencesPort;
  /** What access lists hold beside the document. */
  readonly access?: { view(): AccessView };
  /** Left out: no address moves between units. */
  readonly roles?: RolesPort;
  /** Keys of persistence cookies by service; left out: no service of the proxy has such. */
  readonly cookieKey?: (service: string) => string;
}

export interface RunReport {
  readonly before: Tables | undefined;
  readonly tables: Tables;
  readonly netProblems: readonly string[];
  readonly outcomes: readonly AttachOutcome[];
}

export interface ReconcilerOptions {
  readonly onRun: (report: RunReport) => void;
  readonly onFailure: (error: unknown) => void;
  /** Time to the next attempt after a failed one, in milliseconds. */
  readonly retryMs: number;
}

export class Reconciler {
  readonly #ports: ReconcilerPorts;
  readonly #options: ReconcilerOptions;
  #intent: Intent | null = null;
  /** Whose unit the host was brought to. */
  #hostIntent: Intent | null = null;
  #tables: Tables | undefined;
  /** The tables of the last run that ended well: what the next one is compared with in public. */
  #reported: Tables | undefined;
  #running: Promise<void> | null = null;
  #again = false;
  #retry: NodeJS.Timeout | null = null;
  #closed = false;
  /** Interfaces that packets may leave by; null before the first attachment, when all are hoped for. */
  #usable: ReadonlySet<number> | null = null;
  /** What the workers serve by. */
  #proxied: Tables['l7'] | null = null;
  /** What the network came to; null when it must be asked again. */
  #net: NetOutcome | null = null;
  /** What the last run could not do; null when it did all. */
  #failure: Error | null = null;

  constructor(ports: ReconcilerPorts, options: ReconcilerOptions) {
    this.#ports = ports;
    this.#options = options;
  }

  get tables(): Tables | undefined {
    return this.#tables;
  }

  /** The intent that is being executed; null while there is none. */
  get intent(): Intent | null {
    return this.#intent;
  }

  get failure(): Error | null {
    return this.#failure;
  }

  /** What an intent would come to now, without doing any of it. */
  preview(intent: Intent): Tables {
    return compile(this.#input(intent), this.#tables);
  }

  /** Takes a new intent; `settle` says when it is executed. */
  setIntent(intent: Intent): void {
    this.#intent = intent;
    this.request();
  }

  /** Links, addresses or next hops changed. */
  networkChanged(): void {
    this.#net = null;
    this.request();
  }

  /** Something that the compiler looks at changed. */
  request(): void {
    if (this.#closed || this.#intent === null) return;
    if (this.#running !== null) {
      this.#again = true;
      return;
    }
    this.#running = this.#runAll().finally(() => {
      this.#running = null;
    });
  }

  /** Resolves when nothing is left to do; the last failure, if any, is in `failure`. */
  async settle(): Promise<void> {
    while (this.#running !== null) await this.#running;
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    await this.settle();
  }

  async #runAll(): Promise<void> {
    // A turn of the event loop gathers what changes together into one run.
    await new Promise<void>((resolve) => setImmediate(resolve));
    do {
      this.#again = false;
      try {
        await this.#run();
        this.#failure = null;
      } catch (error) {
        this.#failure = error instanceof Error ? error : new Error(String(error));
        this.#options.onFailure(error);
        this.#scheduleRetry();
      }
    } while (this.#again && !this.#closed);
  }

  async #run(): Promise<void> {
    const { network, fastPath, monitors } = this.#ports;
    if (this.#intent === null) return;
    const intent = this.#intent;
    const before = this.#tables;
    this.#ports.influences?.prepare(intent);
    const tables = compile(this.#input(intent), before);
    fastPath.program(tables.l4);
    this.#tables = tables;
    this.#ports.influences?.follow(before, tables, intent);
    if (tables.monitors !== before?.monitors) monitors.reconcile(tables.monitors);
    await this.#ports.roles?.prepare(tables.pair);
    await this.followHost(intent);
    if (this.#net === null || tables.net !== before?.net) {
      this.#net = null;
      this.#net = await network.reconcile(tables.net);
    }
    try {
      await this.#serve(tables, this.#net);
    } finally {
      // Even where not all can be served: else nobody would hold the addresses.
      this.#ports.roles?.follow(tables.pair);
    }
  }

  /** Networks, before anything is put into them. */
  async followHost(intent: Intent): Promise<void> {
    if (intent === this.#hostIntent) return;
    await this.#ports.host?.follow(intent.unit);
    this.#hostIntent = intent;
  }

  async #serve(tables: Tables, net: NetOutcome): Promise<void> {
    const { fastPath, inspect } = this.#ports;
    const { proxy } = this.#ports;
    if (proxy !== undefined && tables.l7 !== this.#proxied) {
      await proxy.execute(tables.l7);
      this.#proxied = tables.l7;
    }
    await this.#ports.tune?.(net.interfaces);
    const interfaces = net.interfaces
      .map((link) => inspect(link))
      .filter((found): found is FastPathInterface => found !== null);
    const present = new Set(net.interfaces.map(({ index }) => index));
    const outcomes = fastPath.attach(interfaces, present);
    const usable = new Set(
      outcomes
        .filter(({ attachment }) => attachment !== null)
        .map((outcome) => outcome.interface.index),
    );
    // Members behind an interface that came or went are compiled anew.
    const hoped = this.#usable ?? interfacesOf(tables);
    if (![...hoped].every((index) => usable.has(index)) || hoped.size < usable.size) {
      this.#again = true;
    }
    this.#usable = usable;
    const netProblems = [
      ...(this.#ports.host?.problems ?? []),
      ...net.problems.map(({ message }) => message),
      ...tables.pair.problems,
    ];
    this.#options.onRun({ before: this.#reported, tables, netProblems, outcomes });
    this.#reported = tables;
  }

  #input(intent: Intent): Parameters<typeof compile>[0] {
    return {
      intent,
      health: { get: (id) => this.#ports.monitors.status(id) },
      nextHop: (address) => this.nextHop(address),
      ...(this.#ports.influences === undefined ? {} : { influences: this.#ports.influences }),
      ...(this.#ports.cookieKey === undefined ? {} : { cookieKey: this.#ports.cookieKey }),
      ...(this.#ports.roles === undefined
        ? {}
        : {
            pair: {
              other: this.#ports.roles.other(),
              interfaceOf: (address: string) => this.#ports.network.interfaceOf(address),
            },
          }),
      ...(this.#ports.access === undefined ? {} : { access: this.#ports.access.view() }),
    };
  }

  /**
   * Where frames for an address go, or why they cannot. An interface that the fast path is not
   * on is no way: packets would be dropped there without anybody knowing.
   */
  nextHop(address: string): NextHop | { readonly unresolved: string } {
    const hop = this.#ports.network.nextHop(address);
    if ('unresolved' in hop || this.#usable === null || this.#usable.has(hop.interfaceIndex)) {
      return hop;
    }
    const { interfaceName } = hop;
    return {
      unresolved: `${address} is reached by ${interfaceName}, which the fast path is not on; add it to unit.interfaces`,
    };
  }

  #scheduleRetry(): void {
    if (this.#closed || this.#retry !== null) return;
    this.#retry = setTimeout(() => {
      this.#retry = null;
      this.request();
    }, this.#options.retryMs);
  }
}

/** Interfaces that members are reached by. */
function interfacesOf(tables: Tables): ReadonlySet<number> {
  const found = new Set<number>();
  for (const { members } of tables.l4.pools.values()) {
    for (const { nextHop } of members) if (nextHop !== null) found.add(nextHop.interfaceIndex);
  }
  return found;
}
