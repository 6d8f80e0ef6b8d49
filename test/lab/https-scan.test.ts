/** What scanners find in each policy of TLS: protocols, ciphers, known attacks, certificates of both kinds. */
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../support/needs.js';
import { listenAt, loud, membersOf, ProxyLab, service4 } from './proxy-lab.js';
import { labPaths } from './topology.js';

const test = suite('https, scanned');
let stage: ProxyLab;
let authority: string;

type Policy = 'modern' | 'intermediate';

/** By the names of OpenSSL, in the order that the unit prefers. */
const suites: Readonly<Record<'TLSv1_3' | 'TLSv1_2', readonly string[]>> = {
  TLSv1_3: ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'],
  TLSv1_2: [
    'ECDHE-ECDSA-AES128-GCM-SHA256',
    'ECDHE-RSA-AES128-GCM-SHA256',
    'ECDHE-ECDSA-AES256-GCM-SHA384',
    'ECDHE-RSA-AES256-GCM-SHA384',
    'ECDHE-ECDSA-CHACHA20-POLY1305',
    'ECDHE-RSA-CHACHA20-POLY1305',
  ],
};

async function serve(policy: Policy): Promise<void> {
  const certificates = ['shop', 'shop-rsa'];
  await stage.apply({
    pools: { web: { members: membersOf(['member-1']) } },
    services: {
      shop: { listen: listenAt(443, 'https'), certificates, tls: { policy }, pool: 'web' },
    },
  });
}

test.before(
  loud(async () => {
    stage = await ProxyLab.open(['member-1']);
    const { unit } = stage;
    const issue = ['--names', 'shop.example', '--ca', 'own'];
    await unit.must('cert', 'ca', 'own');
    await unit.must('cert', 'self-signed', 'shop', ...issue);
    await unit.must('cert', 'self-signed', 'shop-rsa', '--key', 'rsa-2048', ...issue);
    authority = stage.file('own.pem', await unit.must('cert', 'export', 'own'));
    await serve('intermediate');
    await stage.untilWorkers(2);
  }),
);

test.after(() => stage.close());

needs.sslscan(test)(
  'sslscan finds nothing weak, and with each policy what must be there',
  async () => {
    for (const [policy, versions] of [
      ['modern', ['TLSv1.3']],
      ['intermediate', ['TLSv1.2', 'TLSv1.3']],
    ] as const) {
      await serve(policy);
      const scan = ['--no-colour', '--sni-name=shop.example', `${service4}:443`];
      const { stdout } = await stage.run('sslscan', ...scan);
      const enabled = [...stdout.matchAll(/^(\S+) +enabled$/gm)].map(([, name]) => name);
      assert.equal(enabled, versions, stdout);
      const ciphers = [...stdout.matchAll(/^(?:Preferred|Accepted) +\S+ +\d+ bits +(\S+)/gm)];
      const weak = ciphers.filter(([, name = '']) => !/^(TLS_|ECDHE-).*(GCM|POLY1305)/.test(name));
      assert.ok(ciphers.length >= 3 && weak.length === 0, stdout);
      assert.match(stdout, /Session renegotiation not supported/);
      assert.not.match(stdout, /^TLSv\S+ vulnerable/m);
    }
  },
);

interface Finding {
  readonly id: string;
  readonly severity: string;
  readonly finding: string;
}

/** What testssl says of the service, by what it looked at. It asks nobody else: no DNS, no OCSP. */
async function testssl(policy: Policy): Promise<ReadonlyMap<string, Finding>> {
  const file = `${labPaths(process.pid).files}/testssl-${policy}.json`;
  const output = ['--jsonfile', file, '--quiet', '--color', '0', '--warnings', 'batch'];
  const peer = ['--nodns', 'none', '--ip', service4, '--add-ca', authority];
  const sections = [
    ...['--protocols', '--standard', '--pfs', '--server-preference', '--server-defaults'],
    ...['--vulnerable', '--grease'],
  ];
  const words = [...output, ...peer, ...sections, 'https://shop.example:443/'];
  const { status, stdout } = await stage.runWithin(240_000, 'testssl', ...words);
  const findings = JSON.parse(readFileSync(file, 'utf8')) as Finding[];
  // Its status also counts answers that came late on a busy machine; what it found is judged instead.
  const ended = findings.some(({ id }) => id === 'scanTime');
  assert.ok(ended, `expected a scan to its end, seen status ${status}: ${stdout}`);
  return new Map(findings.map((one) => [one.id, one]));
}

/**
 * Findings above INFO that no server is to blame for. The lab's authority offers no revocation; the
 * scanner's OpenSSL may have no GOST; and the scanner closes before the tickets of TLS 1.3 come, most
 * often, and then misses the file of its own session. Resumption is shown in https.test.ts.
 */
const unavoidable = new Set([
  ...['cert_revocation <cert#1>', 'cert_revocation <cert#2>'],
  ...['engine_problem', 'sessionresumption_ticket'],
]);

/** Each must be there, or nothing was looked at. */
const wellDone = [
  ...['SSLv2', 'SSLv3', 'TLS1_3', 'GREASE', 'PFS', 'PFS_ECDHE_curves'],
  ...['cipherlist_NULL', 'cipherlist_aNULL', 'cipherlist_EXPORT', 'cipherlist_LOW'],
  ...['cipherlist_STRONG', 'protocol_negotiated', 'cipher_negotiated'],
  ...['cert_signatureAlgorithm', 'cert_trust', 'cert_chain_of_trust', 'cert_notAfter'].flatMap(
    (id) => [`${id} <cert#1>`, `${id} <cert#2>`],
  ),
  ...['heartbleed', 'CCS', 'ticketbleed', 'ROBOT', 'secure_renego', 'secure_client_renego'],
  ...['CRIME_TLS', 'BREACH', 'POODLE_SSL', 'fallback_SCSV', 'FREAK', 'DROWN', 'LOGJAM'],
  ...['LOGJAM-common_primes', 'BEAST', 'LUCKY13', 'RC4'],
];

for (const policy of ['modern', 'intermediate'] as const) {
  needs.testssl(test)(`testssl finds nothing to complain of in the policy ${policy}`, async () => {
    await serve(policy);
    const findings = await testssl(policy);
    const bad = [...findings.values()].filter(
      ({ id, severity }) => !['OK', 'INFO', 'DEBUG'].includes(severity) && !unavoidable.has(id),
    );
    assert.equal(bad, [], 'nothing above INFO');
    const notWell = wellDone.filter((id) => findings.get(id)?.severity !== 'OK');
    assert.equal(
      notWell.map((id) => findings.get(id) ?? id),
      [],
      'all of these are said to be good',
    );
    const told = (id: string): string | undefined => findings.get(id)?.finding;
    const older = ['TLS1', 'TLS1_1', ...(policy === 'modern' ? ['TLS1_2'] : [])];
    for (const id of older) assert.is(told(id), 'not offered', id);
    for (const [version, expected] of Object.entries(suites)) {
      const offered = policy === 'intermediate' || version === 'TLSv1_3';
      assert.is(told(`cipherorder_${version}`), offered ? expected.join(' ') : undefined, version);
    }
    assert.is(told('ALPN'), 'http/1.1');
  });
}

test.run();
