/** HTTPS by whole workers, asked by curl, openssl and Node. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { connect as tlsConnect, type ConnectionOptions } from 'node:tls';
import { promisify } from 'node:util';
import { createHash, randomBytes } from 'node:crypto';
import { createServer, request as httpsRequest } from 'node:https';
import { type IncomingMessage } from 'node:http';
import {
  connect as tcpConnect,
  createServer as createTcp,
  type AddressInfo,
  type Socket,
} from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { L7MemberTls } from '../../../../appliance/l7/tables.js';
import { poolWith, serviceAt, tablesOf } from '../../../support/l7-tables.js';
import { needs } from '../../../support/needs.js';
import { TestAuthority } from '../../../support/tls-material.js';
import {
  ask as askOver,
  give,
  memberTls,
  serve,
  type Talk,
  tls,
} from '../../../support/tls-workers.js';
import { withTier } from '../../../support/worker-stage.js';

const test = suite('TLS of layer-7 workers');
const uring = needs.uring(test);
const run = promisify(execFile);

let authority: TestAuthority;
test.before(() => {
  authority = new TestAuthority();
});
test.after(() => {
  authority.close();
});

async function curl(port: number, name: string, ...more: string[]): Promise<string> {
  const { stdout } = await run('curl', [
    '-sS',
    '--max-time',
    '10',
    '--cacert',
    authority.authority.certificateFile,
    '--resolve',
    `${name}:${port}:127.0.0.1`,
    ...more,
    `https://${name}:${port}/`,
  ]).catch((error: unknown) => ({ stdout: `failed: ${(error as { stderr: string }).stderr}` }));
  return stdout;
}

const ask = (port: number, options: ConnectionOptions = {}): Promise<Talk> =>
  askOver(authority, port, options);

async function whyRefused(port: number, options: ConnectionOptions): Promise<string> {
  try {
    const { answer } = await ask(port, options);
    return `answered: ${answer}`;
  } catch (error) {
    return String((error as { code?: string }).code ?? error);
  }
}

uring('curl is answered over TLS 1.2 and 1.3, with HTTP/1.1 agreed on', async () => {
  await withTier(async (stage) => {
    give(stage, [authority.secret('shop', ['shop.example'])]);
    await serve(stage);
    for (const version of ['1.2', '1.3']) {
      const { port } = stage;
      const write = ['-w', '%{http_version} %{ssl_verify_result}'];
      const answer = await curl(
        port,
        'shop.example',
        `--tlsv${version}`,
        '--tls-max',
        version,
        ...write,
      );
      assert.match(answer, /^[ab]1\.1 0$/, `TLS ${version}: ${answer}`);
    }
  });
});

uring(
  'the certificate is that of the name; unknown names get the first one, or an alert',
  async () => {
    await withTier(async (stage) => {
      give(stage, [
        authority.secret('shop', ['shop.example']),
        authority.secret('wild', ['*.wild.example']),
      ]);
      await serve(stage, { certificates: ['shop', 'wild'] });
      const { port } = stage;
      const names = async (servername: string): Promise<string> =>
        (await ask(port, { servername, checkServerIdentity: () => undefined })).names;
      assert.is(await names('shop.example'), 'DNS:shop.example');
      assert.is(await names('SHOP.example'), 'DNS:shop.example');
      assert.is(await names('a.wild.example'), 'DNS:*.wild.example');
      assert.is(await names('a.b.wild.example'), 'DNS:shop.example', 'a wildcard is for one label');
      assert.is(await names('other.example'), 'DNS:shop.example');
      assert.is(await names(''), 'DNS:shop.example', 'no name');
      await serve(stage, { certificates: ['shop', 'wild'], unknownNames: 'refuse' });
      assert.is(await names('a.wild.example'), 'DNS:*.wild.example');
      assert.is(
        await whyRefused(port, { servername: 'other.example' }),
        'ERR_SSL_TLSV1_UNRECOGNIZED_NAME',
      );
    });
  },
);

uring('each of a thousand names has its certificate', async () => {
  await withTier(async (stage) => {
    // Ten certificates that differ, each under a hundred names.
    const made = Array.from({ length: 10 }, (_, i) => authority.secret('', [`c${i}.example`]));
    const secrets = Array.from({ length: 1000 }, (_, i) => {
      const one = made[i % 10];
      if (one === undefined) throw new RangeError('there are ten');
      return { ...one, name: `n${i}`, names: [`n${i}.example`] };
    });
    give(stage, secrets);
    await serve(stage, { certificates: secrets.map(({ name }) => name) });
    for (let i = 0; i < 1000; i += 37) {
      const servername = `n${i}.example`;
      const { names } = await ask(stage.port, { servername, rejectUnauthorized: false });
      assert.is(names, `DNS:c${i % 10}.example`, servername);
    }
  });
});

uring('clients of ECDSA and of RSA each get the certificate that they understand', async () => {
  await withTier(async (stage) => {
    give(stage, [
      authority.secret('ecdsa', ['shop.example'], 'ecdsa'),
      authority.secret('rsa', ['shop.example'], 'rsa'),
    ]);
    await serve(stage, { certificates: ['ecdsa', 'rsa'] });
    for (const [kind, sigalgs] of [
      ['ecdsa', 'ECDSA+SHA256'],
      ['rsa', 'RSA-PSS+SHA256:RSA+SHA256'],
    ] as const) {
      for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
        // The authority signs by ECDSA, so the chain is not judged by these.
        const options = { sigalgs, maxVersion, rejectUnauthorized: false };
        const socket = tlsConnect({ port: stage.port, servername: 'shop.example', ...options });
        await once(socket, 'secureConnect');
        const type = socket.getPeerX509Certificate()?.publicKey.asymmetricKeyType;
        socket.destroy();
        assert.is(type, kind === 'rsa' ? 'rsa' : 'ec', `${sigalgs} with ${maxVersion}`);
      }
    }
  });
});

uring('a session is resumed by whichever worker, and not after its key is gone', async () => {
  await withTier(async (stage) => {
    const secrets = [authority.secret('shop', ['shop.example'])];
    const [first, second, third] = [randomBytes(80), randomBytes(80), randomBytes(80)];
    give(stage, secrets, [first, second]);
    await serve(stage, {}, 2);
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      give(stage, secrets, [first, second]);
      await serve(stage, {}, 2);
      const { session } = await ask(stage.port, { maxVersion });
      assert.ok(session, `a session of ${maxVersion}`);
      for (let i = 0; i < 8; i += 1) {
        const again = await ask(stage.port, { maxVersion, session });
        assert.ok(again.reused, `${maxVersion}: connection ${i} resumes`);
      }
      give(stage, secrets, [third, first]);
      await serve(stage, {}, 2);
      assert.ok((await ask(stage.port, { maxVersion, session })).reused, 'by a former key');
      give(stage, secrets, [third]);
      await serve(stage, {}, 2);
      assert.not((await ask(stage.port, { maxVersion, session })).reused, 'without its key');
    }
    await serve(stage, { tickets: false }, 2);
    const { session } = await ask(stage.port, { maxVersion: 'TLSv1.3' });
    assert.is(session, null, 'no tickets');
  });
});

uring(
  'a client of TLS 1.3, which uses a ticket once, gets another whenever it resumes',
  async () => {
    await withTier(async (stage) => {
      give(stage, [authority.secret('shop', ['shop.example'])]);
      await serve(stage, {}, 2);
      const maxVersion = 'TLSv1.3';
      let { session } = await ask(stage.port, { maxVersion });
      for (let i = 0; i < 4; i += 1) {
        assert.ok(session, `a session for connection ${i}`);
        const again = await ask(stage.port, { maxVersion, session });
        assert.ok(again.reused, `connection ${i} resumes`);
        session = again.session;
      }
    });
  },
);

uring('a certificate is replaced under an open connection, which goes on', async () => {
  await withTier(async (stage) => {
    give(stage, [authority.secret('shop', ['shop.example'])]);
    await serve(stage);
    const socket = tlsConnect({
      port: stage.port,
      ca: authority.authority.certificate,
      servername: 'shop.example',
    });
    await once(socket, 'secureConnect');
    const before = socket.getPeerCertificate().fingerprint256;
    give(stage, [authority.secret('shop', ['shop.example'], 'ecdsa', '2')]);
    await serve(stage);
    socket.write('GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n');
    let answer = '';
    for await (const piece of socket.setEncoding('latin1')) answer += String(piece);
    assert.match(answer, /^HTTP\/1\.1 200 /);
    const other = tlsConnect({
      port: stage.port,
      rejectUnauthorized: false,
      servername: 'shop.example',
    });
    await once(other, 'secureConnect');
    const after = other.getPeerCertificate().fingerprint256;
    other.destroy();
    assert.is.not(after, before);
  });
});

uring('clients show a certificate of the authority, if asked to', async () => {
  await withTier(async (stage) => {
    const foreign = new TestAuthority();
    try {
      give(stage, [authority.secret('shop', ['shop.example']), authority.trusted('ca')]);
      const clients = { authorities: ['ca'], depth: 2, headers: [] };
      const { port } = stage;
      const own = authority.issue(['client.example']);
      const others = foreign.issue(['client.example']);
      const expired = authority.issue(['client.example'], 'ecdsa', -1);
      await serve(stage, { clients: { ...clients, mode: 'required' } });
      for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
        const as = ({ certificate, key }: typeof own): ConnectionOptions => ({
          cert: certificate,
          key,
          maxVersion,
        });
        assert.match((await ask(port, as(own))).answer, /^HTTP\/1\.1 200 /);
        assert.match(
          await whyRefused(port, { maxVersion }),
          /CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE/,
        );
        assert.match(await whyRefused(port, as(others)), /UNKNOWN_CA|ECONNRESET/);
        assert.match(await whyRefused(port, as(expired)), /CERTIFICATE_EXPIRED/);
      }
      await serve(stage, { clients: { ...clients, mode: 'optional' } });
      assert.match((await ask(port)).answer, /^HTTP\/1\.1 200 /, 'optional');
      assert.match(
        await whyRefused(port, { cert: others.certificate, key: others.key }),
        /UNKNOWN_CA|ECONNRESET/,
      );
    } finally {
      foreign.close();
    }
  });
});

uring('bodies of 5 MB go through TLS on both sides whole, in both versions', async () => {
  await withTier(async (stage) => {
    const { certificate, key } = authority.issue(['member.example']);
    const member = createServer({ cert: certificate, key }, (asked, response) => {
      asked.pipe(response);
    });
    member.listen(0, '127.0.0.1');
    await once(member, 'listening');
    try {
      give(stage, [authority.secret('shop', ['shop.example']), authority.trusted('ca')]);
      const members = [(member.address() as AddressInfo).port];
      const pools = [poolWith(members, { tls: memberTls })];
      await stage.tier.execute(tablesOf([serviceAt(stage.port, { tls })], pools, 1));
      const body = randomBytes(5_000_000);
      const wanted = createHash('sha256').update(body).digest('hex');
      for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
        const sent = httpsRequest({
          port: stage.port,
          method: 'POST',
          servername: 'shop.example',
          ca: authority.authority.certificate,
          maxVersion,
          headers: { 'content-length': body.length },
        });
        sent.end(body);
        const [response] = (await once(sent, 'response')) as [IncomingMessage];
        const hash = createHash('sha256');
        let length = 0;
        for await (const piece of response) {
          hash.update(piece as Buffer);
          length += (piece as Buffer).length;
        }
        assert.is(response.statusCode, 200);
        assert.is(length, body.length, maxVersion);
        assert.is(hash.digest('hex'), wanted, maxVersion);
      }
    } finally {
      member.closeAllConnections();
      member.close();
    }
  });
});

uring('a member whose certificate is of another name or authority gets no request', async () => {
  await withTier(async (stage) => {
    const foreign = new TestAuthority();
    let asked = 0;
    const own = authority.issue(['member.example', '127.0.0.1']);
    const others = foreign.issue(['member.example']);
    const servers = [own, others].map(({ certificate, key }) =>
      createServer({ cert: certificate, key }, (_request, response) => {
        asked += 1;
        response.end('member');
      }).listen(0, '127.0.0.1'),
    );
    await Promise.all(servers.map((server) => once(server, 'listening')));
    const [good, bad] = servers.map((server) => (server.address() as AddressInfo).port) as [
      number,
      number,
    ];
    try {
      give(stage, [authority.secret('shop', ['shop.example']), authority.trusted('ca')]);
      const status = async (at: number, facts: Partial<L7MemberTls>): Promise<string> => {
        const pools = [poolWith([at], { tls: { ...memberTls, ...facts } })];
        await stage.tier.execute(tablesOf([serviceAt(stage.port, { tls })], pools, 1));
        return (await ask(stage.port)).answer.slice(9, 12);
      };
      assert.is(await status(good, {}), '200');
      assert.is(await status(good, { serverName: null }), '200', 'by its address');
      assert.is(await status(good, { serverName: 'other.example' }), '502');
      assert.is(await status(bad, {}), '502');
      assert.is(asked, 2);
      assert.equal(
        stage.events.map(({ message }) => message).filter((text) => text.includes('no TLS')),
        [
          'no TLS with the member 127.0.0.1 (other.example) of web: hostname mismatch',
          'no TLS with the member 127.0.0.1 (member.example) of web: unable to get local issuer certificate',
        ],
      );
      assert.is(await status(bad, { verify: false, authorities: null }), '200');
    } finally {
      foreign.close();
      for (const server of servers) {
        server.closeAllConnections();
        server.close();
      }
    }
  });
});

/** Passes bytes on in pieces of `size`, and the end after the last one. */
function inPieces(from: Socket, to: Socket, size: number): void {
  const queue: Buffer[] = [];
  let ended = false;
  from.on('data', (data: Buffer) => {
    for (let at = 0; at < data.length; at += size) queue.push(data.subarray(at, at + size));
  });
  from.on('end', () => (ended = true));
  from.on('error', () => to.destroy());
  const next = (): void => {
    const piece = queue.shift();
    if (piece !== undefined) to.write(piece);
    else if (ended) to.end();
    if (to.writable && !to.destroyed) setImmediate(next);
  };
  next();
}

uring(
  'an authority that is no longer trusted is not trusted by a session begun before',
  async () => {
    await withTier(async (stage) => {
      const { tier, port } = stage;
      const foreign = new TestAuthority();
      const { certificate: cert, key } = authority.issue(['member.example']);
      let resumed = 0;
      const server = createServer({ cert, key, maxVersion: 'TLSv1.2' }, (_request, response) =>
        response.end('m', () => response.socket?.end()),
      ).listen(0, '127.0.0.1');
      server.on('secureConnection', (socket) => (resumed += socket.isSessionReused() ? 1 : 0));
      // The way to it, on which the first connection's handshake is held back in the middle.
      const waiting: (() => void)[] = [];
      const way = createTcp((client) => {
        const member = tcpConnect((server.address() as AddressInfo).port, '127.0.0.1');
        client.on('error', () => member.destroy());
        member.on('error', () => client.destroy());
        member.pipe(client);
        if (waiting.length > 0) {
          client.pipe(member);
          return;
        }
        client.once('data', (hello: Buffer) => {
          member.write(hello);
          client.pause();
          waiting.push(() => client.pipe(member));
        });
      }).listen(0, '127.0.0.1');
      await Promise.all([server, way].map((one) => once(one, 'listening')));
      try {
        const { port: at } = way.address() as AddressInfo;
        const shop = authority.secret('shop', ['shop.example']);
        give(stage, [shop, { ...authority.trusted('ca'), generation: '1' }]);
        const pools = [poolWith([at], { tls: memberTls, requestsPerConnection: 1 })];
        await tier.execute(tablesOf([serviceAt(port, { tls })], pools, 1));
        const first = ask(port);
        await stage.settled(() => waiting.length > 0);
        give(stage, [shop, { ...foreign.trusted('ca'), generation: '2' }]);
        assert.ok(await tier.secretsTaken());
        // The new authority is looked at by a connection of its own, which fails.
        assert.match((await ask(port)).answer, /^HTTP\/1\.1 502 /);
        for (const goOn of waiting) goOn();
        assert.match((await first).answer, /^HTTP\/1\.1 200 /, 'what was begun before goes on');
        assert.match((await ask(port)).answer, /^HTTP\/1\.1 502 /);
        assert.is(resumed, 0);
      } finally {
        foreign.close();
        way.close();
        server.closeAllConnections();
        server.close();
      }
    });
  },
);

uring('records may come in any pieces', async () => {
  await withTier(async (stage) => {
    give(stage, [authority.secret('shop', ['shop.example'])]);
    await serve(stage);
    for (const size of [1, 3, 7, 100]) {
      const cutter = createTcp({ allowHalfOpen: true }, (client) => {
        const server = tcpConnect({ port: stage.port, host: '127.0.0.1', allowHalfOpen: true });
        server.setNoDelay(true);
        inPieces(client, server, size);
        inPieces(server, client, 100);
      });
      cutter.listen(0, '127.0.0.1');
      await once(cutter, 'listening');
      const { port } = cutter.address() as AddressInfo;
      try {
        for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
          const { answer } = await ask(port, { maxVersion });
          assert.match(
            answer,
            /^HTTP\/1\.1 200 /,
            `${size} bytes at a time, ${maxVersion}: ${answer}`,
          );
        }
      } finally {
        cutter.close();
      }
    }
  });
});

test.run();
