/**
 * Walks over the flow table again and again: native/bpf/sweep.h removes what is over, and says
 * how much is left. Also ends what a change of a lookup table left behind (slots.ts), and clears
 * the sketch of UDP flows of what it remembers for too long.
 *
 * Invariant: walks never overlap, and take at most a fiftieth of the time, so a large table is
 * walked over less often. Their pieces run in a thread of the pool: the daemon goes on meanwhile.
 */
import type { Datapath } from './datapath.js';
import { countEntries, FlowWalk, WALKER } from './flow-walk.js';
import { sweep as layout } from './layouts.js';
import type { Programmer } from './programmer.js';

/**
 * How long an entry stays without a packet, seconds. Established: RFC 5382 REQ-5; a connection
 * that is beginning or ending: REQ-5's four minutes are the bound for ending ones, while a
 * handshake whose client is silent for longer than its fifth retransmission is none. UDP: RFC
 * 4787 REQ-5. UDP flows of the other unit of a pair: it tells of them again within ten minutes,
 * and says when they are over.
 */
export const PATIENCE = {
  tcpOpen: 63,
  tcpIdle: 7440,
  tcpClosing: 240,
  closed: 10,
  udpNew: 30,
  udpIdle: 120,
  theirsUdp: 900,
} as const;

/** The same when the table is nearly full: what a flood leaves behind goes first. */
export const IMPATIENCE = {
  ...PATIENCE,
  tcpOpen: 3,
  closed: 1,
  udpNew: 5,
  tcpClosing: 30,
} as const;
const NEARLY_FULL = 0.8;

const LEAST_MS = 1000;
/** Time between walks, in walks. */
const REST = 50;
/** A flow without an entry may be silent for this long after its slot changed. */
const SETTLED_MS = PATIENCE.tcpIdle * 1000;

/**
 * Entries of a service that kept all of them are exceptions when a walk finds them silent for
 * PATIENCE.closed, or with their next packet: after this time all are known for what they are.
 */
const UNMARKED_MS = 2 * PATIENCE.closed * 1000;

/** The sketch remembers 255 epochs of 2^32 ns; what is older than a flow's time must go before. */
const EPOCH_NS = 2n ** 32n;
const EPOCHS = 255;
const RECENT_EPOCHS = 29;
/** Cells that one walk looks at: all of them within a minute or so. */
const CELLS_A_WALK = 2 ** 18;

export interface SweepReport {
  /** Entries of the flow table, both directions. */
  readonly entries: number;
  readonly removed: number;
  /** Flows that are not where their hash says. */
  readonly exceptions: number;
  /** Slots of lookup tables whose packets look for an entry. */
  readonly contestedSlots: number;
  /** Ports that full nat has taken. */
  readonly natPorts: number;
  /** Sources that persistence remembers. */
  readonly sources: number;
  /** Flows of the other unit of a pair. */
  readonly theirs: number;
  /** Ends of flows that the other unit could not be told of. */
  readonly untold: number;
  readonly milliseconds: number;
  readonly nearlyFull: boolean;
}

export class Sweeper {
  readonly #datapath: Datapath;
  readonly #programmer: Programmer;
  readonly #onError: (error: unknown) => void;
  readonly #recent: Uint8Array;
  readonly #pieces: FlowWalk;
  #cell = 0;
  #timer: NodeJS.Timeout | null = null;
  #walk: Promise<void> | null = null;
  #closed = false;
  #last: SweepReport | null = null;
  #untold = 0;
  #theirs: { readonly pass: number; readonly next: number } | null = null;

  constructor(datapath: Datapath, programmer: Programmer, onError: (error: unknown) => void) {
    this.#datapath = datapath;
    this.#programmer = programmer;
    this.#onError = onError;
    const map = datapath.map('recent');
    this.#recent = new Uint8Array(map.mmap().buffer, 0, map.maxEntries * map.valueSize);
    const [flows, keys] = [datapath.map('flows'), datapath.map('walk_keys')];
    this.#pieces = new FlowWalk(flows, keys, WALKER.sweep);
  }

  get last(): SweepReport | null {
    return this.#last;
  }

  /** Ends of flows, ever, that the other unit could not be told of. */
  get untold(): number {
    return this.#untold;
  }

  /** The next walk takes out flows of the other unit that it has not told of in these passes. */
  dropTheirs(pass: number, next: number): void {
    this.#theirs = { pass, next };
  }

  start(): void {
    this.#schedule(LEAST_MS);
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#walk;
  }

  /** One walk. Throws BpfError. */
  async sweep(): Promise<SweepReport> {
    const flows = this.#datapath.map('flows');
    const nearlyFull = (this.#last?.entries ?? 0) > NEARLY_FULL * flows.maxEntries;
    const patience = nearlyFull ? IMPATIENCE : PATIENCE;
    const theirs = this.#theirs;
    this.#theirs = null;
    const before = process.hrtime.bigint();
    const request = layout.encode({
      now_ns: before,
      tcp_open_ns: seconds(patience.tcpOpen),
      tcp_idle_ns: seconds(patience.tcpIdle),
      tcp_closing_ns: seconds(patience.tcpClosing),
      closed_ns: seconds(patience.closed),
      udp_new_ns: seconds(patience.udpNew),
      udp_idle_ns: seconds(patience.udpIdle),
      theirs_udp_ns: seconds(patience.theirsUdp),
      theirs_pass: theirs?.pass ?? 0,
      theirs_next: theirs?.next ?? 0,
      entries: 0n,
      removed: 0n,
      exceptions: 0n,
      full_nat: 0n,
      theirs: 0n,
      untold: 0n,
      keys: 0,
    });
    for (const { keys } of this.#pieces.pieces(null)) {
      layout.set(request, { keys });
      await this.#datapath.sweeper.runSyscall(request);
    }
    const sources = await countEntries(this.#datapath.map('persistence'));
    const took = Number(process.hrtime.bigint() - before) / 1e6;
    const report = layout.decode(request);
    const { entries, removed, exceptions, full_nat: natPorts } = report;
    this.#untold += Number(report.untold);
    this.#clearRecent();
    this.#programmer.settle(SETTLED_MS);
    if (exceptions === 0n) this.#programmer.dropContests(took + UNMARKED_MS);
    this.#last = {
      entries: Number(entries),
      removed: Number(removed),
      exceptions: Number(exceptions),
      contestedSlots: this.#programmer.contested(),
      natPorts: Number(natPorts),
      sources,
      theirs: Number(report.theirs),
      untold: Number(report.untold),
      milliseconds: took,
      nearlyFull,
    };
    return this.#last;
  }

  #schedule(milliseconds: number): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#walk = this.sweep()
        .then(({ milliseconds: took }) => Math.max(LEAST_MS, took * REST))
        .catch((error: unknown) => {
          this.#onError(error);
          return LEAST_MS;
        })
        .then((next) => {
          this.#schedule(next);
        });
    }, milliseconds);
    this.#timer.unref();
  }

  /** Epochs repeat: a cell that is not cleared would look recent again. */
  #clearRecent(): void {
    const now = Number((process.hrtime.bigint() / EPOCH_NS) % BigInt(EPOCHS)) + 1;
    const end = Math.min(this.#cell + CELLS_A_WALK, this.#recent.length);
    for (let cell = this.#cell; cell < end; cell++) {
      const seen = this.#recent[cell]!;
      if (seen !== 0 && (now - seen + EPOCHS) % EPOCHS > RECENT_EPOCHS) this.#recent[cell] = 0;
    }
    this.#cell = end === this.#recent.length ? 0 : end;
  }
}

function seconds(value: number): bigint {
  return BigInt(value) * 1_000_000_000n;
}
