/**
 * A load generator with real sockets, in the client's namespace. It keeps two kinds of
 * connection to one service: short ones, a new connection for every request, and long
 * ones that ask again and again and must be answered by the same member to their end.
 *
 * It speaks lines over its standard streams. In: `mark NAME` closes the current window
 * and prints its report; `stop` lets what is under way finish, prints the last report
 * and ends. Out: `ready`, then one JSON report a window.
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
  readonly failures: readonly Failure[];
  /** First answers of a connection by member: where new connections went. */
  readonly byMember: Readonly<Record<string, number>>;
  /** Longest time without any answer, and slowest answer, in milliseconds. */
  readonly longestGap: number;
  readonly slowest: number;
}

/** No window lists more failures than this; `failed` still counts them all. */
const listedFailures = 2000;

class Window {
  readonly begun = performance.now();
  requests = 0;
  connections = 0;
  failed = 0;
  readonly failures: Failure[] = [];
  readonly byMember: Record<string, number> = {};
  longestGap = 0;
  slowest = 0;
  private last = this.begun;

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

class Load {
  private window = new Window();
  private stopping = false;
  private shortOpen = 0;
  private longOpen = 0;
  private serial = 0;
  private readonly idle = new Set<() => void>();

  constructor(private readonly settings: LoadSettings) {}

  mark(name: string): void {
    const report = this.window.report(name, this.longOpen);
    this.window = new Window();
    console.log(JSON.stringify(report));
  }

  begin(): void {
    for (let n = 0; n < this.settings.long; n += 1) {
      // Spread over one heartbeat, so that the beats do not come in step.
      setTimeout(() => void this.keepLong(), (n / this.settings.long) * this.settings.heartbeat);
    }
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

  private fail(kind: Failure['kind'], began: number, member: string | null, error: unknown): void {
    this.window.failed += 1;
    if (this.window.failures.length >= listedFailures) return;
    const { code, message } = error as NodeJS.ErrnoException;
    this.window.failures.push({ time: Date.now(), began, kind, reason: code ?? message, member });
  }

  private first(member: string): void {
    this.window.byMember[member] = (this.window.byMember[member] ?? 0) + 1;
  }

  private async short(): Promise<void> {
    const began = Date.now();
    let member: string | null = null;
    this.shortOpen += 1;
    this.window.connections += 1;
    try {
      const exchange = await openers[this.settings.protocol](this.settings);
      try {
        member = await this.ask(exchange);
        this.first(member);
        await exchange.close();
      } finally {
        exchange.destroy();
      }
    } catch (error) {
      this.fail('short', began, member, error);
    } finally {
      this.shortOpen -= 1;
      this.finished();
    }
  }

  /** One long connection after another: a failed one is counted and replaced. */
  private async keepLong(): Promise<void> {
    while (!this.stopping) {
      const began = Date.now();
      let member: string | null = null;
      this.longOpen += 1;
      this.window.connections += 1;
      try {
        const exchange = await openers[this.settings.protocol](this.settings);
        try {
          while (!this.stopping) {
            const answered = await this.ask(exchange);
            if (member === null) this.first(answered);
            else if (answered !== member) throw new Error('moved');
            member = answered;
            await pause(this.settings.heartbeat);
          }
          await exchange.close();
        } finally {
          exchange.destroy();
        }
      } catch (error) {
        this.fail('long', began, member, error);
        await pause(this.settings.heartbeat);
      } finally {
        this.longOpen -= 1;
        this.finished();
      }
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
    this.mark('stop');
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
      load.mark(line.slice('mark '.length));
    }
  });
  input.once('close', () => process.exit(0));
  load.begin();
  console.log('ready');
}
