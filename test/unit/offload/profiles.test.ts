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
    adviseModes(veth, 3506).map(({ obstacle }) => obstacle),
    [null, null],
  );
  const [native, fallback] = adviseModes(veth, 9000);
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

test.run();
