/** The hardware profiles: those we ship, the schema beside them, and what a bad one says. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { z } from 'zod';
import { inspect } from '../../../appliance/offload/hardware.js';
import { profileSchema } from '../../../appliance/offload/profile-schema.js';
import {
  adviseModes,
  matchProfile,
  ProfileError,
  Profiles,
  tableSizes,
  persistentSources,
  unitTableSizes,
  type BondOfPorts,
} from '../../../appliance/offload/profiles.js';
import { SystemError } from '../../../native/ffi/libc.js';

const folder = join(import.meta.dirname, '../../../../firmware-profiles');
const generic = readFileSync(join(folder, 'generic.json'), 'utf8');

/** Loads a folder with these files in it. */
function load(files: Readonly<Record<string, string>>): Profiles {
  const temporary = mkdtempSync(join(tmpdir(), 'weirtest-profiles-'));
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(temporary, name), text);
    return Profiles.load(temporary);
  } finally {
    rmSync(temporary, { recursive: true });
  }
}

function edited(change: (profile: Record<string, unknown>) => void): string {
  const profile = JSON.parse(generic) as Record<string, unknown>;
  change(profile);
  return JSON.stringify(profile);
}

function messageOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    assert.instance(error, ProfileError);
    return (error as ProfileError).message;
  }
  throw new Error('expected a ProfileError, seen none');
}

test('every shipped profile loads, and drivers find theirs', () => {
  assert.is(matchProfile({ driver: 'veth' }).name, 'veth');
  assert.is(matchProfile({ driver: 'virtio_net' }).name, 'virtio_net');
  assert.is(matchProfile({ driver: 'e1000' }).name, 'generic');
  assert.is(matchProfile({ driver: '' }).name, 'generic');
});

/** What the drivers themselves check (see the sources of each profile), for 4 KiB pages. */
const facts: readonly (readonly [driver: string, mtu: number | null])[] = [
  ['i40e', 3046],
  ['ice', 3046],
  ['ixgbe', 3050],
  ['igb', 3046],
  ['igc', 1500],
  ['mlx5_core', 3498],
  ['bnxt_en', 3500],
  ['ena', 3498],
  ['nfp', 3370],
  ['virtio_net', 3506],
  ['veth', 3506],
  ['bonding', null],
];

for (const [driver, mtu] of facts) {
  test(`${driver} has a profile of its own, native first, with its MTU bound`, () => {
    const profile = matchProfile({ driver });
    assert.is(profile.name, driver);
    assert.equal(profile.xdp.modes, ['native', 'generic']);
    assert.is(profile.xdp['native-mtu'], mtu);
    assert.ok(profile.sources.length > 0);
    if (mtu === null) return;
    const obstacles = [mtu, mtu + 1].map(
      (value) => adviseModes(profile, { mtu: value, interfaces: 1 })[0]?.obstacle ?? null,
    );
    assert.is(obstacles[0], null, 'expected native mode at the bound');
    assert.match(obstacles[1] ?? '', `its MTU of ${mtu + 1} is more than native XDP takes`);
  });
}

test('the table of the README has every profile with its MTU bound', () => {
  const readme = readFileSync(join(folder, '../README.md'), 'utf8');
  const files = readdirSync(folder).filter((file) => file !== 'profile.schema.json');
  for (const file of files) {
    const name = file.replace(/\.json$/, '');
    const row = readme.split('\n').find((line) => line.startsWith(`| \`${name}\` |`));
    assert.ok(row, `expected a row for ${name} in README.md`);
    const mtu = facts.find(([driver]) => driver === name)?.[1] ?? null;
    if (mtu !== null) assert.is(row?.split('|')[3]?.trim(), String(mtu), name);
  }
});

test('a driver that cannot redirect is native only alone', () => {
  const nfp = matchProfile({ driver: 'nfp' });
  assert.ok(nfp.xdp.offload, 'the card runs programs itself');
  const obstacle = (interfaces: number): string | null =>
    adviseModes(nfp, { mtu: 1500, interfaces })[0]?.obstacle ?? null;
  assert.is(obstacle(1), null);
  assert.match(obstacle(2) ?? '', 'only by the interface that it came in by');
});

const port = (driver: string, mtu = 1500): BondOfPorts['ports'][number] => ({
  name: `${driver}0`,
  mtu,
  driver,
  profile: matchProfile({ driver }),
});

for (const [what, bond, expected] of [
  ['802.3ad over two', { mode: '802.3ad', ports: [port('ice'), port('ixgbe')] }, null],
  ['active-backup over one', { mode: 'active-backup', ports: [port('igc')] }, null],
  [
    'active-backup with a hash that it does not use',
    { mode: 'active-backup', hashPolicy: 'vlan+srcmac', ports: [port('ice')] },
    null,
  ],
  ['balance-alb', { mode: 'balance-alb', ports: [port('ice')] }, /mode balance-alb takes no/],
  ['broadcast', { mode: 'broadcast', ports: [port('ice')] }, /mode broadcast takes no native/],
  [
    'vlan+srcmac',
    { mode: 'balance-xor', hashPolicy: 'vlan+srcmac', ports: [port('ice')] },
    /use layer3\+4$/,
  ],
  ['no ports', { mode: '802.3ad', ports: [] }, /has no ports yet/],
  [
    'a port whose MTU is too large',
    { mode: '802.3ad', ports: [port('ice'), port('igc', 1501)] },
    /^its port igc0 cannot: its MTU of 1501/,
  ],
  [
    'a port that cannot send for another',
    { mode: '802.3ad', ports: [port('nfp')] },
    /^its port nfp0 cannot: its driver can send/,
  ],
] as const) {
  test(`a bond is what its mode and its ports are: ${what}`, () => {
    const [native] = adviseModes(matchProfile({ driver: 'bonding' }), {
      mtu: 9000,
      interfaces: 1,
      bond: { hashPolicy: 'layer2', ...bond },
    });
    if (expected === null) assert.is(native?.obstacle, null);
    else assert.match(native?.obstacle ?? 'none', expected);
  });
}

test('the tables of a unit are the largest that its hardware asks for', () => {
  const fallback = matchProfile({ driver: '' });
  const [igb, ice] = [matchProfile({ driver: 'igb' }), matchProfile({ driver: 'ice' })];
  const gib = 2 ** 30;
  assert.is(unitTableSizes([], fallback, 128 * gib).profile, 'generic');
  assert.is(unitTableSizes([igb], fallback, 128 * gib).sizes.flows, 4_194_304);
  assert.equal(unitTableSizes([igb, ice], fallback, 128 * gib), {
    profile: 'ice',
    sizes: { 'memory-mib': 65_536, flows: 16_777_216, 'lookup-chunks': 2_097_152 },
  });
  assert.is(unitTableSizes([igb, ice], fallback, 4 * gib).sizes.flows, 1_048_576);
});

test('the JSON Schema for editors says what the checks say', () => {
  const file = join(folder, 'profile.schema.json');
  const generated = {
    ...z.toJSONSchema(profileSchema, { io: 'input' }),
    title: 'Weir hardware profile',
  };
  // After a change of the checks: WEIR_UPDATE_GOLDEN=1 writes the file anew.
  if (process.env['WEIR_UPDATE_GOLDEN'] === '1') {
    writeFileSync(file, `${JSON.stringify(generated, null, 2)}\n`);
  }
  const written: unknown = JSON.parse(readFileSync(file, 'utf8'));
  assert.equal(written, JSON.parse(JSON.stringify(generated)));
});

test('every shipped profile points editors at the schema', () => {
  const files = readdirSync(folder).filter((file) => file !== 'profile.schema.json');
  assert.ok(files.length >= 3);
  for (const file of files) {
    const profile = JSON.parse(readFileSync(join(folder, file), 'utf8')) as { $schema?: string };
    assert.is(profile.$schema, './profile.schema.json', file);
  }
});

const bad: readonly {
  readonly what: string;
  readonly files: () => Readonly<Record<string, string>>;
  readonly message: RegExp;
}[] = [
  { what: 'not JSON', files: () => ({ 'generic.json': '{' }), message: /generic\.json: .*JSON/ },
  {
    what: 'unknown key',
    files: () => ({ 'generic.json': edited((profile) => (profile['speed'] = 1)) }),
    message: /generic\.json: .*speed/,
  },
  {
    what: 'unknown mode',
    files: () => ({ 'generic.json': generic.replace('"native",', '"turbo",') }),
    message: /xdp\.modes\.0/,
  },
  {
    what: 'no row for small machines',
    files: () => ({ 'generic.json': generic.replace('"memory-mib": 0', '"memory-mib": 1') }),
    message: /tables\.0\.memory-mib: the first row must be for 0 MiB/,
  },
  {
    what: 'rows out of order',
    files: () => ({ 'generic.json': generic.replace('"memory-mib": 2048', '"memory-mib": 1024') }),
    message: /tables: must be in the order of memory/,
  },
  {
    what: 'another name than its file',
    files: () => ({ 'generic.json': generic, 'other.json': generic }),
    message: /other\.json: calls itself generic/,
  },
  {
    what: 'two for one driver',
    files: () => ({
      'a.json': edited((profile) =>
        Object.assign(profile, { name: 'a', match: { drivers: ['x'] } }),
      ),
      'b.json': edited((profile) =>
        Object.assign(profile, { name: 'b', match: { drivers: ['x'] } }),
      ),
      'generic.json': generic,
    }),
    message: /b\.json: driver x belongs to a too/,
  },
  { what: 'no fallback', files: () => ({}), message: /no profile with an empty list of drivers/ },
  {
    what: 'two fallbacks',
    files: () => ({
      'a.json': edited((profile) => (profile['name'] = 'a')),
      'generic.json': generic,
    }),
    message: /both a and generic are for unknown hardware/,
  },
];

for (const { what, files, message } of bad) {
  test(`a bad profile is a clear error: ${what}`, () => {
    assert.match(
      messageOf(() => load(files())),
      message,
    );
  });
}

test('table sizes grow with memory', () => {
  const profile = matchProfile({ driver: '' });
  const gib = 2 ** 30;
  const flows = [0, 0.5, 1, 3, 4, 64].map((memory) => tableSizes(profile, memory * gib).flows);
  assert.equal(flows, [65_536, 65_536, 262_144, 524_288, 1_048_576, 4_194_304]);
});

test('an MTU that native XDP cannot take is known before trying', () => {
  const veth = matchProfile({ driver: 'veth' });
  assert.equal(
    adviseModes(veth, { mtu: 3506, interfaces: 1 }).map(({ obstacle }) => obstacle),
    [null, null],
  );
  const [native, fallback] = adviseModes(veth, { mtu: 9000, interfaces: 1 });
  assert.match(native?.obstacle ?? '', 'MTU of 9000');
  assert.is(fallback?.obstacle, null);
});

test('an interface without driver information has no driver, a missing one is an error', () => {
  assert.is(inspect('lo').driver, '');
  for (const name of ['weir-none0', '', 'a-name-longer-than-the-kernel-takes']) {
    assert.throws(
      () => inspect(name),
      (error: unknown) => error instanceof SystemError && error.code === 'ENODEV',
    );
  }
});

test('the table of sources grows with the flow table, up to a million', () => {
  assert.is(persistentSources({ flows: 65_536 }), 16_384);
  assert.is(persistentSources({ flows: 1_048_576 }), 262_144);
  assert.is(persistentSources({ flows: 67_108_864 }), 1_048_576);
});

test.run();
