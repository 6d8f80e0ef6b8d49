/**
 * The report of the hardware: what the offload tier found, what the network knows, and what came
 * of attaching, joined. Reads only.
 */
import { existsSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import type { HardwareInterface, HardwareReport } from '../api/contract.js';
import { libbpfVersion } from '../../native/ffi/libbpf.js';
import type { AttachOutcome } from '../l4/attach.js';
import { carrierOf, type Bond } from '../net/carriers.js';
import type { Link } from '../net/wire.js';
import { couldCarry, examineInterface, type ExaminedInterface } from '../offload/examine.js';
import type { ChosenSizes, Profiles } from '../offload/profiles.js';

export interface HardwareParts {
  readonly profiles: Profiles;
  readonly tableSizes: ChosenSizes;
  readonly network: {
    links(): readonly Link[];
    bond(interfaceIndex: number): Bond | null;
  };
  readonly tier: { readonly outcomes: readonly AttachOutcome[] };
}

/** Where the kernel tells its own types (Documentation/bpf/btf.rst). */
const KERNEL_BTF = '/sys/kernel/btf/vmlinux';

/** Throws SystemError when an interface cannot be asked. */
export function hardwareReport(parts: HardwareParts): HardwareReport {
  const { profiles, network, tier, tableSizes } = parts;
  const links = network.links();
  const byIndex = new Map(links.map((link) => [link.index, link]));
  const cores = cpus();
  const outcomes = new Map(tier.outcomes.map((outcome) => [outcome.interface.index, outcome]));
  const tagged = carriersOfTags(links, byIndex);
  const interfaces: HardwareInterface[] = [];
  for (const link of links.filter(couldCarry)) {
    const situation = { mtu: link.mtu, cpus: cores.length, vlan: tagged.has(link.index) };
    const examined = examineInterface(profiles, link.name, situation);
    if (examined === null) continue;
    const carrier = carrierOf(link, (index) => byIndex.get(index));
    interfaces.push(
      interfaceView(link, examined, {
        carrier: 'unresolved' in carrier ? null : carrier,
        problem: 'unresolved' in carrier ? carrier.unresolved : null,
        bond: network.bond(link.index),
        outcome: outcomes.get(link.index),
      }),
    );
  }
  const { profile, sizes } = tableSizes;
  return {
    machine: {
      cpu: cores[0]?.model ?? 'unknown',
      cores: cores.length,
      memoryBytes: totalmem(),
      kernel: release(),
      btf: existsSync(KERNEL_BTF),
      libbpf: libbpfVersion(),
    },
    tables: {
      flows: sizes.flows,
      lookupChunks: sizes['lookup-chunks'],
      why: `the profile ${profile} has them for ${sizes['memory-mib']} MiB of memory and more; a table that was pinned before may still have another size, see weir show tiers`,
    },
    interfaces,
  };
}

/** Indices of the interfaces that VLAN devices and ports of bonds with VLANs send through. */
function carriersOfTags(
  links: readonly Link[],
  byIndex: ReadonlyMap<number, Link>,
): ReadonlySet<number> {
  const found = new Set<number>();
  for (const link of links) {
    const carrier = carrierOf(link, (index) => byIndex.get(index));
    if (!('unresolved' in carrier) && carrier.vlan.length > 0) found.add(carrier.device.index);
  }
  for (const { index, master } of links) if (found.has(master)) found.add(index);
  return found;
}

interface Joined {
  readonly carrier: { readonly device: Link; readonly vlan: readonly number[] } | null;
  /** Why it has no carrier. */
  readonly problem: string | null;
  readonly bond: Bond | null;
  readonly outcome: AttachOutcome | undefined;
}

function interfaceView(
  link: Link,
  { seen, profile, matched, checks }: ExaminedInterface,
  { carrier, problem, bond, outcome }: Joined,
): HardwareInterface {
  const carried = carrier === null || carrier.device === link ? null : carrier.device.name;
  return {
    name: link.name,
    driver: seen.driver,
    version: seen.version,
    firmware: seen.firmware,
    bus: seen.bus,
    profile: profile.name,
    title: profile.title,
    matched,
    up: link.up,
    running: link.running,
    mtu: link.mtu,
    speed: seen.speed,
    carrier: carried,
    vlan: carrier?.vlan ?? [],
    bond:
      bond === null
        ? null
        : {
            mode: bond.mode,
            hashPolicy: bond.hashPolicy,
            ports: bond.ports.map(({ name }) => name),
          },
    fastPath: outcome !== undefined,
    mode: outcome?.attachment?.mode ?? null,
    why: outcome?.why ?? problem ?? notOfTheFastPath(carried),
    modes: profile.xdp.modes,
    offload: profile.xdp.offload ?? null,
    // What a VLAN device and a carried port are like is their carrier's or their own hardware's.
    checks: link.vlan === null ? checks : [],
    quirks: link.vlan === null ? profile.quirks : [],
  };
}

function notOfTheFastPath(carrier: string | null): string {
  return carrier === null
    ? 'not an interface of the fast path: see unit.interfaces'
    : `its frames pass ${carrier}, which the program runs on when it is one of the fast path's`;
}
