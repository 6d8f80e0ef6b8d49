/** From an interface of the unit to what the fast path must know of it: driver, profile, modes. */
import { SystemError } from '../../native/ffi/libc.js';
import { inspect } from './hardware.js';
import { adviseModes, type ModeAdvice, type Profiles } from './profiles.js';

export interface InspectedInterface {
  readonly name: string;
  readonly index: number;
  readonly driver: string;
  readonly profile: string;
  readonly modes: readonly ModeAdvice[];
}

/** Null when the interface went away meanwhile. Throws SystemError. */
export function inspectInterface(
  profiles: Profiles,
  link: { readonly name: string; readonly index: number; readonly mtu: number },
): InspectedInterface | null {
  try {
    const { driver } = inspect(link.name);
    const profile = profiles.match({ driver });
    const { name, index, mtu } = link;
    return { name, index, driver, profile: profile.name, modes: adviseModes(profile, mtu) };
  } catch (error) {
    if (error instanceof SystemError && error.code === 'ENODEV') return null;
    throw error;
  }
}
