/**
 * The lab's side of a load generator (client-process.ts): starts it in the client's
 * namespace, asks for reports window by window, and judges failures.
 */
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Failure, LoadReport, LoadSettings } from './client-process.js';
import { ended, last, start } from './commands.js';
import type { ServiceTarget } from './lab.js';
import { said } from './servers.js';
import { addressOf, type MemberName, type Topology } from './topology.js';

export type { Failure, LoadReport, LoadSettings };

const program = fileURLToPath(new URL('./client-process.js', import.meta.url));

export const defaultLoad = {
  rate: 100,
  concurrency: 64,
  long: 40,
  heartbeat: 100,
  timeout: 5000,
} as const;

export class Load {
  private readonly waiting: ((report: LoadReport) => void)[] = [];
  private broken: Error | null = null;

  private constructor(
    readonly name: string,
    private readonly child: ChildProcess,
  ) {
    let errors = '';
    child.stderr?.on('data', (text: Buffer) => (errors += text.toString('utf8')));
    if (child.stdout !== null) {
      createInterface({ input: child.stdout }).on('line', (line) => {
        if (line.startsWith('{')) this.waiting.shift()?.(JSON.parse(line) as LoadReport);
      });
    }
    child.once('close', (code, signal) => {
      this.broken = new Error(`the client of ${name} ended (${code ?? signal}): ${errors.trim()}`);
    });
  }

  static async start(topology: Topology, name: string, settings: LoadSettings): Promise<Load> {
    const child = start(topology.namespace('client'), [
      ...[...last, process.execPath, program],
      JSON.stringify(settings),
    ]);
    const load = new Load(name, child);
    await said(child, 'ready');
    return load;
  }

  private next(command: string): Promise<LoadReport> {
    if (this.broken !== null) return Promise.reject(this.broken);
    return new Promise((resolve, reject) => {
      const onClose = (): void => {
        reject(this.broken ?? new Error(`the client of ${this.name} is gone`));
      };
      this.child.once('close', onClose);
      this.waiting.push((report) => {
        this.child.removeListener('close', onClose);
        resolve(report);
      });
      this.child.stdin?.write(`${command}\n`);
    });
  }

  /** Closes the current window and returns what was seen in it. */
  mark(name: string): Promise<LoadReport> {
    return this.next(`mark ${name}`);
  }

  /** Lets what is under way finish, and ends the client. */
  async stop(): Promise<LoadReport> {
    const report = await this.next('stop');
    await ended(this.child);
    return report;
  }
}

export interface Death {
  readonly member: MemberName;
  /** Epoch milliseconds: when it died, and when the last packet from a client came there. */
  readonly from: number;
  readonly to: number;
  /** The flows that a packet came there of, from shortly before its death on (arrivedFlows). */
  readonly flows: ReadonlySet<string>;
}

/** How a dead member shows itself to a client, as opposed to a packet that Weir lost. */
const deadReasons = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'closed', 'timeout', 'moved']);
/** How late a failure may show after its cause: the longest wait of a client that gets no CPU. */
const latest = defaultLoad.timeout + 10_000;

/**
 * A flow as it is known at the member: nat has rewritten its destination, dsr has not, and a
 * tunnel no more once the member has unpacked it. One of full-nat is named as the client sees
 * it (arrivedFlows in capture.ts).
 */
export function flowAt(member: MemberName, target: ServiceTarget, port: number): string {
  const family = target.address.includes(':') ? 6 : 4;
  const to =
    target.forwarding === 'nat'
      ? `${addressOf(member, family)}.${target.memberPort}`
      : `${target.address}.${target.port}`;
  return `${addressOf('client', family, 'outside')}.${port} > ${to}`;
}

/**
 * Whether a member's death explains a failure: of a connection that the dead member had
 * answered, or of one without any answer yet whose packets were seen to arrive there.
 */
export function explainedBy(death: Death, failure: Failure, target: ServiceTarget): boolean {
  if (!deadReasons.has(failure.reason)) return false;
  if (failure.time < death.from || failure.time > death.to + latest) return false;
  if (failure.began > death.to) return false;
  if (failure.member !== null) return failure.member === death.member;
  return failure.port !== null && death.flows.has(flowAt(death.member, target, failure.port));
}

/** One line on a window for people: `1234 requests, 0 failed, longest gap 12 ms, member-1 50 % …`. */
export function describeReport(report: LoadReport): string {
  const total = Object.values(report.byMember).reduce((sum, count) => sum + count, 0);
  const shares = Object.entries(report.byMember)
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([member, count]) => `${member} ${((100 * count) / total).toFixed(0)} %`);
  return [
    `${report.requests} requests`,
    `${report.connections} new connections`,
    `${report.failed} failed`,
    report.repeated === 0 ? '' : `${report.repeated} datagrams sent again`,
    `longest gap ${report.longestGap.toFixed(0)} ms`,
    shares.join(' '),
  ]
    .filter((part) => part !== '')
    .join(', ');
}
