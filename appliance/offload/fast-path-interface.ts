/** From an interface of the unit to what the fast path must know of it: driver, profile, modes. */
import { SystemError } from '../../native/ffi/libc.js';
import { inspect } from './hardware.js';
import { adviseModes, type BondOfPorts, type ModeAdvice, type Profiles } from './profiles.js';

export interface InspectedInterface {
  readonly name: string;
  readonly index: number;
  readonly driver: string;
  readonly profile: string;
  readonly modes: readonly ModeAdvice[];
  /** Indices of the ports of a bond, by which its frames come in. */
  readonly ports: readonly number[];
}

export interface LinkToInspect {
  readonly name: string;
  readonly index: number;
  readonly mtu: number;
}

/** A bond as the network knows it. */
export interface BondToInspect {
  readonly mode: string;
  readonly hashPolicy: string;
  readonly ports: readonly LinkToInspect[];
}

/**
 * Null when the interface went away meanwhile. Throws SystemError.
 * @param interfaces how many interfaces the fast path has
 */
export function inspectInterface(
  profiles: Profiles,
  link: LinkToInspect,
  { bond, interfaces }: { readonly bond: BondToInspect | null; readonly interfaces: number },
): InspectedInterface | null {
  const { name, index, mtu } = link;
  try {
    const { driver } = inspect(name);
    const profile = profiles.match({ driver });
    const ports = bond === null ? null : bondOfPorts(profiles, bond);
    const around = { mtu, interfaces, ...(ports === null ? {} : { bond: ports }) };
    return {
      name,
      index,
      driver,
      profile: profileName(profile.name, ports),
      modes: adviseModes(profile, around),
      ports: bond?.ports.map((port) => port.index) ?? [],
    };
  } catch (error) {
    if (error instanceof SystemError && error.code === 'ENODEV') return null;
    throw error;
  }
}

/** Throws SystemError with code ENODEV when a port went away meanwhile. */
export function bondOfPorts(profiles: Profiles, bond: BondToInspect): BondOfPorts {
  const ports = bond.ports.map(({ name, mtu }) => {
    const { driver } = inspect(name);
    return { name, mtu, driver, profile: profiles.match({ driver }) };
  });
  return { mode: bond.mode, hashPolicy: bond.hashPolicy, ports };
}

/** A bond says what it is made of. */
function profileName(own: string, bond: BondOfPorts | null): string {
  const parts = [...new Set(bond?.ports.map(({ profile }) => profile.name) ?? [])];
  return parts.length === 0 ? own : `${own} of ${parts.join(' and ')}`;
}
