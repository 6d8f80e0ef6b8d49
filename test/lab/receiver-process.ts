/**
 * Clients that ask once and then only receive, in the client's namespace: after their first line their
 * kernel sends nothing but acknowledgements, and those only when something came.
 *
 * It speaks lines over its standard streams. In: `mark`, answered by a JSON report of what came since the
 * last one. Out: `ready` once every connection received its first line.
 *
 * Invariant: a line counts only if it is the next one of its connection, from the member of the first.
 */
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

export interface ReceiverSettings {
  readonly targets: readonly { readonly address: string; readonly port: number }[];
  /** Connections to each, and milliseconds between two lines on each. */
  readonly connections: number;
  readonly period: number;
}

export interface ReceiverReport {
  readonly open: number;
  readonly lines: number;
  /** Why connections are no more, or are wrong: at most a hundred. */
  readonly failures: readonly string[];
  /** Connections that received nothing since the last report. */
  readonly silent: number;
  /** Longest time between two lines of one connection, in milliseconds. */
  readonly longestGap: number;
}

const MOST_FAILURES = 100;

class Receivers {
  #open = 0;
  #lines = 0;
  #longestGap = 0;
  #failures: string[] = [];
  readonly #lastAt = new Map<object, number>();
  readonly #heard = new Set<object>();

  /** Resolves with the first line, or when there will be none. */
  begin(target: ReceiverSettings['targets'][number], period: number): Promise<void> {
    return new Promise((resolve) => {
      const socket = connect({ host: target.address, port: target.port, noDelay: true });
      let [rest, next, member] = ['', -1, ''];
      this.#open += 1;
      socket.on('connect', () => socket.write(`every ${period}\n`));
      socket.setEncoding('utf8').on('data', (text: string) => {
        const lines = (rest + text).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          const [from = '', said = ''] = line.split(' ');
          // The first one is the echo of the question.
          if (next === -1) member = from;
          else if (from !== member || said !== String(next)) {
            this.#fail(`${target.address}: "${line}" where ${member} ${next} is due`);
          }
          next += 1;
          this.#came(socket);
        }
        resolve();
      });
      socket.on('error', (error) => this.#fail(`${target.address}: ${error.message}`));
      socket.on('close', () => {
        this.#open -= 1;
        this.#lastAt.delete(socket);
        this.#fail(`${target.address}: closed`);
        resolve();
      });
    });
  }

  report(): ReceiverReport {
    const now = performance.now();
    // Whoever is silent still has a gap, too.
    for (const at of this.#lastAt.values()) {
      this.#longestGap = Math.max(this.#longestGap, now - at);
    }
    const report = {
      ...{ open: this.#open, lines: this.#lines, failures: this.#failures },
      ...{ silent: this.#lastAt.size - this.#heard.size, longestGap: this.#longestGap },
    };
    [this.#lines, this.#longestGap, this.#failures] = [0, 0, []];
    this.#heard.clear();
    return report;
  }

  #came(socket: object): void {
    const now = performance.now();
    this.#lines += 1;
    this.#longestGap = Math.max(this.#longestGap, now - (this.#lastAt.get(socket) ?? now));
    this.#lastAt.set(socket, now);
    this.#heard.add(socket);
  }

  #fail(why: string): void {
    if (this.#failures.length < MOST_FAILURES) this.#failures.push(why);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const settings = JSON.parse(process.argv[2] ?? '') as ReceiverSettings;
  const receivers = new Receivers();
  const input = createInterface({ input: process.stdin });
  input.on('line', () => console.log(JSON.stringify(receivers.report())));
  input.once('close', () => process.exit(0));
  for (let count = 0; count < settings.connections; count += 1) {
    await Promise.all(settings.targets.map((target) => receivers.begin(target, settings.period)));
  }
  console.log('ready');
}
