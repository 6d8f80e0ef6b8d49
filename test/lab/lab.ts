/**
 * The whole lab: network, members, unit, and the configuration that it runs. Used by
 * `npm start` (main.ts) and by the lab tests.
 *
 * Invariant: `close` may be called at any time, also while `open` is under way, and
 * leaves nothing behind.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { ConfigView, MemberRow } from '../../appliance/api/contract.js';
import { parseText } from '../../appliance/config/document.js';
import { isProxied } from '../../appliance/config/service.js';
import type { Document, Intent } from '../../appliance/config/schema.js';
import { projectRoot } from '../../appliance/paths.js';
import { Load, defaultLoad, type LoadSettings } from './clients.js';
import { children, ended } from './commands.js';
import { Members } from './servers.js';
import { withSecureShop } from './shop.js';
import { addressOf, labPaths, Topology, type MemberName } from './topology.js';
import { Unit } from './unit.js';

/** The configuration that a user would start from. */
export const exampleFile = join(projectRoot, 'appliance', 'config', 'example.yaml');

/** Which of the lab's servers a service leads to, by the port that its members listen on. */
const protocolByPort: Readonly<Record<number, LoadSettings['protocol']>> = {
  8080: 'http',
  9000: 'tcp',
  5353: 'udp',
};

export interface ServiceTarget {
  readonly name: string;
  readonly pool: string;
  readonly forwarding: string;
  readonly protocol: LoadSettings['protocol'];
  readonly address: string;
  readonly port: number;
  /** Where its members listen. */
  readonly memberPort: number;
}

/** The services of a configuration as the lab's client can use them. */
export function targetsOf(intent: Intent): ServiceTarget[] {
  // What the proxy serves has clients of its own (shop.ts): they must not stay with a connection.
  const forwarded = Object.entries(intent.services).filter(([, service]) => !isProxied(service));
  return forwarded.map(([name, service]) => {
    const { address, port } = service.listen;
    const poolName = service.pool;
    const members = poolName === undefined ? undefined : intent.pools[poolName]?.members;
    const memberPort = members?.[0]?.port ?? port;
    const protocol = protocolByPort[memberPort];
    if (poolName === undefined || protocol === undefined) {
      throw new Error(`the lab has no server for service ${name} (member port ${memberPort})`);
    }
    const forwarding = service.forwarding ?? 'nat';
    return { name, pool: poolName, forwarding, protocol, address, port, memberPort };
  });
}

/** Whether members receive packets as clients sent them, and answer clients themselves. */
export function isDirect(forwarding: string): boolean {
  return forwarding === 'dsr' || forwarding === 'tunnel';
}

/** Both inside addresses of a member. */
export function addressesOf(member: MemberName): string[] {
  return [addressOf(member, 4), addressOf(member, 6)];
}

export class Lab {
  private constructor(
    readonly topology: Topology,
    readonly members: Members,
    readonly unit: Unit,
    readonly targets: readonly ServiceTarget[],
    /** From where full-nat speaks to members. */
    readonly natAddresses: readonly string[],
    /** Whether the configuration has an HTTP service behind the proxy, named shop. */
    readonly hasShop: boolean,
  ) {}

  /**
   * Opens a lab with a configuration (YAML) applied, and every member up. As it stands, but for an HTTP
   * service named shop, which is there over TLS as well.
   */
  static async open(text: string, say: (line: string) => void = () => undefined): Promise<Lab> {
    const parsed = parseText(text);
    if (!parsed.ok) {
      throw new Error(`the lab's configuration: ${parsed.errors.map((e) => e.message).join('; ')}`);
    }
    const targets = targetsOf(parsed.intent);
    const hasShop = parsed.intent.services['shop']?.listen.protocol === 'http';
    const own = parsed.intent.unit['nat-addresses'] ?? [];
    const direct = new Set(
      targets.filter((target) => isDirect(target.forwarding)).map((target) => target.address),
    );
    const topology = await Topology.create({
      directAddresses: [...direct],
      tunnels: targets.some((target) => target.forwarding === 'tunnel'),
    });
    try {
      say('network: a client, a unit and three members, each a network namespace');
      const members = await Members.start(topology, [...direct]);
      say('members: HTTP on 8080, TCP on 9000, UDP on 5353 each');
      mkdirSync(labPaths(process.pid).files, { recursive: true });
      const unit = new Unit(topology);
      const took = await unit.start();
      say(`daemon: answers ${took.toFixed(0)} ms after its start`);
      const lab = new Lab(...([topology, members, unit, targets, own] as const), hasShop);
      const first = hasShop ? await withSecureShop(unit, text) : text;
      await unit.must('apply', lab.file('start.yaml', first), '--comment', 'the example');
      const addresses = (await unit.members()).map((row) => row.address);
      if (addresses.length > 0) await unit.untilMembers(addresses, ['UP']);
      return lab;
    } catch (error) {
      topology.destroy();
      throw error;
    }
  }

  /** Writes a file of the lab's and returns its path. */
  file(name: string, text: string): string {
    const path = join(labPaths(process.pid).files, name);
    writeFileSync(path, text);
    return path;
  }

  /** Applies the current document with a change made to it; `args` go to `weir apply`. */
  async change(edit: (document: Document) => void, ...args: string[]): Promise<void> {
    const { document } = await this.unit.get<ConfigView>('/v1/config');
    if (document === null) throw new Error('expected a configuration, but nothing was applied yet');
    edit(document);
    await this.unit.must('apply', this.file('changed.yaml', stringify(document)), ...args);
  }

  /** The rows of a lab member in every pool. */
  async rowsOf(member: MemberName): Promise<MemberRow[]> {
    const addresses = addressesOf(member);
    return (await this.unit.members()).filter((row) => addresses.includes(row.address));
  }

  async setMember(member: MemberName, ...setting: string[]): Promise<void> {
    for (const row of await this.rowsOf(member)) {
      await this.unit.must('set', 'member', row.pool, row.member, ...setting);
    }
  }

  load(target: ServiceTarget, settings: Partial<LoadSettings> = {}): Promise<Load> {
    return Load.start(this.topology, target.name, {
      ...defaultLoad,
      // A lost datagram is lost; nobody repeats it, so waiting long for it tells nothing.
      timeout: target.protocol === 'udp' ? 1000 : defaultLoad.timeout,
      ...settings,
      protocol: target.protocol,
      address: target.address,
      port: target.port,
    });
  }

  /** Ends everything in order: the daemon by SIGTERM, then all the rest. */
  async close(): Promise<void> {
    try {
      await this.unit.end('SIGTERM');
    } finally {
      const rest = [...children];
      this.topology.destroy();
      await Promise.all(rest.map(ended));
    }
  }
}

export function exampleText(): string {
  return readFileSync(exampleFile, 'utf8');
}
