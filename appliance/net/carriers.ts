/**
 * From a device that addresses and routes are on to the one that the XDP program must be on, and
 * the VLAN tags that frames carry there. Pure. Standards: IEEE 802.1Q, 802.1ad; kernel:
 * net/8021q/vlan_dev.c, drivers/net/bonding/bond_main.c.
 *
 * XDP meets a frame before the kernel takes its tag off, so a VLAN device never sees it: the device
 * below does. A port of a bond gets the program from the bond.
 *
 * Invariant: tags are in the order of the wire, the outermost first, and never more than the fast
 * path reads.
 */
import type { BondDevice, Link } from './wire.js';

/** More tags than this and the fast path leaves a frame to the kernel. */
export const MOST_TAGS = 2;

export interface Carrier {
  /** The device that the program runs on. */
  readonly device: Link;
  /** Identifiers of the VLAN tags, the outermost first; none when untagged. */
  readonly vlan: readonly number[];
}

const untagged: readonly number[] = [];

/** The carrier of a device, or a sentence that says why it has none. */
export function carrierOf(
  link: Link,
  get: (index: number) => Link | undefined,
): Carrier | { readonly unresolved: string } {
  let device = link;
  const tags: number[] = [];
  while (device.vlan !== null) {
    const { parent, id } = device.vlan;
    // The device below adds its tag later, and so outside of this one.
    tags.unshift(id);
    if (tags.length > MOST_TAGS) {
      return {
        unresolved: `interface ${link.name} stacks more than ${MOST_TAGS} VLAN tags, which is more than the fast path reads`,
      };
    }
    const below = parent === null ? undefined : get(parent);
    if (below === undefined) {
      return {
        unresolved: `the interface below the VLAN ${device.name} is not in this network namespace; put both into one`,
      };
    }
    device = below;
  }
  const bond = device.master === 0 ? undefined : get(device.master);
  if (bond !== undefined && bond.bond !== null) device = bond;
  return { device, vlan: tags.length === 0 ? untagged : tags };
}

export interface Bond {
  /** As `ip link` and modprobe call it. */
  readonly mode: string;
  readonly hashPolicy: string;
  readonly ports: readonly Link[];
}

/** In the order of BOND_MODE_* (include/uapi/linux/if_bonding.h). */
const MODES = [
  'balance-rr',
  'active-backup',
  'balance-xor',
  'broadcast',
  '802.3ad',
  'balance-tlb',
  'balance-alb',
];
/** In the order of BOND_XMIT_POLICY_*. */
const HASH_POLICIES = [
  'layer2',
  'layer3+4',
  'layer2+3',
  'encap2+3',
  'encap3+4',
  'vlan+srcmac',
] as const;

/** How a bond works and over which ports; null for what is none. */
export function bondOf(link: Link, all: readonly Link[]): Bond | null {
  if (link.bond === null) return null;
  return { ...names(link.bond), ports: all.filter(({ master }) => master === link.index) };
}

function names({ mode, hashPolicy }: BondDevice): Omit<Bond, 'ports'> {
  return {
    mode: MODES[mode] ?? `mode ${mode}`,
    hashPolicy: HASH_POLICIES[hashPolicy] ?? `policy ${hashPolicy}`,
  };
}
