/** What the parts of `unit.network` must have to do with each other, and with the services. */
import { parseAddress, parsePrefix, familyOf } from './addresses.js';
import type { Problem } from './cross-checks.js';
import type { Path } from './errors.js';
import type { Intent } from './schema.js';
import { quote } from './words.js';

type Network = NonNullable<Intent['unit']['network']>;

export function checkNetwork({ unit, services, pair }: Intent): Problem[] {
  const { network } = unit;
  const problems: Problem[] = [];
  if (unit.ssh !== undefined && network?.management === undefined) {
    problems.push({
      code: 'conflict',
      path: ['unit', 'ssh'],
      message:
        'needs unit.network.management, the interface that people may come in by: name it, or remove this part',
    });
  }
  if (network === undefined) return problems;
  const refuse: Refuse = (path, message) => {
    problems.push({ code: 'conflict', path: ['unit', 'network', ...path], message });
  };
  checkLinks(network, refuse);
  checkAddresses(network, refuse);
  checkRoutes(network, refuse);
  const management = network.management;
  if (management !== undefined && unit.interfaces?.includes(management) === true) {
    refuse(
      ['management'],
      'is in unit.interfaces, and the interface for management carries no service traffic: remove it there or choose another one here',
    );
  }
  const taken = new Map<string, string>();
  for (const address of unit['nat-addresses'] ?? []) taken.set(address, 'in unit.nat-addresses');
  for (const [name, router] of Object.entries(pair?.['virtual-routers'] ?? {}))
    for (const address of router.addresses)
      taken.set(address, `of the virtual router ${quote(name)}, and moves between units`);
  for (const [name, { listen }] of Object.entries(services))
    taken.set(listen.address, `the address of the service ${quote(name)}`);
  for (const { path, address } of ownAddresses(network)) {
    const whose = taken.get(address);
    if (whose !== undefined)
      refuse(path, `${address} is ${whose}: the unit's own address must be another one`);
  }
  return problems;
}

type Refuse = (path: Path, message: string) => void;

function checkLinks({ interfaces }: Network, refuse: Refuse): void {
  const portOf = new Map<string, string>();
  for (const [name, { bond, vlan, mtu, addresses = [] }] of Object.entries(interfaces)) {
    const path = ['interfaces', name];
    if (bond !== undefined && vlan !== undefined)
      refuse(path, 'is either a bond or a VLAN: remove one of the two');
    for (const [index, port] of (bond?.members ?? []).entries()) {
      const at = [...path, 'bond', 'members', index];
      const other = portOf.get(port);
      if (port === name) refuse(at, 'is the bond itself: name its ports');
      else if (other !== undefined) refuse(at, `is a port of ${other} already: remove it in one`);
      else if (interfaces[port]?.bond !== undefined)
        refuse(at, 'is a bond itself, and a bond cannot be a port of another: name its ports');
      portOf.set(port, name);
    }
    if (mtu !== undefined && mtu < 1280 && addresses.some((one) => one.includes(':')))
      refuse([...path, 'mtu'], 'is below 1280, which IPv6 needs: raise it or remove the addresses');
  }
  for (const [name, { vlan, addresses = [], mtu }] of Object.entries(interfaces)) {
    const bond = portOf.get(name);
    if (bond !== undefined && (addresses.length > 0 || mtu !== undefined || vlan !== undefined))
      refuse(
        ['interfaces', name],
        `is a port of ${bond}, which has addresses, MTU and VLANs for all its ports: move them there`,
      );
    if (vlan === undefined) continue;
    const at = ['interfaces', name, 'vlan'];
    const carrier = portOf.get(vlan.link);
    if (carrier !== undefined)
      refuse([...at, 'link'], `is a port of ${carrier}: put the VLAN on ${carrier}`);
    if (loops(name, interfaces)) refuse([...at, 'link'], 'leads back to this VLAN: name another');
    for (const [other, one] of Object.entries(interfaces)) {
      if (other >= name || one.vlan?.link !== vlan.link || one.vlan.id !== vlan.id) continue;
      refuse([...at, 'id'], `is that of ${other} on ${vlan.link} already: give it another one`);
    }
    const below = interfaces[vlan.link]?.mtu;
    if (mtu !== undefined && below !== undefined && mtu > below)
      refuse(
        ['interfaces', name, 'mtu'],
        `is more than the ${below} of ${vlan.link}: lower it or raise that`,
      );
  }
}

function loops(name: string, interfaces: Network['interfaces']): boolean {
  const seen = new Set<string>();
  for (let at: string | undefined = name; at !== undefined; at = interfaces[at]?.vlan?.link) {
    // Each circle is told once, at its first name.
    if (seen.has(at)) return at === name && [...seen].every((one) => one >= name);
    seen.add(at);
  }
  return false;
}

interface Own {
  readonly path: Path;
  readonly device: string;
  readonly address: string;
  readonly prefix: string;
}

function ownAddresses({ interfaces }: Network): Own[] {
  return Object.entries(interfaces).flatMap(([device, { addresses = [] }]) =>
    addresses.map((text, index) => ({
      path: ['interfaces', device, 'addresses', index],
      device,
      address: text.slice(0, text.indexOf('/')),
      prefix: text,
    })),
  );
}

function checkAddresses(network: Network, refuse: Refuse): void {
  const seen = new Map<string, string>();
  for (const { path, device, address, prefix } of ownAddresses(network)) {
    const other = seen.get(address);
    if (other !== undefined) refuse(path, `${address} is on ${other} already: remove it in one`);
    seen.set(address, device);
    const wrong = unusable(prefix);
    if (wrong !== null) refuse(path, wrong);
  }
}

/** Why a unit cannot have this address; null: it can. */
function unusable(text: string): string | null {
  const read = parsePrefix(text);
  if (!read.ok) return read.message;
  const { address, length } = read.value;
  const [first = 0, second = 0] = address.bytes;
  if (
    address.bytes.every((byte) => byte === 0) ||
    (address.family === 4 ? first >= 224 : first === 0xff)
  )
    return `${address.text} is no address that a unit can have: write a unicast address`;
  if (address.family === 6) {
    const linkLocal = first === 0xfe && (second & 0xc0) === 0x80;
    return linkLocal
      ? `${address.text} is link-local, which every interface has by itself: remove it`
      : null;
  }
  if (length >= 31) return null;
  const host = hostBits(address.bytes, length);
  if (host === 'zeros') return `${text} is the network itself: write the address of the unit in it`;
  return host === 'ones' ? `${text} is the broadcast address: write that of the unit` : null;
}

function hostBits(bytes: Uint8Array, length: number): 'zeros' | 'ones' | 'mixed' {
  let zeros = true;
  let ones = true;
  for (let bit = length; bit < bytes.length * 8; bit += 1) {
    const set = ((bytes[bit >> 3] ?? 0) & (0x80 >> (bit & 7))) !== 0;
    if (set) zeros = false;
    else ones = false;
  }
  return zeros ? 'zeros' : ones ? 'ones' : 'mixed';
}

function checkRoutes(network: Network, refuse: Refuse): void {
  const own = ownAddresses(network);
  const seen = new Map<string, number>();
  for (const [index, { to, via, device, metric }] of (network.routes ?? []).entries()) {
    const path = ['routes', index];
    if (via === undefined && (device === undefined || to === 'default')) {
      refuse(path, to === 'default' ? 'needs a router: add via' : 'needs via or device: add one');
      continue;
    }
    if (to !== 'default') {
      const read = parsePrefix(to);
      if (read.ok && read.value.length < read.value.address.bytes.length * 8) {
        const host = hostBits(read.value.address.bytes, read.value.length);
        if (host !== 'zeros')
          refuse([...path, 'to'], `${to} has host bits set: write the network's own address`);
      }
      if (via !== undefined && familyOf(to) !== familyOf(via))
        refuse([...path, 'via'], `is of another family than ${to}: write a router of the same`);
    }
    const key = `${to} ${familyOf(via ?? to)} ${metric ?? ''}`;
    const other = seen.get(key);
    if (other !== undefined)
      refuse(
        path,
        `routes[${other}] leads to ${to} with the same metric: remove one or give it another metric`,
      );
    seen.set(key, index);
    if (via === undefined) continue;
    if (own.some(({ address }) => address === via))
      refuse([...path, 'via'], `${via} is the unit's own address: write that of the router`);
    else checkGateway(via, device, own, (message) => refuse([...path, 'via'], message));
  }
}

/** Interfaces that the document does not address have networks that only the host knows. */
function checkGateway(
  via: string,
  device: string | undefined,
  own: readonly Own[],
  refuse: (message: string) => void,
): void {
  const address = parseAddress(via);
  if (!address.ok) return;
  const { bytes, family } = address.value;
  if (family === 6 && bytes[0] === 0xfe && ((bytes[1] ?? 0) & 0xc0) === 0x80) {
    if (device === undefined)
      refuse(`${via} is link-local: name the interface that it is on by device`);
    return;
  }
  const near = own.filter((one) => device === undefined || one.device === device);
  if (near.length === 0 && device !== undefined) return;
  const held = near.some(({ prefix }) => {
    const read = parsePrefix(prefix);
    return (
      read.ok &&
      read.value.address.family === family &&
      within(bytes, read.value.address.bytes, read.value.length)
    );
  });
  if (!held)
    refuse(
      `${via} is in no network of ${device ?? 'the interfaces here'}: give an interface an address in its network, or correct it`,
    );
}

function within(address: Uint8Array, network: Uint8Array, length: number): boolean {
  for (let bit = 0; bit < length; bit += 1) {
    if ((((address[bit >> 3] ?? 0) ^ (network[bit >> 3] ?? 0)) & (0x80 >> (bit & 7))) !== 0)
      return false;
  }
  return true;
}
