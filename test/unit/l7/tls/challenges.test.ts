/** Whole workers that are asked by authorities whether a name leads to them (RFC 8555 §8.3, RFC 8737). */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { connect as tlsConnect, type ConnectionOptions } from 'node:tls';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PackedSecrets } from '../../../../appliance/l7/supervisor/packed-secrets.js';
import { KeyRing } from '../../../../appliance/l7/tls/key-ring.js';
import type { TlsSecrets } from '../../../../appliance/l7/tls/secrets.js';
import { needs } from '../../../support/needs.js';
import { TestAuthority } from '../../../support/tls-material.js';
import { serve } from '../../../support/tls-workers.js';
import { withTier } from '../../../support/worker-stage.js';

const test = suite('challenges of authorities');
const uring = needs.uring(test);
const run = promisify(execFile);
let authority: TestAuthority;

test.before(() => {
  authority = new TestAuthority();
});
test.after(() => {
  authority.close();
});

/** Body and status. */
async function read(port: number, path: string, ...more: string[]): Promise<string> {
  const { stdout } = await run('curl', [
    ...['-skS', '--max-time', '10', '--path-as-is', '-w', ' %{http_code}'],
    ...more,
    `https://127.0.0.1:${port}${path}`,
  ]);
  return stdout;
}

uring(
  'authorities get what proves a name, while a challenge is under way and from all workers',
  async () => {
    await withTier(async (stage) => {
      const { tier, port } = stage;
      const [challenge] = [authority.secret('challenge', ['proof.example'])];
      const secrets = (challenges: TlsSecrets['challenges']): TlsSecrets => ({
        certificates: [authority.secret('shop', ['shop.example'])],
        ticketKeys: [Buffer.alloc(80, 1)],
        challenges,
      });
      const [leaf] = challenge?.chain ?? [];
      if (leaf === undefined || challenge?.key === null) throw new Error('no certificate was made');
      const under: TlsSecrets['challenges'] = [
        { type: 'http-01', token: 'a-token', keyAuthorization: 'a-token.of-a-key' },
        {
          ...{ type: 'tls-alpn-01', domain: 'proof.example' },
          ...{ certificate: leaf, key: Buffer.from(challenge?.key ?? []) },
        },
      ];
      tier.setSecrets(new PackedSecrets(() => secrets([])));
      await serve(stage, {}, 2);
      const path = '/.well-known/acme-challenge/a-token';
      const proof = async (options: ConnectionOptions): Promise<string> => {
        const socket = tlsConnect({
          port,
          host: '127.0.0.1',
          rejectUnauthorized: false,
          ...options,
        });
        try {
          await once(socket, 'secureConnect');
          return `${socket.getPeerCertificate().subjectaltname ?? ''} ${String(socket.alpnProtocol)}`;
        } catch (error) {
          return String((error as { code?: string }).code);
        } finally {
          socket.destroy();
        }
      };
      const alone = { servername: 'proof.example', ALPNProtocols: ['acme-tls/1'] };
      assert.match(await proof(alone), /NO_APPLICATION_PROTOCOL/);

      tier.setSecrets(new PackedSecrets(() => secrets(under)));
      assert.ok(await tier.secretsTaken());
      // Connections are spread over both workers.
      for (let i = 0; i < 12; i += 1) {
        assert.match(await read(port, path), /a-token\.of-a-key 200/);
        assert.is(await proof(alone), 'DNS:proof.example acme-tls/1');
      }
      assert.match(await read(port, path, '--request', 'POST'), /^[ab] 200/);
      assert.match(await read(port, `${path}x`), /^[ab] 200/);
      assert.match(await read(port, '/.well-known/acme-challenge/'), /^[ab] 200/);
      const both = { servername: 'proof.example', ALPNProtocols: ['acme-tls/1', 'http/1.1'] };
      assert.is(await proof(both), 'DNS:shop.example http/1.1', 'who offers more is no authority');
      const other = { servername: 'shop.example', ALPNProtocols: ['acme-tls/1'] };
      assert.match(await proof(other), /NO_APPLICATION_PROTOCOL/);

      tier.setSecrets(new PackedSecrets(() => secrets([])));
      assert.ok(await tier.secretsTaken());
      assert.match(await read(port, path), /^[ab] 200/);
      assert.match(await proof(alone), /NO_APPLICATION_PROTOCOL/);
    });
  },
);

uring(
  'who is shown a proof can ask for nothing, so no certificate of a client is missed',
  async () => {
    await withTier(async (stage) => {
      const { tier, port } = stage;
      const challenge = authority.secret('challenge', ['proof.example']);
      const [certificate] = challenge.chain;
      if (certificate === undefined || challenge.key === null) throw new Error('none was made');
      const { key } = challenge;
      tier.setSecrets(
        new PackedSecrets(() => ({
          certificates: [authority.secret('shop', ['shop.example']), authority.trusted('ca')],
          ticketKeys: [Buffer.alloc(80, 1)],
          challenges: [
            { type: 'tls-alpn-01', domain: 'proof.example', certificate, key: Buffer.from(key) },
          ],
        })),
      );
      const clients = { mode: 'required', authorities: ['ca'], depth: 3, headers: [] } as const;
      await serve(stage, { clients });
      for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
        const socket = tlsConnect({
          ...{ port, host: '127.0.0.1', rejectUnauthorized: false, maxVersion },
          ...{ servername: 'proof.example', ALPNProtocols: ['acme-tls/1'] },
        });
        let heard = '';
        socket.on('data', (data: Buffer) => (heard += data.toString('latin1')));
        socket.on('error', () => undefined); // what was written may be answered by a reset
        const closed = once(socket, 'close');
        await once(socket, 'secureConnect');
        assert.is(socket.alpnProtocol, 'acme-tls/1', maxVersion);
        socket.write('GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n');
        await closed;
        assert.is(heard, '', maxVersion);
      }
    });
  },
);

test('what is made of certificates stays when only challenges and ticket keys are others', () => {
  const ring = new KeyRing();
  const shop = authority.secret('shop', ['shop.example']);
  const ca = authority.trusted('ca');
  const set = (
    certificates: TlsSecrets['certificates'],
    key: number,
    challenges: TlsSecrets['challenges'] = [],
  ): number => {
    ring.set({ certificates, ticketKeys: [Buffer.alloc(80, key)], challenges });
    return ring.version;
  };
  try {
    const first = set([shop], 1);
    const answer = {
      type: 'http-01',
      token: 'a-token',
      keyAuthorization: 'a-token.of-a-key',
    } as const;
    assert.is(set([shop], 2, [answer]), first);
    const added = set([shop, ca], 2);
    assert.is.not(added, first, 'one more');
    const replaced = set([{ ...shop, generation: 'another' }, ca], 2);
    assert.is.not(replaced, added, 'another of its name');
    assert.is.not(set([ca], 2), replaced, 'one less');
  } finally {
    ring.close();
  }
});

test('a certificate that was only trusted is shown with its key, and without when it is not shown', () => {
  const ring = new KeyRing();
  const shop = authority.secret('shop', ['shop.example']);
  try {
    for (const key of [null, Buffer.from(shop.key ?? []), null]) {
      const ticketKeys = [Buffer.alloc(80, 1)];
      ring.set({ certificates: [{ ...shop, key }], ticketKeys, challenges: [] });
      assert.is(ring.get('shop')?.key === null, key === null);
    }
  } finally {
    ring.close();
  }
});

test.run();
