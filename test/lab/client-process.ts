/**
 * A load generator with real sockets, in the client's namespace. It keeps two kinds of
 * connection to one service: short ones, a new connection for every request, and long
 * ones that ask again and again and must be answered by the same member to their end.
 *
 * It speaks lines over its standard streams. In: `mark NAME` closes the current window
 * and prints its report, once every connection begun in it was answered or has failed;
 * `stop` lets what is under way finish, prints the last report and ends. Out: `ready`
 * once every long connection was begun, then one JSON report a window.
 *
 * Invariant: it is bounded in rate and connections, and ends when its input closes.
 */
import { createInterface } from 'node:readline';
import { openHttp, openTcp, openUdp, type Exchange, type Opener } from './client-sockets.js';

export interface LoadSettings {
  readonly protocol: 'http' | 'tcp' | 'udp';
  readonly address: string;
  readonly port: number;
  /** New short connections a second, and how many may be under way at once. */
  readonly rate: number;
  readonly concurrency: number;
  /** Long connections, and the pause between two requests on each, in milliseconds. */
  readonly long: number;
  readonly heartbeat: number;
  /** After which silence is a failure, in milliseconds. */
  readonly timeout: number;
}

export interface Failure {
  /** Epoch milliseconds of the failure and of its connection's beginning. */
  readonly time: number;
  readonly began: number;
  readonly kind: 'short' | 'long';
  /** A code such as ECONNREFUSED, `timeout`, `closed`, `moved`, or `garbled`. */
  readonly reason: string;
  /** Who had answered on this connection before, if anyone. */
  readonly member: string | null;
  /** The connection's source port; null when it did not even get one. */
  readonly port: number | null;
}

export interface LoadReport {
  readonly window: string;
  readonly seconds: number;
  /** Answered requests. */
  readonly requests: number;
  /** Connections begun in this window, and long ones open at its end. */
  readonly connections: number;
  readonly open: number;
  readonly failed: number;
  /** Datagrams that were sent again, because no answer came. */
  readonly repeated: number;
  readonly failures: readonly Failure[];
  /** Connections begun in this window, by the member that answered first. */
  readonly byMember: Readonly<Record<string, number>>;
  /** Longest time without any answer, and slowest answer, in milliseconds. */
  readonly longestGap: number;
  readonly slowest: number;
}

/** No window lists more failures than this; `failed` still counts them all. */
const listedFailures = 10_000;
/** How many long connections may be without their first answer while they are being opened. */
const openingAtOnce = 32;
/**
 * UDP has no end that anybody could see: to Weir a port that comes again within two
 * minutes is the same flow, and it stays where it is. Milliseconds, with some to spare.
 */
const udpMemory = 130_000;

class Window {
  readonly begun = performance.now();
  requests = 0;
  connections = 0;
  failed = 0;
  repeated = 0;
  readonly failures: Failure[] = [];
  readonly byMember: Record<string, number> = {};
  longestGap = 0;
  slowest = 0;
  private last = this.begun;
  /** Connections begun here that were neither answered nor have failed. */
  private open = 0;
  private readonly waiting: (() => void)[] = [];

  opened(): void {
    this.connections += 1;
    this.open += 1;
  }

  /** Exactly once for each connection that was opened here. */
  settled(): void {
    this.open -= 1;
    if (this.open > 0) return;
    for (const resolve of this.waiting.splice(0)) resolve();
  }

  async allSettled(): Promise<void> {
    if (this.open > 0) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  answered(took: number): void {
    const now = performance.now();
    this.longestGap = Math.max(this.longestGap, now - this.last);
    this.last = now;
    this.requests += 1;
    this.slowest = Math.max(this.slowest, took);
  }

  report(name: string, open: number): LoadReport {
    const now = performance.now();
    return {
      window: name,
      seconds: (now - this.begun) / 1000,
      requests: this.requests,
      connections: this.connections,
      open,
      failed: this.failed,
      repeated: this.repeated,
      failures: this.failures,
      byMember: this.byMember,
      longestGap: Math.max(this.longestGap, now - this.last),
      slowest: this.slowest,
    };
  }
}

const openers: Readonly<Record<LoadSettings['protocol'], Opener>> = {
  http: openHttp,
  tcp: openTcp,
  udp: openUdp,
};

/** A connection while it is under way. */
interface Connection {
  readonly kind: Failure['kind'];
  /** Where it was begun. */
  readonly window: Window;
  /** Epoch milliseconds. */
  readonly began: number;
  member: string | null;
  port: number | null;
  /** Whether Weir may still know it from an earlier one. */
  resumed: boolean;
}

class Load {
  private window = new Window();
  private stopping = false;
  private shortOpen = 0;
  private longOpen = 0;
  private serial = 0;
  private readonly idle = new Set<() => void>();
  /** When a UDP port was last used, by port; `performance.now` milliseconds. */
  private readonly udpUsed = new Map<number, number>();

  constructor(private readonly settings: LoadSettings) {}

  async mark(name: string): Promise<void> {
    const window = this.window;
    const report = window.report(name, this.longOpen);
    this.window = new Window();
    await window.allSettled();
    // `byMember` is the window's own, so it is complete by now; all the rest is as at the mark.
    console.log(JSON.stringify(report));
  }

  /** Resolves when the long connections are open, or have failed; the short ones begin then. */
  async begin(): Promise<void> {
    let left = this.settings.long;
    const open = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        await new Promise<void>((resolve) => void this.keepLong(resolve));
      }
    };
    await Promise.all(Array.from({ length: openingAtOnce }, open));
    if (this.settings.rate > 0) this.keepRate();
  }

  /** Begins short connections at the set rate; what a late timer missed is made up for. */
  private keepRate(): void {
    const begun = performance.now();
    let made = 0;
    const timer = setInterval(() => {
      if (this.stopping) {
        clearInterval(timer);
        return;
      }
      const due = Math.floor(((performance.now() - begun) / 1000) * this.settings.rate);
      while (made < due && this.shortOpen < this.settings.concurrency) {
        made += 1;
        void this.short();
      }
      // What the limit on concurrency held back is not owed later.
      made = Math.max(made, due - this.settings.concurrency);
    }, 5);
  }

  private async ask(exchange: Exchange): Promise<string> {
    this.serial += 1;
    const begun = performance.now();
    const member = await exchange.ask(String(this.serial));
    this.window.answered(performance.now() - begun);
    return member;
  }

  private fail(connection: Connection, error: unknown): void {
    this.window.failed += 1;
    if (this.window.failures.length >= listedFailures) return;
    const { began, kind, member, port } = connection;
    const { code, message } = error as NodeJS.ErrnoException;
    this.window.failures.push({
      ...{ time: Date.now(), began, kind, reason: code ?? message, member, port },
    });
  }

  /** Counts the first answer on a connection; a UDP flow that goes on is no new one. */
  private first(connection: Connection, member: string): void {
    connection.member = member;
    const { byMember } = connection.window;
    if (!connection.resumed) byMember[member] = (byMember[member] ?? 0) + 1;
    connection.window.settled();
  }

  /** Opens a connection, lets `use` have it, and counts a failure of either. */
  private async connection(
    kind: Failure['kind'],
    use: (exchange: Exchange, connection: Connection) => Promise<void>,
  ): Promise<boolean> {
    const connection: Connection = {
      ...{ kind, window: this.window, began: Date.now(), member: null, port: null },
      resumed: false,
    };
    connection.window.opened();
    try {
      const target = { ...this.settings, onRepeat: () => void (this.window.repeated += 1) };
      const exchange = await openers[this.settings.protocol](target, (port) => {
        connection.port = port;
        const used = this.udpUsed.get(port) ?? -Infinity;
        connection.resumed = performance.now() - used < udpMemory;
      });
      try {
        await use(exchange, connection);
      } finally {
        exchange.destroy();
      }
      return true;
    } catch (error) {
      this.fail(connection, error);
      return false;
    } finally {
      if (connection.member === null) connection.window.settled();
      if (this.settings.protocol === 'udp' && connection.port !== null) {
        this.udpUsed.set(connection.port, performance.now());
      }
    }
  }

  private async short(): Promise<void> {
    this.shortOpen += 1;
    await this.connection('short', async (exchange, connection) => {
      this.first(connection, await this.ask(exchange));
      await exchange.close();
    });
    this.shortOpen -= 1;
    this.finished();
  }

  /**
   * One long connection after another: a failed one is counted and replaced. `onOpen` is
   * called once, when the first one was answered or has failed.
   */
  private async keepLong(onOpen: () => void): Promise<void> {
    const { heartbeat } = this.settings;
    while (!this.stopping) {
      this.longOpen += 1;
      const good = await this.connection('long', async (exchange, connection) => {
        this.first(connection, await this.ask(exchange));
        onOpen();
        // Connections that opened together do not beat in step.
        await pause(heartbeat * Math.random());
        while (!this.stopping) {
          if ((await this.ask(exchange)) !== connection.member) throw new Error('moved');
          await pause(heartbeat);
        }
        await exchange.close();
      });
      this.longOpen -= 1;
      this.finished();
      onOpen();
      // What failed together does not come back together.
      if (!good && !this.stopping) await pause(heartbeat * Math.random());
    }
  }

  private finished(): void {
    if (this.longOpen + this.shortOpen > 0) return;
    for (const resolve of this.idle) resolve();
  }

  async stop(): Promise<void> {
    this.stopping = true;
    if (this.longOpen + this.shortOpen > 0) {
      await new Promise<void>((resolve) => this.idle.add(resolve));
    }
    await this.mark('stop');
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

if (process.argv[1]?.endsWith('client-process.js') === true) {
  const load = new Load(JSON.parse(process.argv[2] ?? '') as LoadSettings);
  const input = createInterface({ input: process.stdin });
  input.on('line', (line) => {
    if (line === 'stop') {
      void load.stop().then(() => process.exit(0));
    } else if (line.startsWith('mark ')) {
      void load.mark(line.slice('mark '.length));
    }
  });
  input.once('close', () => process.exit(0));
  await load.begin();
  console.log('ready');
}
