/**
 * The XDP tiers of two units, each with kernel tables of its own and a past of its own, so that rows
 * and ids of the same members and services differ; and the mirror between them, without a network.
 *
 * Invariant: which member a packet went to is read from the frame that was sent.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { buildTable, choiceOf, type AlgorithmName } from '../../appliance/balance/choice.js';
import type { L4Member, L4Pool, L4Service, L4Tables } from '../../appliance/control/tables.js';
import type { Outcomes } from '../../appliance/ha/flows/flow-table.js';
import { removeDatapath } from '../../appliance/l4/datapath.js';
import { flow as flowLayout } from '../../appliance/l4/layouts.js';
import { L4Tier } from '../../appliance/l4/tier.js';
import { mountBpffs, unmountBpffs, type TestResult } from '../../native/ffi/libbpf.js';
import { objectPath, type Forwarding } from './datapath.js';
import { frame, macBytes, type FrameSpec, type Protocol } from './packets.js';

/** An interface that every machine has; frames come in there and leave there. */
const LOOPBACK = 1;
export const network = '198.51.100.0/24';

export interface Setting {
  readonly family: 'ipv4' | 'ipv6';
  readonly protocol: Protocol;
  readonly forwarding: Forwarding;
  readonly algorithm: AlgorithmName;
  readonly weights: readonly number[];
  readonly persistence?: L4Service['persistence'];
  /** Index of members that drain. */
  readonly draining?: readonly number[];
}

export const text = {
  ipv4: { service: '10.0.0.53', client: '198.51.100.', member: '10.0.1.', nat: '10.0.0.20' },
  ipv6: { service: 'fd00:0:0:a::53', client: '2001:db8:9::', member: 'fd00::b:', nat: 'fd00::20' },
} as const;

export class OneTier {
  readonly tier: L4Tier;
  readonly mac: string;
  scene = 0;
  constructor(
    readonly directory: string,
    readonly index: 0 | 1,
  ) {
    this.mac = `02:00:00:00:00:0${index + 1}`;
    this.tier = new L4Tier({
      directory,
      object: objectPath,
      sizes: new Map([
        ['flows', 8192],
        ['lookup', 4096],
      ]),
      eventsPerSecond: 0,
      hashSeed: 0x5eed,
      onSweepError: (error) => {
        throw error;
      },
    });
    if (index === 1) this.tier.program(tables(stranger, this));
    this.tier.mirror.waysFrom(() => [
      {
        ...{ interface: LOOPBACK, vlan: [], networks: [network] },
        mac: macBytes(this.mac),
      },
    ]);
  }

  program(setting: Setting): void {
    this.tier.program(tables(setting, this));
  }

  run(spec: FrameSpec): TestResult {
    return this.tier.datapath.program.testRun({ data: frame(spec), ingressInterface: LOOPBACK });
  }

  /** Entries of flows, both directions. */
  get entries(): number {
    return this.tier.datapath.map('flows').readAll().count;
  }

  /** Changes every entry of the flow table. */
  patch(change: (entry: Parameters<typeof flowLayout.encode>[0]) => object): void {
    const map = this.tier.datapath.map('flows');
    const { count, keys, values } = map.readAll();
    for (let index = 0; index < count; index++) {
      const entry = flowLayout.decode(values, index * flowLayout.size);
      map.update(
        keys.subarray(index * map.keySize, (index + 1) * map.keySize),
        flowLayout.encode({ ...entry, ...change(entry) }),
      );
    }
  }

  age(seconds: number): void {
    const older = BigInt(seconds) * 1_000_000_000n;
    this.patch(({ seen_ns: seen }) => ({ seen_ns: seen - older }));
  }

  active(): number {
    const { members } = this.tier.counters();
    return [...members.values()].reduce((sum, { active }) => sum + active, 0);
  }

  clear(): void {
    for (const name of ['flows', 'persistence']) {
      const map = this.tier.datapath.map(name);
      map.deleteBatch(map.readAll().keys);
    }
    for (const name of ['member_active', 'service_active']) {
      const map = this.tier.datapath.map(name);
      const { keys, values } = map.readAll();
      map.updateBatch(keys, values.fill(0));
    }
    this.tier.mirror.drain(10_000);
    this.tier.mirror.tell(0);
  }
}

export class TwoTiers {
  readonly #folder = mkdtempSync(join(tmpdir(), 'weir-two-tiers-'));
  readonly a: OneTier;
  readonly b: OneTier;

  constructor() {
    mountBpffs(this.#folder);
    this.a = new OneTier(join(this.#folder, 'a'), 0);
    this.b = new OneTier(join(this.#folder, 'b'), 1);
    this.a.tier.mirror.meet(this.b.tier.mirror.describe());
    this.b.tier.mirror.meet(this.a.tier.mirror.describe());
  }

  /** Both without flows and with a new pool; A has this setting and tells, B has it or another one. */
  begin(setting: Setting, other: Setting = setting): void {
    for (const unit of [this.a, this.b]) {
      unit.clear();
      unit.scene += 1;
    }
    this.a.program(setting);
    this.b.program(other);
    this.a.tier.mirror.tell(1);
  }

  /** What A has told since goes to B. */
  mirror(): Outcomes {
    return this.b.tier.mirror.take(this.a.tier.mirror.drain(10_000));
  }

  /** Both must make the same of a packet, but for the address that it leaves from. */
  same(spec: FrameSpec, what: string): Buffer {
    const [a, b] = [this.a.run(spec), this.b.run(spec)];
    assert.is(a.action, TX, `${what}: verdict of unit A`);
    assert.is(b.action, TX, `${what}: verdict of unit B`);
    assert.is(ownless(b.data), ownless(a.data), what);
    return Buffer.from(b.data);
  }

  async close(): Promise<void> {
    for (const unit of [this.a, this.b]) {
      await unit.tier.close();
      removeDatapath(unit.directory);
    }
    unmountBpffs(this.#folder);
    rmSync(this.#folder, { recursive: true });
  }
}

const TX = 3;

/** A frame without the address that it leaves from, as hex. */
function ownless(data: Uint8Array): string {
  const bytes = Buffer.from(data);
  bytes.fill(0, 6, 12);
  return bytes.toString('hex');
}

/** A client's packet. */
export function request(
  { family, protocol }: Setting,
  client: number,
  change: Partial<FrameSpec> = {},
): FrameSpec {
  return {
    source: `${text[family].client}${(client % 200) + 1}`,
    destination: text[family].service,
    protocol,
    sourcePort: 20_000 + client,
    destinationPort: 80,
    flags: 'A',
    ...change,
  };
}

/** Index of the member that a frame goes to. */
export function memberOf(data: Uint8Array): number {
  return (data[5] ?? 0) - 0x10;
}

/** The member's answer to a request as it came there. */
export function answer(setting: Setting, delivered: Uint8Array, change: Partial<FrameSpec> = {}) {
  const view = new DataView(delivered.buffer, delivered.byteOffset);
  const six = setting.family === 'ipv6';
  const bytes = Buffer.from(delivered);
  const address = (at: number): string =>
    six
      ? Array.from({ length: 8 }, (_, word) => view.getUint16(at + 2 * word).toString(16)).join(':')
      : bytes.subarray(at, at + 4).join('.');
  const ports = six ? 54 : 34;
  return {
    fromMac: `02:00:00:00:00:1${memberOf(delivered)}`,
    source: address(six ? 38 : 30),
    destination: address(six ? 22 : 26),
    protocol: setting.protocol,
    sourcePort: view.getUint16(ports + 2),
    destinationPort: view.getUint16(ports),
    flags: 'A',
    ...change,
  };
}

/** Takes rows and ids at unit B before anything else does. */
const stranger: Setting = {
  ...{ family: 'ipv4', protocol: 'udp', forwarding: 'dsr', algorithm: 'maglev' },
  weights: [1, 1, 1, 1, 1],
};

function tables(setting: Setting, unit: OneTier): L4Tables {
  const name = `shop-${unit.scene}`;
  const own = poolOf(name, setting, unit);
  const before = poolOf('stranger', stranger, unit);
  const services = [serviceOf(name, setting)];
  const pools = [own];
  if (unit.index === 1) {
    pools.unshift(before);
    services.unshift({ ...serviceOf('stranger', stranger), address: '10.0.0.99' });
  }
  return {
    unit: {
      ...{ tunnelSource4: '198.18.0.0/16', tunnelSource6: '100::/96' },
      natAddresses: (['ipv4', 'ipv6'] as const).map((family) => text[family].nat + unit.index),
    },
    services: new Map(services.map((service) => [service.name, service])),
    pools: new Map(pools.map((pool) => [pool.name, pool])),
  };
}

function serviceOf(name: string, setting: Setting): L4Service {
  return {
    ...{ name, address: text[setting.family].service, port: 80, protocol: setting.protocol },
    ...{ forwarding: setting.forwarding, pool: name, persistence: setting.persistence ?? null },
    ...{ mss: 0, synCookies: 'off', quic: false, guePort: 0 },
  };
}

function poolOf(name: string, setting: Setting, unit: OneTier): L4Pool {
  const { family, forwarding, algorithm, weights, draining = [] } = setting;
  const nat = forwarding === 'nat' || forwarding === 'full-nat';
  const port = nat ? 9000 : 0;
  const members = weights.map((weight, index): L4Member => {
    const address = `${text[family].member}${index + 1}`;
    const drains = draining.includes(index);
    return {
      ...{ id: `${name}/${address}`, key: address, address, port, weight },
      ...{ configuredWeight: weight, quicId: null, reason: 'enabled' },
      setting: drains ? 'draining' : 'enabled',
      state: drains ? 'draining' : 'serving',
      nextHop: {
        ...{ interfaceIndex: LOOPBACK, interfaceName: 'lo' },
        mac: macBytes(`02:00:00:00:00:1${index}`),
        sourceMac: macBytes(unit.mac),
      },
    };
  });
  const lookup = buildTable(
    algorithm,
    members.map((member) => ({
      key: member.key,
      weight: member.weight,
      available: member.state === 'serving',
    })),
  );
  const choice = choiceOf(algorithm);
  return { ...{ name, members, choice, lookup }, whenDown: 'drop', onMemberDown: 'rehash' };
}
