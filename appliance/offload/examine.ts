/**
 * The hardware of a unit as the report of it needs it: every Ethernet interface examined and held
 * against its profile.
 *
 * Invariant: an interface that goes away while it is examined is left out, never an error.
 */
import { SystemError } from '../../native/ffi/libc.js';
import type { HardwareCheck } from '../api/contract.js';
import type { Link } from '../net/wire.js';
import { adviseHardware, type Situation } from './advice.js';
import { examine, inspect, type Examination } from './hardware.js';
import type { Profile, Profiles } from './profiles.js';

export interface ExaminedInterface {
  readonly seen: Examination;
  readonly profile: Profile;
  /** Why this profile. */
  readonly matched: string;
  readonly checks: readonly HardwareCheck[];
}

/** Whether an interface could carry traffic of services. */
export function couldCarry(link: Link): boolean {
  return link.ethernet && !link.loopback;
}

/** Null when the interface went away. Throws SystemError. */
export function examineInterface(
  profiles: Profiles,
  name: string,
  situation: Situation,
): ExaminedInterface | null {
  const seen = unlessGone(() => examine(name));
  if (seen === null) return null;
  const profile = profiles.match(seen);
  return {
    seen,
    profile,
    matched: whyMatched(profile, seen.driver),
    checks: adviseHardware(profile, seen, situation),
  };
}

export function whyMatched(profile: Profile, driver: string): string {
  if (profile.match.drivers.includes(driver)) return `the driver says that it is ${driver}`;
  return driver === ''
    ? 'the device has no driver that says its name'
    : `no profile is for the driver ${driver}`;
}

/** Profiles of the interfaces that are there now. Throws SystemError. */
export function hardwareProfiles(
  profiles: Profiles,
  network: { links(): readonly Link[] },
): Profile[] {
  const found = network
    .links()
    .filter(couldCarry)
    .map(({ name }) => unlessGone(() => profiles.match(inspect(name))));
  return found.filter((profile) => profile !== null);
}

function unlessGone<T>(work: () => T): T | null {
  try {
    return work();
  } catch (error) {
    if (error instanceof SystemError && error.code === 'ENODEV') return null;
    throw error;
  }
}
