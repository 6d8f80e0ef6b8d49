/**
 * The lab's side of the HTTP service's customers (shop-process.ts): starts them, asks for what they saw,
 * and judges it.
 *
 * Invariant: no request may fail, whatever dies: all of them are idempotent. A connection may be lost
 * only where an act says so, and a customer may move only away from a member that died.
 */
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parse, stringify } from 'yaml';
import type { Document } from '../../appliance/config/schema.js';
import type { Unit } from './unit.js';
import type { Death } from './clients.js';
import { ended, last, run, start, within } from './commands.js';
import { said } from './servers.js';
import type { ShopReport, ShopSettings } from './shop-process.js';
import type { Topology } from './topology.js';

export type { ShopReport };

const program = fileURLToPath(new URL('./shop-process.js', import.meta.url));
const place = { address: '10.77.0.90', port: 80 } as const;
/** The same service over TLS. */
const SECURE = 'shop-tls';
const SECURE_PORT = 443;
const HOST = 'shop.example';
const settings = { ...place, customers: 24, pause: 100, timeout: 5000 } as const;

/**
 * Makes an authority and a certificate of the shop by it, as an administrator would, and returns what
 * the document says then: the shop twice, the second one over TLS.
 */
export async function withSecureShop(unit: Unit, text: string): Promise<string> {
  const document = parse(text) as Document;
  const shop = document.services?.['shop'];
  if (shop === undefined) throw new Error('the document has no service named shop');
  await unit.must('cert', 'ca', 'lab');
  await unit.must('cert', 'self-signed', 'shop', '--names', HOST, '--ca', 'lab');
  const listen = { ...shop.listen, port: SECURE_PORT, protocol: 'https' } as const;
  const secure = { ...shop, listen, certificates: ['shop'] };
  return stringify({ ...document, services: { ...document.services, [SECURE]: secure } });
}

export class Shop {
  private readonly waiting: ((report: ShopReport) => void)[] = [];
  private errors = '';

  private constructor(
    private readonly topology: Topology,
    private readonly child: ChildProcess,
  ) {
    child.stderr?.on('data', (text: Buffer) => (this.errors += text.toString('utf8')));
    if (child.stdout !== null) {
      createInterface({ input: child.stdout }).on('line', (line) => {
        if (line.startsWith('{')) this.waiting.shift()?.(JSON.parse(line) as ShopReport);
      });
    }
  }

  static async open(topology: Topology, unit: Unit): Promise<Shop> {
    const authority = await unit.must('cert', 'export', 'lab');
    const secure = { port: SECURE_PORT, host: HOST, authority };
    const given: ShopSettings = { ...settings, secure };
    const child = start(topology.namespace('client'), [
      ...[...last, process.execPath, program],
      JSON.stringify(given),
    ]);
    const shop = new Shop(topology, child);
    await said(child, 'ready');
    return shop;
  }

  /** What the customers saw since the last look. */
  mark(name: string): Promise<ShopReport> {
    return this.next(`mark ${name}`);
  }

  /** Lets what is under way finish, and ends the customers. */
  async stop(): Promise<ShopReport> {
    const report = await this.next('stop');
    await ended(this.child);
    return report;
  }

  /** Client ports of the connections to the service that each process of the unit has. */
  async connectionsByProcess(): Promise<Map<number, number[]>> {
    const line = within(this.topology.namespace('unit-a'), [
      ...['ss', '-Htnp', 'state', 'established', 'src', place.address],
    ]);
    const found = new Map<number, number[]>();
    for (const text of (await run(line[0] ?? '', line.slice(1))).split('\n')) {
      const match = /:(\d+)\s+users:.*pid=(\d+),/.exec(text);
      if (match === null) continue;
      const pid = Number(match[2]);
      found.set(pid, [...(found.get(pid) ?? []), Number(match[1])]);
    }
    return found;
  }

  private next(command: string): Promise<ShopReport> {
    return new Promise((resolve, reject) => {
      const onClose = (code: number | null, signal: string | null): void => {
        reject(new Error(`the customers ended (${code ?? signal}): ${this.errors.trim()}`));
      };
      if (this.child.exitCode !== null) {
        onClose(this.child.exitCode, null);
        return;
      }
      this.child.once('close', onClose);
      this.waiting.push((report) => {
        this.child.removeListener('close', onClose);
        resolve(report);
      });
      this.child.stdin?.write(`${command}\n`);
    });
  }
}

/** Two windows of the customers as one. */
export function joinedReports(first: ShopReport, second: ShopReport): ShopReport {
  return {
    window: second.window,
    requests: first.requests + second.requests,
    failures: [...first.failures, ...second.failures],
    secure: {
      requests: first.secure.requests + second.secure.requests,
      failures: first.secure.failures + second.secure.failures,
    },
    lost: [...first.lost, ...second.lost],
    moved: [...first.moved, ...second.moved],
    byMember: second.byMember,
  };
}

/** Troubles of the customers. Pure. */
export function judgeShop(
  report: ShopReport,
  deaths: readonly Death[],
  mayLose: readonly number[],
): string[] {
  const { failures, lost, moved, requests, secure } = report;
  const strange = lost.filter((port) => !mayLose.includes(port));
  const strayed = moved.filter((from) => !deaths.some(({ member }) => member === from));
  return [
    ...failures.slice(0, 5).map((failure) => `shop: a request failed: ${failure}`),
    ...(failures.length > 5 ? [`shop: ${failures.length - 5} more failed requests`] : []),
    ...(strange.length > 0 ? [`shop: lost connections from the ports ${strange.join(', ')}`] : []),
    ...(strayed.length > 0
      ? [`shop: customers moved away from ${strayed.join(', ')}, which had not died`]
      : []),
    ...(requests === 0 ? ['shop: no request was answered'] : []),
    ...(requests > 0 && secure.requests === 0 ? ['shop: no request was answered over TLS'] : []),
  ];
}

/** A few words for people. */
export function describeShop(report: ShopReport): string {
  const { requests, failures, lost, moved, secure } = report;
  const more = [
    ...(lost.length > 0 ? [`${lost.length} connections lost`] : []),
    ...(moved.length > 0 ? [`${moved.length} customers moved`] : []),
  ];
  const all = `shop ${requests} requests (${secure.requests} over TLS), ${failures.length} failed`;
  return [all, ...more].join(', ');
}
