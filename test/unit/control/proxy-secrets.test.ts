/** Which certificates and keys workers are given, and when. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ProxySecrets, usedIn } from '../../../appliance/control/proxy-secrets.js';
import type { PackedSecrets } from '../../../appliance/l7/supervisor/packed-secrets.js';
import type { L7Service, L7Tables, L7Tls } from '../../../appliance/l7/tables.js';
import { unpackSecrets } from '../../../appliance/l7/tls/secrets.js';
import { close } from '../../../native/ffi/libc.js';
import { Mapping } from '../../../native/ffi/memory.js';
import type { CertificateInfo } from '../../../appliance/tls/certificate-store.js';
import { poolWith, serviceAt, tablesOf } from '../../support/l7-tables.js';

const test = suite('secrets of the proxy');

const tls: L7Tls = {
  policy: 'modern',
  certificates: ['shop'],
  alpn: [],
  tickets: true,
  earlyData: false,
  unknownNames: 'default',
  clients: {
    mode: 'required',
    authorities: ['corp'],
    depth: 1,
    headers: [],
  },
};

function tables(facts: Partial<L7Service>): L7Tables {
  const member = { policy: 'modern', verify: true, serverName: null } as const;
  const pool = poolWith([1], { tls: { ...member, authorities: ['inner'], certificate: 'unit' } });
  return tablesOf([serviceAt(80, facts)], [pool], 1);
}

function info(name: string, kind: CertificateInfo['kind']): CertificateInfo {
  return {
    ...{ name, kind, subject: '', issuer: '', serial: '1', names: [name], notBefore: 0 },
    ...{ notAfter: 1, key: { type: 'ecdsa', curve: 'P-256' }, fingerprint: '', selfSigned: true },
    ...{ hasKey: true, chainLength: 1, source: 'imported', generation: 7, changed: 0, author: '' },
    problem: null,
  };
}

/** What a worker would read. */
function packed(secrets: PackedSecrets | undefined): Record<string, string | null> {
  if (secrets === undefined) throw new Error('workers were given nothing');
  const { fd, bytes } = secrets.pack();
  const mapping = Mapping.open(fd, { length: bytes, access: 'read' });
  close(fd);
  const { certificates } = unpackSecrets(Buffer.from(mapping.buffer));
  const seen = certificates.map(({ name, key }) => [
    name,
    key === null ? null : Buffer.from(key).toString(),
  ]);
  mapping.close();
  return Object.fromEntries(seen) as Record<string, string | null>;
}

test('names of what is shown and of what is trusted, in services and pools', () => {
  const used = usedIn(tables({ tls }));
  assert.equal([...used.shown].sort(), ['shop', 'unit']);
  assert.equal([...used.trusted].sort(), ['corp', 'inner']);
});

test('workers get keys of what is shown alone, again when it changes, and wiped after use', () => {
  const given: PackedSecrets[] = [];
  const lent: Buffer[] = [];
  let changed: (name: string, waiting: boolean) => void = () => undefined;
  let generation = 'one';
  const kinds: Record<string, CertificateInfo['kind']> = {
    shop: 'certificate',
    unit: 'certificate',
    corp: 'authority',
    inner: 'authority',
    other: 'certificate',
  };
  const secrets = new ProxySecrets({
    store: {
      get: (name) => info(name, kinds[name] ?? 'request'),
      chain: () => [Buffer.from('chain')],
      privateKey: (name) => {
        const key = Buffer.from(`${generation} key of ${name}`);
        lent.push(key);
        return key;
      },
      onChange: (listener) => {
        changed = listener;
        return () => undefined;
      },
    },
    challenges: () => [],
    ticketKeys: () => [Buffer.alloc(80, 3)],
    proxy: { setSecrets: (one) => given.push(one) },
    onProblem: (name, error) => {
      throw new Error(`${name}: ${String(error)}`);
    },
  });
  secrets.follow(tables({ tls }));
  assert.equal(packed(given[0]), {
    shop: 'one key of shop',
    unit: 'one key of unit',
    corp: null,
    inner: null,
  });
  assert.ok(
    lent.every((key) => key.every((octet) => octet === 0)),
    'keys are wiped',
  );
  secrets.follow(tables({ tls }));
  changed('other', false);
  assert.is(given.length, 1, 'nothing of what is used is another');
  generation = 'two';
  changed('shop', false);
  assert.is(packed(given[1])['shop'], 'two key of shop');
  secrets.follow(tables({ tls: { ...tls, clients: null } }));
  assert.equal(Object.keys(packed(given[2])).sort(), ['inner', 'shop', 'unit']);
  secrets.close();
});

test.run();
