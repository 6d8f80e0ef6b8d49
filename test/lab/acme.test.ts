/**
 * Certificates by ACME through the whole unit, from Pebble: both challenges, renewal under load, and an
 * authority that is gone.
 */
import { connect as tlsConnect } from 'node:tls';
import { once } from 'node:events';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { CertificateDetail, Status } from '../../appliance/api/contract.js';
import { needs } from '../support/needs.js';
import { Pebble } from '../support/pebble.js';
import { listenAt, loud, membersOf, ProxyLab, service4 } from './proxy-lab.js';
import { addressOf } from './topology.js';
import { until } from './unit.js';

const test = suite('acme');
const lab = needs['acme-lab'](test);
/** Seconds that a certificate of Pebble's is valid here; about half of it passes until it is renewed. */
const validity = 24;
let stage: ProxyLab;
let pebble: Pebble;

const acme = (names: readonly string[], more: object = {}): object => ({
  ...{ type: 'acme', names, directory: pebble.directory, authorities: ['pebble'] },
  ...{ 'terms-agreed': true, ...more },
});

function apply(certificates: Readonly<Record<string, object>>, own: object = {}): Promise<void> {
  return stage.apply({
    certificates,
    pools: { web: { members: membersOf(['member-1', 'member-2']) } },
    services: {
      // Nothing of a challenge is in it: the unit answers before its routes.
      plain: {
        listen: listenAt(80),
        routes: [{ redirect: { to: 'https://{host}{path}{query}', status: 301 } }],
      },
      shop: {
        listen: listenAt(443, 'https'),
        certificates: Object.keys(certificates),
        pool: 'web',
        ...own,
      },
    },
  });
}

interface Shown {
  readonly issuer: string;
  readonly fingerprint: string;
  readonly names: string;
}

async function shown(servername: string): Promise<Shown> {
  const socket = tlsConnect({ host: service4, port: 443, servername, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  const { issuer, fingerprint256, subjectaltname } = socket.getPeerCertificate();
  socket.destroy();
  return { issuer: String(issuer.CN), fingerprint: fingerprint256, names: subjectaltname ?? '' };
}

async function detail(name: string): Promise<CertificateDetail> {
  return JSON.parse(await stage.unit.must('cert', 'show', name, '--json')) as CertificateDetail;
}

/** Until the unit serves a name with a certificate of the authority's, other than that one. */
async function served(servername: string, other = ''): Promise<Shown> {
  let last: Shown | null = null;
  await until(`a certificate for ${servername}`, 30_000, async () => {
    try {
      last = await shown(servername);
    } catch (error) {
      return `${String(error)}; ${await stage.unit.must('show', 'events')}`;
    }
    const { issuer, fingerprint, names } = last;
    const right = issuer.includes('Pebble') && names.includes(`DNS:${servername}`);
    return (right && fingerprint !== other) || `${issuer} for ${names}`;
  });
  if (last === null) throw new Error('nothing was served');
  return last;
}

test.before(
  loud(async () => {
    stage = await ProxyLab.open(['member-1', 'member-2']);
    pebble = await Pebble.start(
      {},
      { certificateValidityPeriod: validity },
      {
        host: addressOf('client', 4, 'outside'),
        unit: { address: service4, http: 80, tls: 443 },
      },
    );
    const file = stage.file('pebble.pem', pebble.ca.toString('latin1'));
    await stage.unit.must('cert', 'import', 'pebble', file, '--authority');
  }),
);

test.after(async () => {
  await pebble.end();
  await stage.close();
});

lab('by http-01: a service of its own answers, whatever its routes say', async () => {
  await apply({ shop: acme(['shop.example', 'www.shop.example']) });
  const { names } = await served('www.shop.example');
  assert.is(names, 'DNS:shop.example, DNS:www.shop.example');
  const { source, declared, usedBy } = await detail('shop');
  assert.equal([source, declared, usedBy], ['acme', 'acme', ['shop']]);
  const path = '/.well-known/acme-challenge/token';
  const other = await stage.curl(
    '-o',
    '/dev/null',
    '-w',
    '%{http_code}',
    `http://${service4}${path}`,
  );
  assert.is(other, '301', 'expected that only challenges under way are answered');
});

lab(
  'by tls-alpn-01: a service that ends TLS answers, with other protocols agreed on or none',
  async () => {
    await apply({
      shop: acme(['shop.example', 'www.shop.example']),
      tls: acme(['tls.example'], { challenge: 'tls-alpn-01', key: 'rsa-2048' }),
    });
    assert.is((await served('tls.example')).names, 'DNS:tls.example');
    // The one for the challenge is gone, and was never shown to others.
    const socket = tlsConnect({
      ...{ host: service4, port: 443, servername: 'tls.example', rejectUnauthorized: false },
      ALPNProtocols: ['acme-tls/1'],
    });
    const [error] = (await once(socket, 'error')) as [Error];
    assert.match(error.message, /no application protocol/i);
  },
);

lab('it is renewed by itself under load, and by a command: no request fails', async () => {
  await apply({ shop: acme(['shop.example', 'www.shop.example']) });
  const first = await served('shop.example');
  let over = false;
  let asked = 0;
  const failures: string[] = [];
  const urls = Array.from({ length: 20 }, () => 'https://shop.example/');
  const load = Array.from({ length: 3 }, async () => {
    while (!over) {
      const resolve = `shop.example:443:${service4}`;
      const words = ['-skS', '--max-time', '10', '--resolve', resolve, ...urls];
      const { status, stdout, stderr } = await stage.run('curl', ...words);
      asked += urls.length;
      const answers = stdout.match(/member-[12]\n/g)?.length ?? 0;
      if (status !== 0 || answers !== urls.length) {
        failures.push(`${status}: ${answers} answers; ${stderr}`);
      }
    }
  });
  try {
    const second = await served('shop.example', first.fingerprint);
    await stage.unit.must('cert', 'renew', 'shop');
    await served('shop.example', second.fingerprint);
  } finally {
    over = true;
    await Promise.all(load);
  }
  assert.equal(failures, [], `of ${asked} requests`);
  assert.match(
    await stage.unit.must('show', 'events'),
    /certificate shop was obtained \(renewed in good time\)/,
  );
});

lab(
  'while the authority is gone the old certificate stays: an event, an alarm, and patience',
  async () => {
    await served('shop.example');
    await pebble.die();
    // An order that was under way fails in its own words; those after it cannot even begin.
    await stage.unit.weir('cert', 'renew', 'shop');
    const before = await shown('shop.example');
    const asked = await stage.unit.weir('cert', 'renew', 'shop');
    assert.is.not(asked.status, 0);
    assert.match(
      asked.stderr,
      /certificate shop cannot be obtained: .* cannot be reached: .*ECONNREFUSED/,
    );
    assert.is((await stage.unit.weir('cert', 'renew', 'shop')).status, asked.status);
    assert.is((await shown('shop.example')).fingerprint, before.fingerprint);
    const events = await stage.unit.must('show', 'events');
    const told = events.match(/certificate shop cannot be obtained: .*ECONNREFUSED/g) ?? [];
    assert.is(told.length, 1, `expected one event for the same failure; seen:\n${events}`);
    const status = JSON.parse(await stage.unit.must('status', '--json')) as Status;
    assert.match(status.alarms.map(({ message }) => message).join('\n'), /Certificate shop cannot/);
    // What is known of the failure outlives the daemon, so that a restart is no new attempt.
    await stage.unit.end('SIGTERM');
    await stage.unit.start();
    const later = JSON.parse(await stage.unit.must('status', '--json')) as Status;
    assert.match(later.alarms.map(({ message }) => message).join('\n'), /Certificate shop cannot/);
    assert.match((await shown('shop.example')).issuer, /Pebble/);
  },
);

test.run();
