/**
 * TLS of workers with other programs on the other side: nginx and OpenSSL's s_server as members, nginx
 * and HAProxy as clients.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect as tlsConnect } from 'node:tls';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { L7MemberTls, L7Tls } from '../../../../appliance/l7/tables.js';
import type { CertificateSecret } from '../../../../appliance/l7/tls/secrets.js';
import { Child } from '../../../support/child.js';
import { poolWith, serviceAt, tablesOf } from '../../../support/l7-tables.js';
import { lacking, needs } from '../../../support/needs.js';
import { packed, TestAuthority } from '../../../support/tls-material.js';
import { freePort, withTier } from '../../../support/worker-stage.js';

const test = suite('TLS with other programs');
const uring = needs.uring(test);
const peers = lacking('uring') === null ? needs['http-peers'](test) : uring;

const tls: L7Tls = {
  policy: 'intermediate',
  certificates: ['shop'],
  alpn: ['http/1.1'],
  tickets: true,
  earlyData: false,
  unknownNames: 'refuse',
  clients: null,
};

const memberTls: L7MemberTls = {
  policy: 'intermediate',
  verify: true,
  authorities: ['ca'],
  serverName: 'member.example',
  certificate: 'unit',
};

let authority: TestAuthority;
let secrets: readonly CertificateSecret[];
let folder: string;

test.before(() => {
  authority = new TestAuthority();
  folder = mkdtempSync(join(tmpdir(), 'weir-tls-peers-'));
  secrets = [
    authority.secret('shop', ['shop.example']),
    authority.secret('unit', ['unit.example']),
    authority.trusted('ca'),
  ];
});
test.after(() => {
  authority.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Resolves once a program takes connections, which it does not tell. */
async function listens(child: Child, port: number): Promise<void> {
  for (;;) {
    const socket = connect({ port, host: '127.0.0.1' });
    try {
      await once(socket, 'connect');
      return;
    } catch (error) {
      if (child.process.exitCode !== null) throw new Error(child.output, { cause: error });
      await delay(20);
    } finally {
      socket.destroy();
    }
  }
}

/** Runs `work` while nginx serves by these blocks of `http`. */
async function withNginx(blocks: string, port: number, work: () => Promise<void>): Promise<void> {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${folder}/${kind};`)
    .join(' ');
  const file = join(folder, 'nginx.conf');
  writeFileSync(
    file,
    `daemon off; master_process off; pid ${folder}/nginx.pid; error_log stderr notice;
events { worker_connections 64; }
http { access_log off; ${temporary}
${blocks}
}
`,
  );
  const child = new Child('nginx', ['-e', 'stderr', '-p', folder, '-c', file]);
  try {
    await listens(child, port);
    await work();
  } finally {
    await child.end();
  }
}

interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
}

async function ask(port: number, path = '/'): Promise<Answer> {
  const sent = get({
    port,
    path,
    host: '127.0.0.1',
    agent: false,
    headers: { host: 'shop.example' },
  });
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  let text = '';
  for await (const piece of response) text += String(piece);
  return { status: response.statusCode, headers: response.headers, text };
}

peers(
  'nginx as a member asks for the certificate of the unit, and is asked for by its name',
  async () => {
    await withTier(async (stage) => {
      const [named, other, port] = [await freePort(), await freePort(), stage.port];
      const server = (name: string, at: number): string => {
        const { certificateFile, keyFile } = authority.issue([name]);
        return `server {
    listen 127.0.0.1:${at} ssl; server_name ${name};
    ssl_certificate ${certificateFile}; ssl_certificate_key ${keyFile};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_client_certificate ${authority.authority.certificateFile}; ssl_verify_client on;
    location / { return 200 "$ssl_server_name $ssl_client_verify $ssl_client_s_dn $ssl_session_reused"; }
  }
`;
      };
      const blocks = server('member.example', named) + server('other.example', other);
      await withNginx(blocks, named, async () => {
        stage.tier.setSecrets(packed(secrets));
        const serve = async (at: number, facts: Partial<L7MemberTls>): Promise<void> => {
          const pools = [
            poolWith([at], { tls: { ...memberTls, ...facts }, requestsPerConnection: 1 }),
          ];
          await stage.tier.execute(tablesOf([serviceAt(port)], pools, 1));
        };
        for (const policy of ['intermediate', 'modern'] as const) {
          await serve(named, { policy });
          const { status, text } = await ask(port);
          assert.is(status, 200, text);
          assert.is(text, 'member.example SUCCESS CN=unit.example .', policy);
          const again = await ask(port);
          assert.is(again.text, 'member.example SUCCESS CN=unit.example r', `${policy}, resumed`);
        }
        await serve(named, { certificate: null });
        const without = await ask(port);
        assert.is(without.status, 400, without.text);
        assert.match(without.text, /No required SSL certificate was sent/);
        await serve(other, {});
        assert.is((await ask(port)).status, 502, 'a certificate of another name');
        assert.match(
          stage.events.map(({ message }) => message).join('\n'),
          /no TLS with the member 127\.0\.0\.1 \(member\.example\) of web: hostname mismatch/,
        );
      });
    });
  },
);

uring('s_server as a member of a service that ends TLS in front of any protocol', async () => {
  await withTier(async (stage) => {
    const at = await freePort();
    const { certificateFile, keyFile } = authority.issue(['member.example']);
    // It sends each line back reversed.
    // prettier-ignore
    const member = new Child('openssl', [
      's_server', '-accept', `127.0.0.1:${at}`, '-cert', certificateFile, '-key', keyFile, '-rev',
      '-CAfile', authority.authority.certificateFile, '-Verify', '2', '-verify_return_error',
      '-servername', 'member.example', '-cert2', certificateFile, '-key2', keyFile,
    ]);
    try {
      await member.says(/ACCEPT/);
      stage.tier.setSecrets(packed(secrets));
      for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
        const policy = maxVersion === 'TLSv1.3' ? 'modern' : 'intermediate';
        const service = serviceAt(stage.port, {
          protocol: 'tcp',
          tls: { ...tls, alpn: ['lines'] },
        });
        const pools = [poolWith([at], { tls: { ...memberTls, policy } })];
        await stage.tier.execute(tablesOf([service], pools, 1));
        const socket = tlsConnect({
          ...{ port: stage.port, host: '127.0.0.1', servername: 'shop.example', maxVersion },
          ca: authority.authority.certificate,
          ALPNProtocols: ['lines'],
        });
        await once(socket, 'secureConnect');
        assert.is(socket.alpnProtocol, 'lines');
        socket.setEncoding('latin1');
        for (const line of ['a word', 'b'.repeat(5000)]) {
          socket.write(`${line}\n`);
          let back = '';
          while (!back.endsWith('\n')) back += ((await once(socket, 'data')) as [string])[0];
          assert.is(back, `${[...line].reverse().join('')}\n`, maxVersion);
        }
        socket.end();
        await once(socket, 'close');
      }
      assert.match(member.output, /CN = unit\.example/, 'it was shown the certificate of the unit');
    } finally {
      await member.end();
    }
  });
});

peers('nginx and HAProxy as clients verify the certificate of the service', async () => {
  await withTier(async (stage) => {
    const [viaNginx, viaHaproxy] = [await freePort(), await freePort()];
    const ca = authority.authority.certificateFile;
    stage.tier.setSecrets(packed(secrets));
    await stage.tier.execute(
      tablesOf([serviceAt(stage.port, { tls })], [poolWith(stage.members)], 1),
    );
    const blocks = ['TLSv1.2', 'TLSv1.3'].map(
      (version) => `location /${version} {
      proxy_pass https://127.0.0.1:${stage.port}; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_ssl_verify on; proxy_ssl_trusted_certificate ${ca}; proxy_ssl_protocols ${version};
      proxy_ssl_server_name on; proxy_ssl_name shop.example;
    }`,
    );
    const server = `server { listen 127.0.0.1:${viaNginx}; ${blocks.join('\n')} }`;
    await withNginx(server, viaNginx, async () => {
      for (const version of ['TLSv1.2', 'TLSv1.3']) {
        for (let i = 0; i < 3; i += 1) {
          const { status, text } = await ask(viaNginx, `/${version}`);
          assert.is(status, 200, text);
        }
      }
    });
    const file = join(folder, 'haproxy.cfg');
    writeFileSync(
      file,
      `global
  nbthread 1
defaults
  mode http
  timeout connect 2s
  timeout client 5s
  timeout server 5s
listen peer
  bind 127.0.0.1:${viaHaproxy}
  http-response set-header x-tls %[ssl_bc_protocol],%[ssl_bc_alpn],%[ssl_bc_is_resumed]
  http-reuse never
  server weir 127.0.0.1:${stage.port} ssl verify required ca-file ${ca} sni str(shop.example) verifyhost shop.example alpn http/1.1
`,
    );
    const haproxy = new Child('haproxy', ['-db', '-f', file]);
    try {
      await listens(haproxy, viaHaproxy);
      for (const resumed of ['0', '1']) {
        const { status, headers } = await ask(viaHaproxy);
        assert.is(status, 200);
        assert.is(headers['x-tls'], `TLSv1.3,http/1.1,${resumed}`);
      }
    } finally {
      await haproxy.end();
    }
  });
});

test.run();
