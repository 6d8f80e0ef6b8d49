/**
 * Connections that the proxy passes on as they are, seen from outside: TLS by the name that the client
 * asks for (RFC 6066 §3) to `openssl s_server`, which ends it, and TCP byte by byte.
 */
import { once } from 'node:events';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../support/needs.js';
import { run } from './commands.js';
import { Pattern } from './pattern.js';
import { listenAt, loud, membersOf, ProxyLab, service4, service6 } from './proxy-lab.js';
import { RawClient } from './raw-client.js';
import { said } from './servers.js';
import { addressOf, labPaths, memberNames, type MemberName } from './topology.js';
import { until } from './unit.js';

const test = suite('streams through the unit');
const lab = needs.lab(test);
const pattern = fileURLToPath(new URL('./pattern.js', import.meta.url));
let stage: ProxyLab;

/** `openssl s_server` that answers over HTTP, with a certificate that names the member. */
async function startTls(name: MemberName): Promise<void> {
  const { files } = labPaths(process.pid);
  const key = `${files}/${name}.key`;
  const certificate = `${files}/${name}.pem`;
  await run('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
    ...['-days', '1', '-subj', `/CN=${name}`, '-keyout', key, '-out', certificate],
  ]);
  const child = stage.startAt(name, [
    ...['openssl', 's_server', '-accept', '8443', '-key', key, '-cert', certificate, '-www'],
  ]);
  await said(child, 'ACCEPT');
}

test.before(
  loud(async () => {
    stage = await ProxyLab.open();
    await Promise.all(memberNames.map(startTls));
    const only = (name: MemberName, port: number, family: 4 | 6 = 4): object => ({
      members: membersOf([name], {}, port, family),
    });
    await stage.apply({
      pools: {
        one: only('member-1', 8443),
        two: only('member-2', 8443),
        three: only('member-3', 8443),
        web: { algorithm: 'round-robin', members: membersOf(memberNames) },
        six: only('member-2', 8080, 6),
        gone: { members: membersOf(['member-1', 'member-2'], {}, 9) },
      },
      services: {
        secure: {
          listen: listenAt(443, 'tls'),
          pool: 'three',
          routes: [
            { when: { host: 'one.example' }, pool: 'one' },
            { when: { host: '*.two.example' }, pool: 'two' },
          ],
          timeouts: { 'request-head': '1s' },
        },
        strict: {
          listen: listenAt(444, 'tls'),
          routes: [{ when: { host: 'one.example' }, pool: 'one' }],
        },
        plain: { listen: listenAt(81, 'tcp'), tier: 'proxy', pool: 'web' },
        six: {
          listen: { address: service6, port: 81, protocol: 'tcp' },
          tier: 'proxy',
          pool: 'six',
        },
        gone: { listen: listenAt(82, 'tcp'), tier: 'proxy', pool: 'gone' },
        sticky: {
          listen: listenAt(83, 'tcp'),
          ...{ tier: 'proxy', pool: 'web', persistence: { type: 'source-address' } },
        },
        limited: {
          listen: listenAt(84, 'tcp'),
          ...{ tier: 'proxy', pool: 'web', limits: { 'connections-per-client': 2 } },
        },
      },
    });
  }),
);

test.after(() => stage.close());

/** The name in the certificate of who ended the TLS; null when the connection was refused. */
async function whoEnds(port: number, servername?: string): Promise<string | null> {
  const socket: TLSSocket = connectTls({
    ...{ host: service4, port, rejectUnauthorized: false },
    ...(servername === undefined ? {} : { servername }),
  });
  try {
    await once(socket, 'secureConnect');
    const name: string | string[] | undefined = socket.getPeerCertificate().subject.CN;
    return Array.isArray(name) ? name.join() : (name ?? '');
  } catch {
    return null;
  } finally {
    socket.destroy();
  }
}

lab('TLS goes by the name that the client asks for, and ends at the member', async () => {
  assert.is(await whoEnds(443, 'one.example'), 'member-1');
  assert.is(await whoEnds(443, 'ONE.example'), 'member-1');
  assert.is(await whoEnds(443, 'a.two.example'), 'member-2');
  assert.is(await whoEnds(443, 'two.example'), 'member-3');
  assert.is(await whoEnds(443), 'member-3');
});

lab('a name that no route takes is refused where there is no other pool', async () => {
  assert.is(await whoEnds(444, 'one.example'), 'member-1');
  assert.is(await whoEnds(444, 'other.example'), null);
  assert.is(await whoEnds(444), null);
});

lab('curl and openssl speak through it as they would without', async () => {
  const page = await stage.curl(
    ...['-k', '--resolve', `one.example:443:${service4}`, 'https://one.example/'],
  );
  assert.match(page, /s_server/);
  const client = await stage.run(
    ...(['bash', '-c'] as const),
    `openssl s_client -connect ${service4}:443 -servername b.two.example -tls1_2 </dev/null 2>&1`,
  );
  assert.match(client.stdout, /subject=CN = member-2/);
});

lab('what is no TLS, or never says its name, is let go', async () => {
  assert.not.match(await RawClient.ask(443, service4, 'GET / HTTP/1.1\r\n\r\n'), /HTTP/);
  const silent = await RawClient.connect(443, service4);
  try {
    silent.write('\x16\x03\x01');
    await silent.end();
  } finally {
    silent.close();
  }
});

lab('TCP through the proxy spreads connections, on both families', async () => {
  const seen = new Map<string, number>();
  for (let i = 0; i < 9; i += 1) {
    const member = await stage.curl(`http://${service4}:81/`);
    seen.set(member, (seen.get(member) ?? 0) + 1);
  }
  assert.equal([...seen.values()], [3, 3, 3]);
  assert.is(await stage.curl('-g', `http://[${service6}]:81/`), 'member-2\n');
});

lab('64 MiB go both ways whole, and each direction ends by itself', async () => {
  const bytes = 64 << 20;
  const expected = new Pattern(bytes).sha256;
  const down = await stage.run(
    ...(['bash', '-o', 'pipefail', '-c'] as const),
    `curl -sSf http://${service4}:81/pattern/${bytes} | sha256sum`,
  );
  assert.is(down.stdout.trim(), `${expected}  -`);
  const up = await stage.run(
    ...(['bash', '-o', 'pipefail', '-c'] as const),
    `"${process.execPath}" "${pattern}" ${bytes} | curl -sSf -T - http://${service4}:81/echo`,
  );
  assert.match(up.stdout, new RegExp(`"sha256":"${expected}"`));
  // The client's end comes first; the answer comes all the same.
  const half = await RawClient.connect(81, service4);
  try {
    half.socket.end('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    assert.match(await half.end(), /\r\n\r\n(?:\w+\r\n)?member-\d\n/);
  } finally {
    half.close();
  }
});

lab('clients stay by their address, and none has more connections than it may', async () => {
  const members = new Set<string>();
  for (let i = 0; i < 6; i += 1) members.add(await stage.curl(`http://${service4}:83/`));
  assert.is(members.size, 1, [...members].join());
  const held: RawClient[] = [];
  try {
    for (let i = 0; i < 2; i += 1) {
      const raw = await RawClient.connect(84, service4);
      held.push(raw);
      raw.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      await raw.until(/member-\d\n/);
    }
    const third = await stage.run('curl', '-s', '--max-time', '5', `http://${service4}:84/`);
    assert.is.not(third.status, 0, `expected that it is refused, seen ${third.stdout}`);
    held.pop()?.close();
    await until('there is room again', 10_000, async () => {
      const ran = await stage.run('curl', '-s', `http://${service4}:84/`);
      return ran.status === 0 ? true : `status ${ran.status}`;
    });
  } finally {
    for (const raw of held) raw.close();
  }
});

lab('members that cannot be reached end the connection, at once', async () => {
  const ran = await stage.run('curl', '-s', '--max-time', '10', `http://${service4}:82/`);
  assert.ok(ran.status === 52 || ran.status === 56, `curl ended with ${ran.status}`);
});

lab('a member that dies takes its connections with it, and the next go to others', async () => {
  const raws = await Promise.all(Array.from({ length: 6 }, () => RawClient.connect(81, service4)));
  try {
    for (const raw of raws) {
      raw.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      await raw.until(/member-\d\n/);
    }
    const at = (name: MemberName): RawClient[] =>
      raws.filter((raw) => raw.received.endsWith(`${name}\n`));
    await stage.killMember('member-1');
    assert.is(at('member-1').length, 2);
    for (const raw of at('member-1')) await raw.end();
    for (const raw of [...at('member-2'), ...at('member-3')]) assert.not(raw.ended);
    // Nothing was sent yet when the dead one refuses, so another member is tried.
    for (let i = 0; i < 6; i += 1) {
      assert.match(await stage.curl(`http://${service4}:81/`), /^member-[23]\n$/);
    }
  } finally {
    for (const raw of raws) raw.close();
    await stage.startMember('member-1');
  }
});

lab('the member is spoken to from the unit', async () => {
  const said = JSON.parse(await stage.curl(`http://${service4}:81/echo`)) as { peer: string };
  assert.is(said.peer, `::ffff:${addressOf('unit-a', 4)}`);
});

test.run();
