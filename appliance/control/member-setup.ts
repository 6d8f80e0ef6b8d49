/**
 * The commands by which a Linux member comes to serve what the fast path sends it, for each
 * service of its pool and its way of forwarding. Pure. Source: the kernel's
 * Documentation/networking/ip-sysctl.rst, ip-link(8), ip-fou(8), ip-address(8).
 *
 * Invariant: run in order as root, the commands are enough on a member without a setup of its own;
 * what depends on anything that the unit cannot know is a check and not a command.
 */
import type { MemberSetup, SetupCommand } from '../api/contract.js';
import { familyOf } from '../config/addresses.js';
import { fallbacksOf } from '../config/cross-checks.js';
import type { Intent } from '../config/schema.js';
import { ownAddressTowards } from '../net/own-address.js';
import type { InterfaceAddress } from '../net/wire.js';
import type { L4Member, L4Service, Tables } from './tables.js';

export interface SetupInput {
  readonly intent: Intent;
  readonly tables: Tables;
  /** Addresses of the unit's interfaces. */
  readonly own: readonly Pick<InterfaceAddress, 'address' | 'family' | 'bytes' | 'prefixLength'>[];
}

/** Null when there is no such member. */
export function memberSetup(
  input: SetupInput,
  name: { readonly pool: string; readonly member: string },
): MemberSetup | null {
  const pool = input.tables.pools.get(name.pool);
  const member = pool?.members.find(({ key }) => key === name.member);
  if (member === undefined) return null;
  const services = servicesOf(input, name.pool);
  const steps = new Steps();
  for (const service of services) addService(steps, input, member, service);
  return {
    pool: name.pool,
    member: member.key,
    services: services.map(({ name: service, address, port, protocol, forwarding, guePort }) => ({
      ...{ name: service, address, port, protocol, forwarding, guePort },
    })),
    commands: steps.commands(),
    checks: steps.checks(services.length === 0),
  };
}

/** Services of the fast path that may send to this pool, also while it stands in for another. */
export function servicesOf({ intent, tables }: Omit<SetupInput, 'own'>, pool: string): L4Service[] {
  return [...tables.l4.services.values()].filter(({ name }) => {
    const own = intent.services[name]?.pool;
    return own !== undefined && [own, ...fallbacksOf(intent.pools, own)].includes(pool);
  });
}

/** Commands and sentences in the order in which they came, each once, with who needs it. */
class Steps {
  readonly #commands = new Map<string, SetupCommand>();
  readonly #checks = new Set<string>();

  add(service: string, command: string, undo: string | null, why: string): void {
    const known = this.#commands.get(command);
    const services = [...new Set([...(known?.services ?? []), service])];
    this.#commands.set(command, { command, undo, why, services });
  }

  check(sentence: string): void {
    this.#checks.add(sentence);
  }

  commands(): SetupCommand[] {
    return [...this.#commands.values()];
  }

  checks(unused: boolean): string[] {
    if (unused) return ['No service of the fast path uses this pool, so nothing is needed.'];
    const forgotten =
      this.#commands.size === 0
        ? []
        : ['The commands last until the member restarts: keep them in its own network settings.'];
    return [...this.#checks, ...forgotten];
  }
}

function addService(steps: Steps, input: SetupInput, member: L4Member, service: L4Service): void {
  switch (service.forwarding) {
    case 'dsr':
      addServiceAddress(steps, service);
      steps.check(
        'dsr: no router may stand between unit and member, since only MAC addresses are rewritten.',
      );
      addDirect(steps, service);
      return;
    case 'tunnel':
      addServiceAddress(steps, service);
      addTunnel(steps, input, member, service);
      addDirect(steps, service);
      return;
    case 'nat':
      addGateway(steps, input, member, service);
      return;
    case 'full-nat': {
      const own = input.tables.l4.unit.natAddresses.filter(
        (address) => familyOf(address) === familyOf(member.address),
      );
      steps.check(
        `full-nat (${service.name}): nothing is set at the member; it answers to ${own.join(', ')}, which it must have a route to.`,
      );
      return;
    }
  }
}

/** Before the address itself: else others hear of it for a moment. */
function addServiceAddress(steps: Steps, { name, address }: L4Service): void {
  if (familyOf(address) === 4) {
    const [ignore, announce] = ['net.ipv4.conf.all.arp_ignore', 'net.ipv4.conf.all.arp_announce'];
    steps.add(
      name,
      `sysctl -w ${ignore}=1`,
      `sysctl -w ${ignore}=0`,
      "ARP requests for the service address are the unit's to answer: a member answers only for what is on the interface asked.",
    );
    steps.add(
      name,
      `sysctl -w ${announce}=2`,
      `sysctl -w ${announce}=0`,
      'ARP requests of the member never name the service address as their sender.',
    );
    steps.add(
      name,
      `ip address replace ${address}/32 dev lo`,
      `ip address del ${address}/32 dev lo`,
      'Packets arrive with the service address as their destination.',
    );
    return;
  }
  steps.add(
    name,
    `ip -6 address replace ${address}/128 dev lo nodad preferred_lft 0`,
    `ip -6 address del ${address}/128 dev lo`,
    'Packets arrive with the service address as their destination. On lo nobody is told of it; deprecated, the member does not speak from it by itself.',
  );
}

/** What holds wherever the member answers clients by itself. */
function addDirect(steps: Steps, { address, port, protocol, forwarding }: L4Service): void {
  steps.check(
    `${forwarding}: a server must listen on ${ended(address, port)}/${protocol}` +
      (protocol === 'udp'
        ? ', on the address itself: one that listens on all addresses answers from another one.'
        : ', or on all addresses.'),
  );
  if (familyOf(address) === 4 && forwarding === 'dsr') {
    steps.check(
      'dsr: where the answers leave by another interface than the packets come in by, rp_filter of the one that they come in by must be 0 or 2 (the larger value of all and the interface counts).',
    );
  }
  steps.check(
    'dsr, tunnel: answers go from the service address straight to the clients. The way there must not be this unit, and nothing on it may drop that source address (reverse path filters, anti-spoofing).',
  );
}

interface TunnelDevice {
  readonly name: string;
  readonly add: string;
  readonly module: string;
  /** Protocol number of IP in IP. */
  readonly protocol: number;
}

/** One device for each mix of families; its other end is anybody, since the unit's sources vary. */
function tunnelDevice(outer: string, inner: 4 | 6): TunnelDevice {
  const protocol = inner === 4 ? 4 : 41;
  if (familyOf(outer) === 6) {
    return {
      name: 'weir-ip6',
      add: `ip link add name weir-ip6 type ip6tnl mode any local ${outer}`,
      ...{ module: 'ip6_tunnel', protocol },
    };
  }
  const kind = inner === 4 ? 'ipip' : 'sit';
  return {
    name: `weir-${kind}`,
    add: `ip link add name weir-${kind} type ${kind} local ${outer}`,
    ...{ module: kind, protocol },
  };
}

const ETHERNET_MTU = 1500;

function addTunnel(
  steps: Steps,
  { tables }: SetupInput,
  member: L4Member,
  { name, address, protocol, guePort }: L4Service,
): void {
  const outer = familyOf(member.address);
  const inner = familyOf(address);
  const device = tunnelDevice(member.address, inner);
  steps.add(
    name,
    device.add,
    `ip link del ${device.name}`,
    `Takes IPv${inner} packets out of IPv${outer} ones, whoever sent them (kernel module ${device.module}).`,
  );
  steps.add(name, `ip link set ${device.name} up`, null, 'It is down when it was just made.');
  if (guePort !== 0) {
    const family = outer === 6 ? ' -6' : '';
    steps.add(name, 'modprobe fou', null, 'UDP encapsulation; ip(8) does not load it by itself.');
    steps.add(
      name,
      `ip fou add port ${guePort} gue${family}`,
      `ip fou del port ${guePort}${family}`,
      'Takes the UDP header off and hands what is left to the device above, which needs no encap of its own: that is for sending.',
    );
    if (outer === 6) {
      steps.check(
        `tunnel by GUE (${name}): datagrams carry a UDP checksum wherever it can be known, else none (RFC 6935); Linux takes both.`,
      );
    }
  }
  if (inner === 4) {
    for (const where of ['all', device.name]) {
      const key = `net.ipv4.conf.${where}.rp_filter`;
      steps.add(
        name,
        `sysctl -w ${key}=0`,
        null,
        'Clients are not reached through the tunnel, so a reverse path filter would drop their packets. The larger value of all and the device counts; other interfaces keep theirs.',
      );
    }
  }
  const { tunnelSource4, tunnelSource6 } = tables.l4.unit;
  const source = outer === 4 ? tunnelSource4 : tunnelSource6;
  const what = guePort === 0 ? `IP protocol ${device.protocol}` : `UDP port ${guePort}`;
  steps.check(`tunnel (${name}): firewalls let ${what} from ${source} to the member pass.`);
  if (outer === 4) {
    steps.check(
      `tunnel: rp_filter of the interface that has ${member.address} must be 0, or the member's route to ${source} must leave by that interface: see "sysctl -a -r 'conf.*rp_filter'" and "ip route get ${source.split('/')[0]}".`,
    );
  }
  addRoom(steps, member, { name, protocol, inner, guePort });
}

const IPV4_BYTES = 20;
const IPV6_BYTES = 40;
const UDP_BYTES = 8;
const TCP_BYTES = 20;

function headerOf(family: 4 | 6): number {
  return family === 4 ? IPV4_BYTES : IPV6_BYTES;
}

/** What fits through the tunnel, and how clients learn of it without losing a packet first. */
function addRoom(
  steps: Steps,
  member: L4Member,
  service: {
    readonly name: string;
    readonly protocol: 'tcp' | 'udp';
    readonly inner: 4 | 6;
    readonly guePort: number;
  },
): void {
  const mtu = member.nextHop?.mtu ?? ETHERNET_MTU;
  const extra = headerOf(familyOf(member.address)) + (service.guePort === 0 ? 0 : UDP_BYTES);
  const room = mtu - extra;
  const larger = `Or let the way from unit to member carry packets of ${ETHERNET_MTU + extra} bytes.`;
  if (service.protocol === 'udp') {
    steps.check(
      `tunnel (${service.name}): packets of more than ${room} bytes do not fit; their senders are told by ICMP. ${larger}`,
    );
    return;
  }
  const segment = room - headerOf(service.inner) - TCP_BYTES;
  const ip = service.inner === 4 ? 'ip route' : 'ip -6 route';
  steps.check(
    `tunnel (${service.name}): packets of more than ${room} bytes do not fit; clients are told by ICMP, and not at all where that is filtered. The member tells them at once with advmss ${segment} on its route to them: "${ip} show default", then "${ip} change" with that line and advmss ${segment}. ${larger}`,
  );
}

function addGateway(
  steps: Steps,
  { own }: SetupInput,
  member: L4Member,
  { name }: L4Service,
): void {
  const unit = ownAddressTowards(member.address, own);
  const ip = familyOf(member.address) === 4 ? 'ip route' : 'ip -6 route';
  if (unit === null) {
    steps.check(
      `nat (${name}): answers must come back through this unit. It has no address on the member's network: let the router of the member route the clients' networks to the unit, or use full-nat.`,
    );
  } else {
    steps.add(
      name,
      `${ip} replace default via ${unit}`,
      null,
      `Answers must come back through this unit. Name the clients' networks instead of "default" where others shall keep their way.`,
    );
    steps.check(
      `nat: the gateway that the member has now is seen with "${ip} show default"; putting it back is the way to undo.`,
    );
    steps.check(
      'nat: other traffic of the member then goes through this unit too, which needs forwarding switched on (sysctl net.ipv4.ip_forward, net.ipv6.conf.all.forwarding).',
    );
  }
  steps.check(
    `nat: clients on the member's own network would be answered directly and not understand: give them a service with full-nat.`,
  );
}

function ended(address: string, port: number): string {
  return familyOf(address) === 6 ? `[${address}]:${port}` : `${address}:${port}`;
}
