/** Certificates behind the API: imports, issuing, exports, the keeper's work, expiry, and that no key leaks. */
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PortError } from '../../../appliance/api/port.js';
import { checkDocument } from '../../../appliance/config/document.js';
import { formatConfigError } from '../../../appliance/config/errors.js';
import type { Document, Intent } from '../../../appliance/config/schema.js';
import { certificateErrors } from '../../../appliance/control/certificate-checks.js';
import { Certificates } from '../../../appliance/control/certificates.js';
import { EventLog } from '../../../appliance/telemetry/event-log.js';
import { CertificateStore } from '../../../appliance/tls/certificate-store.js';
import type { Issuer } from '../../../appliance/tls/keeper.js';
import { HandClock } from '../../support/hand-clock.js';
import { OpenSsl } from '../../support/openssl.js';

const test = suite<{ bench: Bench }>('certificates');
const DAY = 86_400_000;

class Bench {
  readonly folder = mkdtempSync(join(tmpdir(), 'weir-certificates-'));
  readonly openssl = new OpenSsl();
  readonly clock = new HandClock();
  standby: Intent | null = null;
  events!: EventLog;
  store!: CertificateStore;
  certificates!: Certificates;

  constructor() {
    this.open();
  }

  open(acme?: Issuer): void {
    const fail = (error: unknown): never => {
      throw error;
    };
    this.events = new EventLog({ onListenerError: fail });
    this.store = CertificateStore.open(this.folder, { onListenerError: fail });
    this.certificates = new Certificates({
      store: this.store,
      events: this.events,
      onError: fail,
      clock: this.clock,
      standby: () => this.standby,
      ...(acme === undefined ? {} : { acme }),
    });
  }

  async close(): Promise<void> {
    await this.certificates.close();
    this.store.close();
  }

  async restart(acme?: Issuer): Promise<void> {
    await this.close();
    this.open(acme);
  }

  import(name: string, files: readonly string[], change: object = {}) {
    const bytes = this.openssl.read(...files);
    return this.certificates.import({
      ...{ name, bytes, author: 'ada', replace: false, authority: false },
      ...change,
    });
  }

  make(name: string, change: object = {}) {
    return this.certificates.make({
      ...{ name, author: 'ada', replace: false, names: [name], key: 'ecdsa-p256' as const },
      ...{ lifetimeMs: 90 * DAY, clientAuth: false },
      ...change,
    });
  }

  messages(kind?: string): string[] {
    return this.events
      .latest(1000)
      .filter((event) => kind === undefined || event.kind === kind)
      .map(({ message }) => message);
  }
}

test.before.each((context) => {
  context.bench = new Bench();
});
test.after.each(async ({ bench }) => {
  await bench.close();
  bench.openssl.end();
  rmSync(bench.folder, { recursive: true, force: true });
});

async function refused(work: Promise<unknown>, code: string, why: RegExp): Promise<void> {
  try {
    await work;
  } catch (error) {
    assert.instance(error, PortError, String(error));
    assert.equal([(error as PortError).code, why.test(String(error))], [code, true], String(error));
    return;
  }
  assert.unreachable(`expected a refusal with ${String(why)}`);
}

function intentOf(change: Partial<Document>): Intent {
  const document: Document = { version: 1, unit: { name: 'a' }, ...change };
  const result = checkDocument(document);
  if (!result.ok) throw new Error(result.errors.map(formatConfigError).join('; '));
  return result.intent;
}

const SHOP: Partial<Document> = {
  pools: { web: { algorithm: 'random', members: [{ address: '10.0.0.1', port: 80 }] } },
  services: {
    shop: {
      listen: { address: '10.0.0.80', port: 443, protocol: 'https' },
      certificates: ['shop.example'],
      pool: 'web',
    },
  },
};

test('an import is there, told with its author, and replaced only when asked', async ({
  bench,
}) => {
  bench.openssl.make('shop.example');
  const files = ['shop.example.pem', 'shop.example.key'];
  const { certificate } = await bench.import('shop.example', files);
  assert.equal(
    [certificate.names, certificate.author, certificate.source, certificate.problem],
    [['shop.example'], 'ada', 'imported', null],
  );
  await refused(bench.import('shop.example', files), 'conflict', /--replace/);
  const again = await bench.import('shop.example', ['shop.example.pem'], { replace: true });
  assert.ok(again.certificate.generation > certificate.generation, 'expected a new generation');
  await refused(bench.import('no name!', files), 'invalid', /is no name/);
  assert.match(bench.messages('certificate')[0] ?? '', /^ada: certificate shop\.example imported/);
});

test('a request, signed by an authority with openssl, comes back as the certificate', async ({
  bench,
}) => {
  const { openssl, certificates } = bench;
  openssl.make('authority', { ca: true });
  const common = {
    name: 'shop.example',
    author: 'ada',
    clientAuth: false,
    key: 'rsa-2048',
  } as const;
  const made = await certificates.makeRequest({
    ...common,
    names: ['shop.example'],
    replace: false,
  });
  assert.is(made.kind, 'request');
  openssl.write('shop.csr', made.request ?? '');
  openssl.run(
    ...['x509', '-req', '-in', 'shop.csr', '-CA', 'authority.pem', '-CAkey', 'authority.key'],
    ...['-copy_extensions', 'copyall', '-days', '30', '-out', 'shop.pem'],
  );
  const { certificate } = await bench.import('shop.example', ['authority.pem', 'shop.pem']);
  assert.equal(
    [certificate.kind, certificate.chainLength, certificate.hasKey],
    ['certificate', 2, true],
  );
  assert.is((await certificates.list()).length, 1, 'expected the request to be gone');
  assert.is((await certificates.get('shop.example')).request, null);
});

test('an own authority signs, and openssl verifies', async ({ bench }) => {
  const { certificates, openssl } = bench;
  await certificates.makeAuthority({
    ...{ name: 'own', author: 'ada', key: 'ecdsa-p384', lifetimeMs: 30 * DAY, replace: false },
    subject: 'CN=Own, O=Shop',
  });
  const made = await bench.make('shop.example', { ca: 'own', names: ['shop.example', '::1'] });
  assert.match(made.warnings.join(), /ends with the authority own/);
  assert.equal([made.certificate.source, made.certificate.issuer], ['ca', 'CN=Own, O=Shop']);
  const ask = { author: 'ada', proven: false, format: 'pem', key: false } as const;
  openssl.write('own.pem', await certificates.export({ ...ask, name: 'own' }));
  openssl.write('shop.pem', await certificates.export({ ...ask, name: 'shop.example' }));
  const said = openssl.run('verify', '-x509_strict', '-CAfile', 'own.pem', 'shop.pem');
  assert.match(said, /OK/);
  await refused(bench.make('x', { ca: 'shop.example' }), 'invalid', /is no authority/);
  await refused(bench.make('x', { ca: 'none' }), 'not-found', /no certificate none/);
  await refused(bench.make('x', { names: ['a b'] }), 'invalid', /neither a host name/);
});

test('keys are exported for root only, with an event; openssl reads them', async ({ bench }) => {
  const { certificates, openssl } = bench;
  await bench.make('shop.example');
  const ask = { name: 'shop.example', author: 'root', format: 'pem', key: true } as const;
  await refused(certificates.export({ ...ask, proven: false }), 'forbidden', /to root/);
  assert.equal(bench.messages('certificate').length, 1, 'a refusal exports nothing');
  openssl.write('shop.pem', await certificates.export({ ...ask, proven: true }));
  assert.match(openssl.run('pkey', '-in', 'shop.pem', '-noout', '-check'), /Key is valid/);
  const p12 = { ...ask, proven: true, format: 'pkcs12', passphrase: 'sesame' } as const;
  openssl.write('shop.p12', await certificates.export(p12));
  openssl.run('pkcs12', '-in', 'shop.p12', '-passin', 'pass:sesame', '-nodes');
  await refused(certificates.export({ ...p12, passphrase: '' }), 'invalid', /4 characters/);
  assert.is(bench.messages().filter((one) => /root exported the private key/.test(one)).length, 2);
});

test('no key is in the files of the unit, its events, its rows, its errors or its export of the chain', async ({
  bench,
}) => {
  const { certificates, openssl } = bench;
  openssl.make('shop.example');
  openssl.make('rsa', { key: ['rsa:2048'] });
  await bench.import('shop.example', ['shop.example.pem', 'shop.example.key']);
  await bench.import('rsa', ['rsa.key', 'rsa.pem']);
  const said: string[] = [];
  const wrong = [
    bench.import('x', ['shop.example.pem', 'rsa.key']),
    bench.import('x', ['rsa.key']),
  ];
  for (const one of await Promise.allSettled(wrong)) {
    assert.is(one.status, 'rejected');
    if (one.status === 'rejected') said.push(String(one.reason), JSON.stringify(one.reason));
  }
  said.push(JSON.stringify([await certificates.list(), bench.events.latest(1000)]));
  for (const name of ['shop.example', 'rsa']) {
    said.push(JSON.stringify(await certificates.get(name)));
    const ask = { name, author: 'ada', proven: true, format: 'pem', key: false } as const;
    said.push((await certificates.export(ask)).toString('latin1'));
  }
  for (const file of readdirSync(bench.folder)) {
    said.push(readFileSync(join(bench.folder, file)).toString('latin1'));
  }
  for (const file of ['shop.example.key', 'rsa.key']) {
    for (const form of formsOf(createPrivateKey(openssl.read(file)))) {
      assert.not.ok(
        said.some((text) => text.toLowerCase().includes(form.toLowerCase())),
        `${file} is found in what the unit says or keeps`,
      );
    }
  }
});

/** A key's own number in octets, hexadecimal and base64, which depends on where it begins. */
function formsOf(key: KeyObject): string[] {
  const { d = '' } = key.export({ format: 'jwk' });
  const secret = Buffer.from(d, 'base64url').subarray(0, 32);
  const base64 = [0, 1, 2].map((at) => secret.subarray(at).toString('base64').slice(4, 28));
  return [secret.toString('latin1'), secret.toString('hex'), ...base64];
}

test('what is used or declared is not removed', async ({ bench }) => {
  const { certificates } = bench;
  await bench.make('shop.example');
  await certificates.follow(intentOf(SHOP));
  const removal = { name: 'shop.example', request: false, author: 'ada' };
  await refused(certificates.remove(removal), 'conflict', /used by shop:/);
  assert.equal((await certificates.list())[0]?.usedBy, ['shop']);
  await certificates.follow(intentOf({ certificates: { 'shop.example': { type: 'stored' } } }));
  await refused(certificates.remove(removal), 'conflict', /declared in the section/);
  await certificates.follow(intentOf({}));
  bench.standby = intentOf(SHOP);
  await refused(certificates.remove(removal), 'conflict', /comes back unless/);
  bench.standby = null;
  await certificates.remove(removal);
  await refused(certificates.remove(removal), 'not-found', /no certificate shop\.example/);
});

test('a document must have its certificates, in the section or in the store', async ({ bench }) => {
  const errors = (change: Partial<Document>): string[] =>
    certificateErrors(intentOf(change), bench.store).map(formatConfigError);
  assert.match(
    errors(SHOP)[0] ?? '',
    /^services\.shop\.certificates\[0\]: "shop\.example": the certificate store has none.*weir cert import/,
  );
  const stored = { certificates: { 'shop.example': { type: 'stored' } } } as const;
  assert.match(
    errors({ ...SHOP, ...stored }).join(),
    /^certificates\["shop\.example"\]: the certificate store has none[^,]*import it/,
  );
  const own: Partial<Document> = {
    certificates: { 'shop.example': { type: 'self-signed', names: ['shop.example'] } },
  };
  assert.equal(errors({ ...SHOP, ...own }), []);
  bench.openssl.make('shop.example');
  await bench.import('shop.example', ['shop.example.pem', 'shop.example.key']);
  assert.equal(errors({ ...SHOP, ...stored }), []);
  assert.equal(errors(SHOP), []);
  assert.match(
    errors(own).join(),
    /certificates\["shop\.example"\]\.type: the store has an imported certificate/,
  );
});

test('declared certificates are made at once, remade when they change, and renewed', async ({
  bench,
}) => {
  const { certificates, clock, store } = bench;
  const declare = (names: string[], key: 'ecdsa-p256' | 'rsa-2048' = 'ecdsa-p256') =>
    intentOf({ certificates: { lab: { type: 'self-signed', names, key, lifetime: '90d' } } });
  await certificates.follow(declare(['lab.example', '10.0.0.80']));
  const first = store.get('lab');
  assert.equal([first?.names, first?.author], [['lab.example', '10.0.0.80'], 'weir']);
  await certificates.follow(declare(['10.0.0.80', 'lab.example']));
  assert.is(store.get('lab')?.generation, first?.generation, 'the order of names is no change');
  await certificates.follow(declare(['lab.example'], 'rsa-2048'));
  assert.is(store.get('lab')?.key.bits, 2048);
  await certificates.follow(declare(['lab.example']));
  const generation = store.get('lab')?.generation ?? 0;
  await clock.pass(55 * DAY, () => certificates.settled());
  assert.is(store.get('lab')?.generation, generation, 'too early to be renewed');
  await clock.pass(6 * DAY, () => certificates.settled());
  assert.ok((store.get('lab')?.generation ?? 0) > generation, 'expected it to be renewed');
  assert.match(bench.messages('certificate').at(-1) ?? '', /renewed in good time/);
  assert.equal(bench.messages('certificate-expiring'), []);
  await refused(bench.make('lab', { replace: true }), 'conflict', /the unit renews it/);
});

test('an issuer that fails leaves what is there, is an alarm, and is asked again', async ({
  bench,
}) => {
  let failures = 2;
  const asked: number[] = [];
  const source = { prompt: true } as const;
  await bench.restart({
    ...source,
    issue: async (name) => {
      asked.push(bench.clock.now());
      if (failures-- > 0) throw new Error('the authority is not there.');
      await bench.make(`${name}-2`, { names: [name] });
      return {
        chain: [...bench.store.chain(`${name}-2`)],
        key: bench.store.privateKey(`${name}-2`) ?? Buffer.alloc(0),
      };
    },
  });
  const { certificates } = bench;
  const done = certificates.follow(
    intentOf({
      certificates: { pub: { type: 'acme', names: ['pub'], directory: 'https://acme.example/' } },
    }),
  );
  await done;
  const alarms = certificates.alarms();
  assert.equal([alarms.length, alarms[0]?.code], [1, 'certificate-unusable']);
  assert.match(
    alarms[0]?.message ?? '',
    /pub cannot be obtained: the authority is not there; it is tried again/,
  );
  const [row] = await certificates.list();
  assert.equal(
    [row?.name, row?.generation, row?.names, row?.key, row?.renewal?.failures, row?.renewal?.at],
    ['pub', 0, ['pub'], { type: 'ecdsa', curve: 'P-256' }, 1, bench.clock.now() + 60_000],
  );
  assert.match((await certificates.get('pub')).renewal?.problem ?? '', /is not there/);
  const settled = (): Promise<void> => certificates.settled();
  await bench.clock.pass(61_000, settled);
  assert.is(asked.length, 2, 'expected a second attempt after a minute');
  await bench.clock.pass(60_000, settled);
  assert.is(asked.length, 2, 'expected a longer pause before the third');
  await bench.clock.pass(61_000, settled);
  assert.equal(certificates.alarms(), []);
  const got = await certificates.get('pub');
  assert.equal([got.renewal?.failures, got.renewal?.problem], [0, null]);
  assert.ok((got.renewal?.at ?? 0) > bench.clock.now(), 'expected it to be renewed by itself');
  assert.is(bench.store.get('pub')?.source, 'acme');
  assert.is(asked.length, 3);
});

test('the end of a certificate is told once for each step, also across a restart', async ({
  bench,
}) => {
  await bench.make('shop.example', { lifetimeMs: 100 * DAY });
  await bench.certificates.follow(intentOf(SHOP));
  const told: number[] = [];
  for (let day = 0; day <= 101; day++) {
    bench.clock.time += DAY;
    if (day % 9 === 0) await bench.restart();
    const before = bench.messages().filter((one) => /expire/.test(one)).length;
    await bench.certificates.follow(intentOf(SHOP));
    await bench.certificates.follow(intentOf(SHOP));
    const more = bench.messages().filter((one) => /expire/.test(one)).length - before;
    assert.ok(more <= 1, `expected one event at most, seen ${more}`);
    if (more === 1) told.push(99 - day);
  }
  assert.equal(told, [30, 14, 7, 3, 1, 0]);
  assert.match(bench.certificates.alarms()[0]?.message ?? '', /shop\.example expired on/);
  await bench.certificates.follow(intentOf({}));
  assert.equal(bench.certificates.alarms(), [], 'what nobody uses is no alarm');
});

test('without the machine key the unit runs, and says what it lacks', async ({ bench }) => {
  await bench.make('shop.example');
  await bench.close();
  rmSync(join(bench.folder, 'machine-key'));
  bench.open();
  await bench.certificates.follow(intentOf(SHOP));
  const alarms = bench.certificates.alarms();
  assert.equal(
    alarms.map(({ code }) => code),
    ['certificate-unusable'],
  );
  assert.match(alarms[0]?.message ?? '', /The machine key .* is missing/);
  await refused(bench.make('other'), 'unavailable', /is missing/);
  const ask = {
    name: 'shop.example',
    author: 'root',
    proven: true,
    format: 'pem',
    key: true,
  } as const;
  await refused(bench.certificates.export(ask), 'unavailable', /is missing/);
});

test.run();
