/** `lint`, `schema`, `reference`: without any daemon. And the help, word for word. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { withFolder } from '../api/fixture.js';
import { weir } from './weir.js';

const test = suite('cli: language and help');
const none = { socket: '/nonexistent/weir.sock' };

const VALID = `version: 1
unit: { name: weir-a }
pools:
  web:
    algorithm: maglev
    members:
      - { address: 10.0.1.11, port: 8080 }
services:
  shop:
    listen: { address: 10.0.0.80, port: 80, protocol: tcp }
    forwarding: nat
    pool: web
`;

test('lint: a valid document', () =>
  withFolder(async (folder) => {
    const file = join(folder, 'weir.yaml');
    writeFileSync(file, VALID);
    const ran = await weir(['lint', file], none);
    assert.equal(ran, { code: 0, out: `${file} is valid.\n`, err: '' });
    const json = await weir(['lint', '-', '--json'], { ...none, input: VALID });
    assert.is(json.code, 0);
    assert.equal(JSON.parse(json.out), { valid: true, errors: [], warnings: [], notes: [] });
  }));

test('lint: an error names its place, exit 4; JSON on stdout', async () => {
  const text = VALID.replace('algorithm: maglev', 'algorithm: maglew');
  const ran = await weir(['lint', '-'], { ...none, input: text });
  assert.equal([ran.code, ran.out], [4, '']);
  assert.match(ran.err, /^<stdin>:5:\d+: pools\.web\.algorithm: .*maglew.*maglev/);
  assert.match(ran.err, /\nweir: <stdin> is not valid: 1 error\.\n$/);
  const json = await weir(['lint', '-', '--json'], { ...none, input: text });
  assert.is(json.code, 4);
  const result = JSON.parse(json.out) as {
    valid: boolean;
    errors: { line: number; path: string }[];
  };
  assert.equal([result.valid, result.errors.length, result.errors[0]?.line], [false, 1, 5]);
});

test('lint: what this build cannot execute is a note, exit 0', async () => {
  const text = VALID.replace('forwarding: nat', 'forwarding: full-nat');
  const ran = await weir(['lint', '-'], { ...none, input: text });
  assert.equal([ran.code, ran.err], [0, '']);
  assert.match(ran.out, /^note: <stdin>:11:17: services\.shop\.forwarding: .*full-nat/);
  assert.match(ran.out, /is valid, but this build cannot execute one part of it/);
});

test('lint: no YAML at all', async () => {
  const ran = await weir(['lint', '-'], { ...none, input: 'a: [1,' });
  assert.is(ran.code, 4);
  assert.match(ran.err, /<stdin>:\d+:\d+: /);
});

test('schema is JSON Schema; reference is a text that knows the keys', async () => {
  const schema = await weir(['schema'], none);
  assert.is(schema.code, 0);
  const value = JSON.parse(schema.out) as {
    $schema?: string;
    properties?: Record<string, unknown>;
  };
  assert.match(value.$schema ?? '', /json-schema\.org/);
  assert.ok(value.properties?.['services'], 'the schema knows no services');
  const reference = await weir(['reference'], none);
  assert.is(reference.code, 0);
  for (const word of ['pools', 'algorithm', 'forwarding', 'monitor'])
    assert.match(reference.out, word);
});

/** Every command that help shows, in its order. */
const COMMANDS = [
  '',
  'status',
  'show',
  'show services',
  'show pools',
  'show members',
  'show member',
  'show flows',
  'show events',
  'show drops',
  'show traffic',
  'show tiers',
  'show counters',
  'apply',
  'confirm',
  'diff',
  'export',
  'set',
  'set member',
  'test',
  'test member',
  'hardware',
  'access',
  'access show',
  'access test',
  'access deny',
  'access allow',
  'access remove',
  'access reload',
  'cert',
  'cert list',
  'cert show',
  'cert import',
  'cert csr',
  'cert self-signed',
  'cert ca',
  'cert export',
  'cert remove',
  'pair',
  'pair invite',
  'pair join',
  'pair status',
  'pair failover',
  'pair leave',
  'history',
  'rollback',
  'backup',
  'backup show',
  'restore',
  'support-bundle',
  'factory-reset',
  'reboot',
  'power-off',
  'lint',
  'schema',
  'reference',
  'daemon',
  'detach',
  'completion',
  'help',
];
const golden = fileURLToPath(new URL('../../../../test/unit/cli/golden/help.txt', import.meta.url));

test('the help of every command is the one in golden/help.txt (WEIR_UPDATE_GOLDEN=1 writes it)', async () => {
  const parts: string[] = [];
  for (const command of COMMANDS) {
    const words = [...command.split(' ').filter((word) => word !== ''), '--help'];
    const ran = await weir(words, none);
    assert.equal([ran.code, ran.err], [0, ''], command);
    if (!command.startsWith('show') && command !== 'set')
      assert.match(ran.out, /\nExamples:\n {2}\$ /, command);
    parts.push(`$ weir ${words.join(' ')}\n${ran.out}`);
  }
  const seen = parts.join('\n');
  if (process.env['WEIR_UPDATE_GOLDEN'] === '1') writeFileSync(golden, seen);
  assert.ok(existsSync(golden), `there is no ${golden}`);
  assert.fixture(seen, readFileSync(golden, 'utf8'));
});

test('the version is that of package.json', async () => {
  const { version } = JSON.parse(
    readFileSync(new URL('../../../../package.json', import.meta.url), 'utf8'),
  ) as { version: string };
  assert.equal(await weir(['--version'], none), { code: 0, out: `${version}\n`, err: '' });
});

test.run();
