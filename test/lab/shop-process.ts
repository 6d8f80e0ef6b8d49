/**
 * Customers of an HTTP service behind the proxy, every second of them over TLS, in the client's
 * namespace: each keeps a connection and its cookies as a browser does, and asks again and again, in
 * turn for what a member answers and for what the unit answers itself.
 *
 * It speaks lines as client-process.ts does: `mark NAME` and `stop` in, `ready` and reports out.
 *
 * Invariants:
 * - A connection that is lost is one thing, a request that fails another: what was asked on a lost
 *   connection is asked once more on a new one, as browsers do, and fails only when that fails too.
 * - It ends when its input closes.
 */
import { once } from 'node:events';
import { Agent, request, type IncomingMessage } from 'node:http';
import { Agent as SecureAgent, request as secureRequest } from 'node:https';
import { createInterface } from 'node:readline';

export interface ShopSettings {
  readonly address: string;
  readonly port: number;
  /** Where every second customer goes, over TLS by an authority that it trusts. */
  readonly secure: { readonly port: number; readonly host: string; readonly authority: string };
  readonly customers: number;
  /** Between an answer and the next request, in milliseconds. */
  readonly pause: number;
  /** After which silence is a failure, in milliseconds. */
  readonly timeout: number;
}

export interface ShopReport {
  readonly window: string;
  readonly requests: number;
  /** What was wrong with requests that failed. */
  readonly failures: readonly string[];
  /** Of both, those over TLS. */
  readonly secure: { readonly requests: number; readonly failures: number };
  /** Own ports of connections that ended, whether something was asked on them or not. */
  readonly lost: readonly number[];
  /** Who had a member and came to another one: from where. */
  readonly moved: readonly string[];
  /** Customers that are with each member. */
  readonly byMember: Readonly<Record<string, number>>;
}

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly cookie: string | undefined;
}

class ReportedWindow {
  requests = 0;
  readonly failures: string[] = [];
  readonly secure = { requests: 0, failures: 0 };
  readonly lost: number[] = [];
  readonly moved: string[] = [];
}

class Customer {
  member: string | null = null;
  private readonly agent: Agent;
  private cookie: string | undefined;
  private turn = 0;
  private over = false;

  constructor(
    private readonly settings: ShopSettings,
    private readonly overTls: boolean,
    private readonly window: () => ReportedWindow,
  ) {
    const kept = { keepAlive: true, maxSockets: 1 };
    const { authority: ca, host: servername } = settings.secure;
    this.agent = overTls ? new SecureAgent({ ...kept, ca, servername }) : new Agent(kept);
  }

  async run(going: () => boolean): Promise<void> {
    while (going()) {
      await this.visit();
      await new Promise((resolve) => setTimeout(resolve, this.settings.pause));
    }
    this.over = true;
    this.agent.destroy();
  }

  private async visit(): Promise<void> {
    this.turn += 1;
    const path = this.turn % 4 === 0 ? '/about' : '/';
    const window = this.window();
    try {
      const answer = await this.askTwice(path);
      window.requests += 1;
      if (this.overTls) window.secure.requests += 1;
      if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text.trim()}`);
      if (answer.cookie !== undefined) this.cookie = answer.cookie.split(';')[0];
      if (path === '/') this.answeredBy(answer.text.trim());
      else if (answer.text !== 'Open all day.\n') throw new Error(`garbled: ${answer.text}`);
    } catch (error) {
      if (this.overTls) window.secure.failures += 1;
      const place = `${this.overTls ? 'over TLS, ' : ''}${path}`;
      window.failures.push(`${place}: ${(error as Error).message}`);
    }
  }

  private answeredBy(member: string): void {
    if (this.member !== null && this.member !== member) this.window().moved.push(this.member);
    this.member = member;
  }

  private async askTwice(path: string): Promise<Answer> {
    try {
      return await this.ask(path);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== 'ECONNRESET' && code !== 'EPIPE') throw error;
      try {
        return await this.ask(path);
      } catch (again) {
        throw new Error(`${message}, then ${(again as Error).message}`, { cause: again });
      }
    }
  }

  private async ask(path: string): Promise<Answer> {
    const { address, port, secure, timeout } = this.settings;
    const ask = this.overTls ? secureRequest : request;
    const sent = ask({
      ...{ host: address, port: this.overTls ? secure.port : port, path, agent: this.agent },
      headers: this.cookie === undefined ? {} : { cookie: this.cookie },
      signal: AbortSignal.timeout(timeout),
    });
    sent.once('socket', (socket) => {
      if (!socket.connecting) return;
      socket.once('connect', () => {
        const own = socket.localPort ?? 0;
        socket.once('close', () => {
          if (!this.over) this.window().lost.push(own);
        });
      });
    });
    sent.end();
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    response.setEncoding('utf8');
    let text = '';
    for await (const piece of response) text += String(piece);
    return {
      status: response.statusCode ?? 0,
      text,
      cookie: response.headers['set-cookie']?.[0],
    };
  }
}

async function main(): Promise<void> {
  const settings = JSON.parse(process.argv[2] ?? '') as ShopSettings;
  let window = new ReportedWindow();
  let going = true;
  const customers = Array.from(
    { length: settings.customers },
    (_, index) => new Customer(settings, index % 2 === 1, () => window),
  );
  const report = (name: string): void => {
    const byMember: Record<string, number> = {};
    for (const { member } of customers) {
      if (member !== null) byMember[member] = (byMember[member] ?? 0) + 1;
    }
    const seen: ShopReport = { window: name, byMember, ...window };
    window = new ReportedWindow();
    console.log(JSON.stringify(seen));
  };
  const done = Promise.all(customers.map((customer) => customer.run(() => going)));
  const lines = createInterface({ input: process.stdin });
  lines.once('close', () => process.exit(0));
  lines.on('line', (line) => {
    const [command, ...rest] = line.split(' ');
    if (command === 'mark') report(rest.join(' '));
    else if (command === 'stop') {
      going = false;
      void done.then(() => {
        report('stop');
        process.exit(0);
      });
    }
  });
  console.log('ready');
  await done;
}

if (process.argv[1]?.endsWith('shop-process.js') === true) await main();
