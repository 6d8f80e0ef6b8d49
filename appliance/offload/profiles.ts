/**
 * The hardware profiles: loaded from firmware-profiles/ at start, matched with what a driver says.
 *
 * Invariants: a profile that does not fit its schema stops the start with a sentence that names
 * file and field; exactly one profile, the fallback, matches everything else.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { profileSchema, type Profile, type TableSizes, type XdpMode } from './profile-schema.js';

export type { Profile, TableSizes, XdpMode } from './profile-schema.js';

const FOLDER = 'firmware-profiles';
const SCHEMA_FILE = 'profile.schema.json';

/** A profile that cannot be used. */
export class ProfileError extends Error {
  readonly code = 'PROFILE';
  readonly file: string;

  constructor(file: string, what: string, cause?: unknown) {
    super(
      `hardware profile ${file}: ${what}; correct the file or install the package again`,
      cause === undefined ? undefined : { cause },
    );
    this.name = 'ProfileError';
    this.file = file;
  }
}

export class Profiles {
  readonly #byDriver: ReadonlyMap<string, Profile>;
  readonly fallback: Profile;

  private constructor(byDriver: ReadonlyMap<string, Profile>, fallback: Profile) {
    this.#byDriver = byDriver;
    this.fallback = fallback;
  }

  /** Throws ProfileError. */
  static load(folder: string = defaultFolder()): Profiles {
    const byDriver = new Map<string, Profile>();
    const fallbacks: Profile[] = [];
    const files = readdirSync(folder).filter(
      (file) => file.endsWith('.json') && file !== SCHEMA_FILE,
    );
    for (const file of files.sort()) {
      const profile = readProfile(join(folder, file));
      if (`${profile.name}.json` !== file) {
        throw new ProfileError(join(folder, file), `calls itself ${profile.name}`);
      }
      if (profile.match.drivers.length === 0) fallbacks.push(profile);
      for (const driver of profile.match.drivers) {
        const other = byDriver.get(driver);
        if (other !== undefined) {
          throw new ProfileError(
            join(folder, file),
            `driver ${driver} belongs to ${other.name} too`,
          );
        }
        byDriver.set(driver, profile);
      }
    }
    const [fallback, second] = fallbacks;
    if (fallback === undefined) {
      throw new ProfileError(
        folder,
        'no profile with an empty list of drivers, for unknown hardware',
      );
    }
    if (second !== undefined) {
      throw new ProfileError(
        folder,
        `both ${fallback.name} and ${second.name} are for unknown hardware`,
      );
    }
    return new Profiles(byDriver, fallback);
  }

  /** The profile of a driver, or the fallback. */
  match({ driver }: { readonly driver: string }): Profile {
    return this.#byDriver.get(driver) ?? this.fallback;
  }
}

let loaded: Profiles | null = null;

/** The profile of a driver from the installed profiles, which are read once. Throws ProfileError. */
export function matchProfile(hardware: { readonly driver: string }): Profile {
  loaded ??= Profiles.load();
  return loaded.match(hardware);
}

function readProfile(path: string): Profile {
  let data: unknown;
  try {
    data = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new ProfileError(path, error instanceof Error ? error.message : 'cannot be read', error);
  }
  const result = profileSchema.safeParse(data);
  if (result.success) return result.data;
  const problems = result.error.issues.map(({ path: where, message }) => {
    const field = where.map(String).join('.');
    return field === '' ? message : `${field}: ${message}`;
  });
  throw new ProfileError(path, problems.join('; '), result.error);
}

/** firmware-profiles/ beside package.json, from the sources as from the build. */
function defaultFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const candidate = join(folder, FOLDER);
    if (existsSync(join(candidate, SCHEMA_FILE))) return candidate;
    const parent = dirname(folder);
    if (parent === folder) throw new ProfileError(FOLDER, 'the folder is missing');
    folder = parent;
  }
}

/** Table sizes and the profile that they were taken from. */
export interface ChosenSizes {
  readonly profile: string;
  readonly sizes: TableSizes;
}

/**
 * Table sizes of a whole unit: the largest that a profile of its hardware has for this memory.
 * Without any hardware those of the fallback.
 */
export function unitTableSizes(
  hardware: readonly Profile[],
  fallback: Profile,
  memoryBytes: number,
): ChosenSizes {
  let best: ChosenSizes = { profile: fallback.name, sizes: tableSizes(fallback, memoryBytes) };
  for (const profile of hardware) {
    const sizes = tableSizes(profile, memoryBytes);
    if (sizes.flows > best.sizes.flows) best = { profile: profile.name, sizes };
  }
  return best;
}

/** Table sizes for a machine with this many bytes of memory. */
export function tableSizes(profile: Profile, memoryBytes: number): TableSizes {
  const mib = memoryBytes / 2 ** 20;
  const fitting = profile.tables.filter((row) => row['memory-mib'] <= mib).at(-1);
  if (fitting === undefined) throw new ProfileError(profile.name, 'no table sizes for 0 MiB');
  return fitting;
}

/** A source that persistence remembers has several flows, most of the time. */
const MOST_SOURCES = 2 ** 20;
const FLOWS_A_SOURCE = 4;

/** Entries of the table of sources that goes with a flow table of this size. */
export function persistentSources({ flows }: Pick<TableSizes, 'flows'>): number {
  return Math.min(MOST_SOURCES, Math.ceil(flows / FLOWS_A_SOURCE));
}

export interface ModeAdvice {
  readonly mode: XdpMode;
  /** Why this mode cannot work here, known before trying; null: try it. */
  readonly obstacle: string | null;
}

/** What besides the profile decides whether native mode can work. */
export interface Surroundings {
  readonly mtu: number;
  /** Interfaces of the fast path, this one included. */
  readonly interfaces: number;
  /** Of a bond only. */
  readonly bond?: BondOfPorts;
}

export interface BondOfPorts {
  /** As `ip link` calls it. */
  readonly mode: string;
  readonly hashPolicy: string;
  readonly ports: readonly {
    readonly name: string;
    readonly mtu: number;
    readonly driver: string;
    readonly profile: Profile;
  }[];
}

/** The modes to try on an interface, the best first. */
export function adviseModes(profile: Profile, around: Surroundings): readonly ModeAdvice[] {
  return profile.xdp.modes.map((mode) => ({
    mode,
    obstacle: mode === 'native' ? nativeObstacle(profile, around) : null,
  }));
}

function nativeObstacle(profile: Profile, around: Surroundings): string | null {
  const { bond, mtu, interfaces } = around;
  if (bond !== undefined) return bondObstacle(bond);
  const limit = profile.xdp['native-mtu'];
  if (limit !== null && mtu > limit) {
    return `its MTU of ${mtu} is more than native XDP takes with this driver (${limit})`;
  }
  if (!profile.xdp.redirect && interfaces > 1) {
    return `its driver can send a frame only by the interface that it came in by, and the fast path has ${interfaces}`;
  }
  return null;
}

/** bond_xdp_check in drivers/net/bonding/bond_main.c. */
const BOND_MODES = ['balance-rr', 'active-backup', 'balance-xor', '802.3ad'];
const HASHING_MODES = ['balance-xor', '802.3ad'];

/** A bond is what its ports are, and sends from one to another. */
function bondObstacle({ mode, hashPolicy, ports }: BondOfPorts): string | null {
  if (!BOND_MODES.includes(mode)) {
    return `a bond in mode ${mode} takes no native program; use ${BOND_MODES.join(', ')}`;
  }
  if (HASHING_MODES.includes(mode) && hashPolicy === 'vlan+srcmac') {
    return `a bond with the hash policy ${hashPolicy} takes no native program; use layer3+4`;
  }
  if (ports.length === 0) return 'the bond has no ports yet';
  for (const { name, mtu, driver, profile } of ports) {
    const why = profile.xdp.modes.includes('native')
      ? nativeObstacle(profile, { mtu, interfaces: Math.max(2, ports.length) })
      : `the driver ${driver} has no native mode`;
    if (why !== null) return `its port ${name} cannot: ${why}`;
  }
  return null;
}
