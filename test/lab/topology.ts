/**
 * The lab's network: hosts as network namespaces, joined by two bridges.
 *
 *     client ── outside (10.78.0.0/24, fd78::/64) ──┬── unit-a ──┬── inside (10.77.0.0/24, fd77::/64)
 *                                                   ├── unit-b ──┤
 *                                                   └──────── member-1 … member-3
 *
 * The client reaches the inside through the unit (.3). A member has two legs. What it
 * sends from its own address (replies in nat forwarding) goes to its gateway, the unit.
 * What it sends from a service address (replies in dsr forwarding) leaves by its outside
 * leg straight to the client: a rule by source address sees to that, so a dsr reply can
 * never pass the unit.
 *
 * Three things make veth behave as a network card does for native XDP. The switch side
 * of the unit's links polls by NAPI and has an XDP program (attach-process.ts), without
 * which frames that XDP sends are dropped or lie about. Client and members compute their
 * checksums themselves (`tx off`), because a checksum left for the hardware would stay
 * unfinished in a frame that XDP rewrites. And duplicate address detection is off, so that
 * addresses serve at once.
 *
 * A member's end of tunnels is an XDP program on its inside leg (native/bpf/decap.bpf.c):
 * whatever looks at the member's packets later sees them without their outer headers.
 *
 * Invariant: everything made here is named `weir-lab-PID…`, so that the next run finds
 * and removes what a killed one left.
 */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mountBpffs } from '../../native/ffi/libbpf.js';
import { isAlive } from '../support/child.js';
import { killChildren, run, within } from './commands.js';
import { unmountBelow } from './slow-disk.js';

export const memberNames = ['member-1', 'member-2', 'member-3'] as const;
export type MemberName = (typeof memberNames)[number];
export type UnitName = 'unit-a' | 'unit-b';
export type HostName = 'client' | UnitName | MemberName;

export type Segment = 'inside' | 'outside';
const segments: Readonly<Record<Segment, { v4: string; v6: string }>> = {
  inside: { v4: '10.77.0.', v6: 'fd77::' },
  outside: { v4: '10.78.0.', v6: 'fd78::' },
};

/** The last part of a host's addresses; the same digits in both families, as people read them. */
const hostNumbers: Readonly<Record<HostName, number>> = {
  client: 2,
  'unit-a': 3,
  'unit-b': 4,
  'member-1': 11,
  'member-2': 12,
  'member-3': 13,
};

/** Interface names in the order of the legs: the first leg is eth0. */
const legs = (host: HostName): readonly Segment[] =>
  host === 'client' ? ['outside'] : ['inside', 'outside'];

export function addressOf(host: HostName, family: 4 | 6, segment: Segment = 'inside'): string {
  return addressAt(hostNumbers[host], family, segment);
}

export function addressAt(number: number, family: 4 | 6, segment: Segment): string {
  const prefix = segments[segment];
  return `${family === 4 ? prefix.v4 : prefix.v6}${number}`;
}

const attachProgram = fileURLToPath(new URL('./attach-process.js', import.meta.url));
/** The routing table for what a member sends from a service address. */
const directTable = 100;
const namePattern = /^weir-lab-(\d+)(-|$)/;

function isMember(host: HostName): host is MemberName {
  return (memberNames as readonly string[]).includes(host);
}

/** Settings of the kernel in every host, as files below /proc/sys/net. */
function kernelSettings(host: HostName): [string, string][] {
  const each = (name: string, value: string): [string, string][] => [
    [name.replace('*', 'all'), value],
    [name.replace('*', 'default'), value],
  ];
  const common = [
    ...each('ipv6/conf/*/accept_dad', '0'),
    ...each('ipv6/conf/*/accept_ra', '0'),
    ...each('ipv4/conf/*/rp_filter', '0'),
  ];
  if (host === 'client') {
    return [
      ...common,
      ['ipv4/ip_local_port_range', '10000 65000'],
      ['ipv4/tcp_tw_reuse', '1'],
      ['ipv4/tcp_syn_retries', '3'],
    ];
  }
  if (isMember(host)) {
    return [
      ...common,
      // The service addresses on lo must not be answered for on the wire.
      ...each('ipv4/conf/*/arp_ignore', '1'),
      ...each('ipv4/conf/*/arp_announce', '2'),
      ['core/somaxconn', '4096'],
    ];
  }
  return [
    ...common,
    ['ipv4/ip_forward', '1'],
    ...each('ipv6/conf/*/forwarding', '1'),
    ...each('ipv4/conf/*/send_redirects', '0'),
  ];
}

/** What `ip -batch` does inside a host once its legs are there, by address family. */
function hostScripts(
  host: HostName,
  serviceAddresses: readonly string[],
  gateway: number,
): Record<4 | 6, string[]> {
  const scripts: Record<4 | 6, string[]> = { 4: ['link set lo up'], 6: [] };
  for (const [index] of legs(host).entries()) scripts[4].push(`link set eth${index} up`);
  for (const family of [4, 6] as const) {
    const lines = scripts[family];
    const network = (segment: Segment): string =>
      family === 4 ? `${segments[segment].v4}0/24` : `${segments[segment].v6}/64`;
    const [length, single, nodad] = family === 4 ? [24, 32, ''] : [64, 128, ' nodad'];
    for (const [index, segment] of legs(host).entries()) {
      // A member's outside leg has no route of its own: only the rule below may use it.
      const plain = isMember(host) && segment === 'outside' ? ' noprefixroute' : '';
      const address = addressOf(host, family, segment);
      lines.push(`addr add ${address}/${length} dev eth${index}${nodad}${plain}`);
    }
    if (host === 'client') {
      lines.push(`route add ${network('inside')} via ${addressAt(gateway, family, 'outside')}`);
    }
    if (isMember(host)) {
      lines.push(
        `route add default via ${addressAt(gateway, family, 'inside')}`,
        `route add ${network('outside')} dev eth1 table ${directTable}`,
      );
      for (const address of serviceAddresses) {
        if (address.includes(':') !== (family === 6)) continue;
        lines.push(
          `addr add ${address}/${single} dev lo${nodad}`,
          `rule add from ${address}/${single} lookup ${directTable}`,
        );
      }
    }
  }
  return scripts;
}

function entries(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Removes a namespace with whatever still runs in it. Synchronous: also for `exit` handlers. */
function removeNamespace(name: string): void {
  const pids = spawnSync('ip', ['netns', 'pids', name], { encoding: 'utf8' }).stdout;
  for (const pid of pids.split('\n').filter((text) => /^\d+$/.test(text))) {
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
  spawnSync('ip', ['netns', 'delete', name]);
}

const bpffs = '/sys/fs/bpf';

/** Where the lab of a process pins its BPF objects, and where it keeps its files. */
export function labPaths(pid: number): { pins: string; files: string } {
  return { pins: join(bpffs, `weir-lab-${pid}`), files: join(tmpdir(), `weir-lab-${pid}`) };
}

/** Removes all that the lab of a process made. Synchronous: also for `exit` handlers. */
function removeLab(pid: number): void {
  for (const name of entries('/run/netns')) {
    if (namePattern.exec(name)?.[1] === String(pid)) removeNamespace(name);
  }
  const paths = labPaths(pid);
  rmSync(paths.pins, { recursive: true, force: true });
  unmountBelow(paths.files);
  rmSync(paths.files, { recursive: true, force: true });
}

/** Removes what labs left whose process is gone. Returns their process ids. */
export function removeStaleLabs(): number[] {
  const pids = new Set<number>();
  for (const directory of ['/run/netns', bpffs, tmpdir()]) {
    for (const name of entries(directory)) {
      const pid = Number(namePattern.exec(name)?.[1] ?? Number.NaN);
      if (Number.isInteger(pid) && !isAlive(pid)) pids.add(pid);
    }
  }
  for (const pid of pids) removeLab(pid);
  return [...pids];
}

export interface TopologyOptions {
  readonly units?: readonly UnitName[];
  /** Addresses that members answer for in dsr and tunnel forwarding; they sit on the members' lo. */
  readonly directAddresses: readonly string[];
  /** Whether members take packets out of tunnels. */
  readonly tunnels?: boolean;
  /** The last part of the addresses that the client and members route through; unit-a's own else. */
  readonly gateway?: number;
}

export class Topology {
  private constructor(readonly units: readonly UnitName[]) {}

  /** One lab at a time in a process, because names carry the process id. */
  static async create(options: TopologyOptions): Promise<Topology> {
    removeStaleLabs();
    removeLab(process.pid);
    const topology = new Topology(options.units ?? ['unit-a']);
    process.once('exit', topology.onExit);
    try {
      await topology.build(options.directAddresses, options.gateway ?? hostNumbers['unit-a']);
      if (options.tunnels === true) {
        await Promise.all(memberNames.map((name) => topology.attachTunnelEnd(name)));
      }
    } catch (error) {
      topology.destroy();
      throw error;
    }
    return topology;
  }

  namespace(host: HostName | 'switch' | 'far'): string {
    return `weir-lab-${process.pid}-${host}`;
  }

  private async build(directAddresses: readonly string[], gateway: number): Promise<void> {
    const hosts: HostName[] = ['client', ...this.units, ...memberNames];
    const wires = this.namespace('switch');
    const names = [wires, ...hosts.map((host) => this.namespace(host))];
    await run('ip', ['-batch', '-'], {
      input: names.map((name) => `netns add ${name}\n`).join(''),
    });
    await Promise.all(
      hosts.map((host) => {
        const script = kernelSettings(host)
          .map(([file, value]) => `echo ${value} > /proc/sys/net/${file}\n`)
          .join('');
        return run('nsenter', within(this.namespace(host), ['sh', '-e']).slice(1), {
          input: script,
        });
      }),
    );

    const plan = ['link set lo up'];
    for (const segment of Object.keys(segments)) {
      plan.push(
        `link add name ${segment} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
        `link set ${segment} up`,
      );
    }
    for (const host of hosts) {
      legs(host).forEach((segment, index) => {
        const port = this.port(host, segment);
        plan.push(
          `link add name ${port} type veth peer name eth${index} netns ${this.namespace(host)}`,
          `link set ${port} master ${segment}`,
          `link set ${port} up`,
        );
      });
    }
    await run('ip', ['-n', wires, '-batch', '-'], { input: `${plan.join('\n')}\n` });
    await Promise.all(
      hosts.map(async (host) => {
        const namespace = this.namespace(host);
        const scripts = hostScripts(host, directAddresses, gateway);
        for (const family of [4, 6] as const) {
          await run('ip', [`-${family}`, '-n', namespace, '-batch', '-'], {
            input: `${scripts[family].join('\n')}\n`,
          });
        }
        await Promise.all(
          legs(host).map((segment, index) =>
            host === 'client' || isMember(host)
              ? this.ethtool(namespace, `eth${index}`, 'tx', 'off')
              : this.ethtool(wires, this.port(host, segment), 'gro', 'on'),
          ),
        );
      }),
    );
    await this.attachWires();
  }

  /** Puts a program that passes everything on the switch side of the units' links. */
  private async attachWires(): Promise<void> {
    const wires = this.namespace('switch');
    const ports = this.units.flatMap((unit) =>
      legs(unit).map((segment) => this.port(unit, segment)),
    );
    await this.attach(wires, 'bench.bpf.o', 'bench_empty', ports);
  }

  private attachTunnelEnd(member: MemberName): Promise<void> {
    return this.attach(this.namespace(member), 'decap.bpf.o', 'decap_xdp', ['eth0']);
  }

  private async attach(
    namespace: string,
    object: string,
    program: string,
    interfaces: readonly string[],
  ): Promise<void> {
    const links = JSON.parse(await run('ip', ['-n', namespace, '-json', 'link', 'show'])) as {
      readonly ifname: string;
      readonly ifindex: number;
    }[];
    const indices = links
      .filter(({ ifname }) => interfaces.includes(ifname))
      .map((link) => String(link.ifindex));
    const { pins } = labPaths(process.pid);
    // Where it is not mounted yet, the directory is there all the same, and takes no pins.
    mountBpffs(bpffs);
    mkdirSync(pins, { recursive: true });
    const pin = join(pins, namespace.replace(namePattern, ''));
    const args = [process.execPath, attachProgram, object, program, pin, ...indices];
    await run('nsenter', within(namespace, args).slice(1));
  }

  private port(host: HostName, segment: Segment): string {
    return `${host}-${segment === 'inside' ? 'in' : 'out'}`;
  }

  private async ethtool(namespace: string, device: string, feature: string, value: string) {
    await run('nsenter', within(namespace, ['ethtool', '-K', device, feature, value]).slice(1));
  }

  /** Cuts or mends a host's inside link at the switch, as pulling the plug would. */
  async setLink(host: HostName, state: 'up' | 'down'): Promise<void> {
    const segment = legs(host)[0] ?? 'inside';
    await run('ip', [
      '-n',
      this.namespace('switch'),
      'link',
      'set',
      this.port(host, segment),
      state,
    ]);
  }

  private readonly onExit = (): void => {
    this.destroy();
  };

  /** Ends all the lab's children and removes all it made. Safe to call again. */
  destroy(): void {
    process.removeListener('exit', this.onExit);
    killChildren();
    removeLab(process.pid);
  }
}
