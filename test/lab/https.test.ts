/**
 * HTTPS through the whole unit: an authority of its own, certificates made and replaced, members that
 * speak TLS, clients that show certificates, and TLS that ends in front of any protocol.
 */
import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect as tlsConnect } from 'node:tls';
import { once } from 'node:events';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../support/needs.js';
import type { Echo } from './http-member-process.js';
import { listenAt, loud, membersOf, ProxyLab, service4 } from './proxy-lab.js';
import { addressOf, labPaths } from './topology.js';
import { until } from './unit.js';

const test = suite('https');
const lab = needs.lab(test);
let stage: ProxyLab;
let authority: string;

/** A member that speaks TLS with the certificate of the unit's authority, and says who asked. */
const tlsMember = `
const { readFileSync } = require('node:fs');
const [cert, key, ca] = process.argv.slice(1).map((file) => readFileSync(file));
require('node:https').createServer({ cert, key, ca, requestCert: true, rejectUnauthorized: false }, (request, response) => {
  const { subject } = request.socket.getPeerCertificate();
  response.end(JSON.stringify({ forwarded: request.headers['x-forwarded-proto'], sni: request.socket.servername, client: subject?.CN ?? null }) + '\\n');
}).listen(8443, '0.0.0.0', () => console.log('ready'));
`;

const tlsPool = {
  members: [{ address: addressOf('member-3', 4), port: 8443 }],
  tls: { authorities: ['own'], 'server-name': 'member.example', certificate: 'unit' },
};

async function apply(shop: object = {}, more: object = {}): Promise<void> {
  await stage.apply({
    pools: {
      web: { members: membersOf(['member-1', 'member-2']) },
      secret: tlsPool,
    },
    services: {
      shop: {
        listen: listenAt(443, 'https'),
        certificates: ['shop', 'shop-rsa'],
        persistence: { type: 'cookie', name: 'SRV' },
        routes: [{ when: { path: '/secret/**' }, pool: 'secret' }, { pool: 'web' }],
        ...shop,
      },
      plain: {
        listen: listenAt(80),
        routes: [{ redirect: { to: 'https://{host}{path}{query}', status: 301 } }],
      },
      wrapped: { listen: listenAt(993, 'tls'), certificates: ['shop'], pool: 'web' },
      ...more,
    },
  });
}

const curl = (...args: string[]): Promise<string> =>
  stage.curl('--cacert', authority, '--resolve', `shop.example:443:${service4}`, ...args);

test.before(
  loud(async () => {
    stage = await ProxyLab.open();
    const { unit } = stage;
    const issue = ['--names', 'shop.example', '--ca', 'own'];
    await unit.must('cert', 'ca', 'own');
    await unit.must('cert', 'self-signed', 'shop', ...issue);
    await unit.must('cert', 'self-signed', 'shop-rsa', '--key', 'rsa-2048', ...issue);
    await unit.must('cert', 'self-signed', 'member', '--names', 'member.example', '--ca', 'own');
    await unit.must(
      'cert',
      'self-signed',
      'unit',
      '--names',
      'weir-a',
      '--ca',
      'own',
      '--client-auth',
    );
    authority = stage.file('own.pem', await unit.must('cert', 'export', 'own'));
    const pair = `${labPaths(process.pid).files}/member-pair.pem`;
    await unit.must('cert', 'export', 'member', '--key', '--output', pair);
    stage.file('member.pem', await unit.must('cert', 'export', 'member'));
    await apply();
    await stage.untilWorkers(2);
  }),
);

test.after(() => stage.close());

lab(
  'curl gets its answer in HTTP/1.1 over TLS 1.2 and 1.3, with a cookie that is Secure',
  async () => {
    for (const version of ['1.2', '1.3']) {
      const answer = await curl(
        '-i',
        `--tlsv${version}`,
        '--tls-max',
        version,
        'https://shop.example/',
      );
      assert.match(answer, /^HTTP\/1\.1 200 /, version);
      assert.match(answer, /^set-cookie: SRV[^=]*=.*; Secure/im, version);
      assert.match(answer, /member-[12]\n$/, version);
    }
  },
);

lab('clients of http are sent to https, and a plain request to https gets no page', async () => {
  const moved = await stage.curl('-i', '-H', 'Host: shop.example', `http://${service4}/a?b`);
  assert.match(moved, /^HTTP\/1\.1 301 /);
  assert.match(moved, /^location: https:\/\/shop\.example\/a\?b\r$/im);
  const { status, stdout } = await stage.run(
    'curl',
    '-sS',
    '--max-time',
    '5',
    `http://${service4}:443/`,
  );
  assert.is.not(status, 0);
  assert.not.match(stdout, /HTTP/);
});

lab('a member is spoken to over TLS: by its name, with the certificate of the unit', async () => {
  const { files } = labPaths(process.pid);
  const words = [`${files}/member.pem`, `${files}/member-pair.pem`, authority];
  await stage.withScript('member-3', [tlsMember, ...words], async () => {
    const told = JSON.parse(await curl('https://shop.example/secret/a')) as object;
    assert.equal(told, { forwarded: 'https', sni: 'member.example', client: 'weir-a' });
  });
});

lab('TLS ends in front of any protocol', async () => {
  const { stdout } = await stage.run(
    'sh',
    '-c',
    `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | openssl s_client -quiet -ign_eof -connect ${service4}:993 -servername shop.example -CAfile ${authority} -verify_return_error 2>/dev/null`,
  );
  assert.match(stdout, /^HTTP\/1\.[01] 200 [^]*member-[12]\n$/);
});

lab(
  'a certificate is replaced under load: no request fails, and new connections have it',
  async () => {
    const fingerprint = async (): Promise<string> => {
      const socket = tlsConnect({
        host: service4,
        port: 443,
        servername: 'shop.example',
        rejectUnauthorized: false,
      });
      await once(socket, 'secureConnect');
      const { fingerprint256 } = socket.getPeerCertificate();
      socket.destroy();
      return fingerprint256;
    };
    const before = await fingerprint();
    let over = false;
    let asked = 0;
    const failures: string[] = [];
    const load = Array.from({ length: 4 }, async () => {
      while (!over) {
        const args = [
          '-sS',
          '--max-time',
          '10',
          '--cacert',
          authority,
          '--resolve',
          `shop.example:443:${service4}`,
        ];
        const urls = Array.from({ length: 20 }, () => 'https://shop.example/');
        const { status, stdout, stderr } = await stage.run('curl', ...args, ...urls);
        asked += 20;
        const answers = stdout.match(/member-[12]\n/g)?.length ?? 0;
        if (status !== 0 || answers !== 20)
          failures.push(`${status}: ${answers} answers; ${stderr}`);
      }
    });
    const issue = ['--names', 'shop.example', '--ca', 'own', '--replace'];
    await stage.unit.must('cert', 'self-signed', 'shop', ...issue);
    await until('the new certificate', 10_000, async () => {
      const now = await fingerprint();
      return now !== before || `still ${now}`;
    });
    await stage.unit.must('cert', 'self-signed', 'shop', ...issue);
    over = true;
    await Promise.all(load);
    assert.equal(failures, [], `of ${asked} requests`);
  },
);

lab(
  'clients without the certificate that is asked for are refused, members are told of others',
  async () => {
    const { files } = labPaths(process.pid);
    await stage.unit.must(
      'cert',
      'self-signed',
      'person',
      '--names',
      'person.example',
      '--ca',
      'own',
      '--client-auth',
    );
    const pair = `${files}/person.pem`;
    await stage.unit.must('cert', 'export', 'person', '--key', '--output', pair);
    const headers = ['verify', 'subject', 'client-cert'];
    await apply({ tls: { 'client-certificates': { authorities: ['own'], headers } } });
    const forged = ['-H', 'X-SSL-Client-Subject: CN=root', '-H', 'Client-Cert-Chain: :AA==:'];
    const answer = await curl(...forged, '--cert', pair, 'https://shop.example/echo');
    const told = Object.entries((JSON.parse(answer) as Echo).headers).filter(([name]) =>
      /^(x-ssl-)?client-/.test(name),
    );
    const { raw } = new X509Certificate(readFileSync(pair));
    assert.equal(Object.fromEntries(told), {
      'client-cert': `:${raw.toString('base64')}:`,
      'x-ssl-client-verify': 'SUCCESS',
      'x-ssl-client-subject': 'CN=person.example',
    });
    const url = [
      '--cacert',
      authority,
      '--resolve',
      `shop.example:443:${service4}`,
      'https://shop.example/',
    ];
    const without = await stage.run('curl', '-sS', ...url);
    assert.is.not(without.status, 0);
    assert.match(without.stderr, /certificate required|alert/);
    await apply();
  },
);

lab('a worker that is killed is replaced by one that has the keys as well', async () => {
  const [victim = 0] = stage.workers();
  process.kill(victim, 'SIGKILL');
  // Until it is gone, the kernel may still accept connections for it, and they go with it.
  await until('another worker in its place', 10_000, async () => {
    const now = stage.workers();
    return (now.length === 2 && !now.includes(victim)) || `workers ${now.join(', ')}`;
  });
  for (let i = 0; i < 8; i += 1)
    assert.match(await curl('https://shop.example/'), /member-[12]\n$/);
});

lab('the daemon starts again: sessions of before are resumed, by its new workers', async () => {
  const options = {
    ...{ host: service4, port: 443, servername: 'shop.example', rejectUnauthorized: false },
  };
  const first = tlsConnect(options);
  const [session] = (await once(first, 'session')) as [Buffer];
  first.destroy();
  const resumed = async (): Promise<boolean> => {
    const socket = tlsConnect({ ...options, session });
    await once(socket, 'secureConnect');
    const reused = socket.isSessionReused();
    socket.destroy();
    return reused;
  };
  assert.ok(await resumed());
  await stage.unit.end('SIGTERM');
  await stage.unit.start();
  await stage.untilWorkers(2);
  assert.ok(await resumed());
  assert.match(await curl('https://shop.example/'), /member-[12]\n$/);
});

lab('what is unknown or in use is said so', async () => {
  const path = `${labPaths(process.pid).files}/unknown.yaml`;
  const shop = { listen: listenAt(443, 'https'), certificates: ['nobody'], pool: 'web' };
  const pools = { web: { members: membersOf(['member-1']), tls: { authorities: ['none'] } } };
  writeFileSync(
    path,
    JSON.stringify({ version: 1, unit: { name: 'a' }, pools, services: { shop } }),
  );
  const refused = await stage.unit.weir('apply', path);
  assert.is(refused.status, 4, refused.stderr);
  assert.match(
    refused.stderr,
    /services\.shop\.certificates\[0\]: "nobody": the certificate store has none/,
  );
  assert.match(
    refused.stderr,
    /pools\.web\.tls\.authorities\[0\]: "none": the certificate store has no authority/,
  );
  const removal = await stage.unit.weir('cert', 'remove', 'own');
  assert.is(removal.status, 5, removal.stderr);
});

test.run();
