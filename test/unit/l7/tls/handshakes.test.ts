/** Handshakes are counted for the service or the member, by how they went. */
import { once } from 'node:events';
import { createServer } from 'node:https';
import { connect, type AddressInfo } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { L7Tls } from '../../../../appliance/l7/tables.js';
import { poolWith, serviceAt, tablesOf } from '../../../support/l7-tables.js';
import { needs } from '../../../support/needs.js';
import { sClient } from '../../../support/s-client.js';
import { TestAuthority } from '../../../support/tls-material.js';
import { ask, give, handshakes, memberTls, serve, tls } from '../../../support/tls-workers.js';
import { type Stage, withTier } from '../../../support/worker-stage.js';

const test = suite('handshakes of TLS are counted');
const uring = needs.uring(test);

let authority: TestAuthority;
test.before(() => {
  authority = new TestAuthority();
});
test.after(() => {
  authority.close();
});

type Failed = ReturnType<typeof handshakes>['failed'];
const none: Failed = { gone: 0, alert: 0, incompatible: 0, certificate: 0, name: 0, other: 0 };

uring('with clients: full and resumed ones, by version, over all workers', async () => {
  await withTier(async (stage) => {
    give(stage, [authority.secret('shop', ['shop.example'])]);
    await serve(stage, {}, 2);
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      const { session } = await ask(authority, stage.port, { maxVersion });
      assert.ok(session, `a session of ${maxVersion}`);
      const times = maxVersion === 'TLSv1.2' ? 2 : 3;
      for (let i = 0; i < times; i += 1) {
        assert.ok((await ask(authority, stage.port, { maxVersion, session })).reused);
      }
    }
    assert.equal(handshakes(stage), {
      full: 2,
      resumed: 5,
      early: 0,
      versions: { '1.2': 3, '1.3': 4 },
      failed: none,
    });
  });
});

const openssl = async (port: number, ...more: string[]): Promise<void> => {
  await sClient(port, more);
};

/** Says these bytes, ends, and waits for the end of the other side. */
async function say(port: number, bytes: Uint8Array): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.resume();
  socket.end(bytes);
  await once(socket, 'close');
}

/** The beginning of a hello, without its rest. */
const begun = Buffer.from([22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3]);

const failures: readonly {
  readonly what: string;
  readonly as: keyof Failed;
  readonly facts?: Partial<L7Tls>;
  readonly fail: (stage: Stage) => Promise<void>;
}[] = [
  {
    what: 'a hello that breaks off',
    as: 'gone',
    fail: ({ port }) => say(port, begun),
  },
  {
    what: 'a client that does not trust the certificate',
    as: 'alert',
    fail: async ({ port }) => {
      const foreign = new TestAuthority();
      try {
        const { certificateFile } = foreign.authority;
        await openssl(port, '-CAfile', certificateFile, '-verify_return_error');
      } finally {
        foreign.close();
      }
    },
  },
  {
    what: 'a version that is not spoken',
    as: 'incompatible',
    facts: { policy: 'modern' },
    fail: ({ port }) => openssl(port, '-tls1_2'),
  },
  {
    what: 'ciphers that are not spoken',
    as: 'incompatible',
    fail: ({ port }) => openssl(port, '-tls1_2', '-cipher', 'AES128-SHA'),
  },
  {
    what: 'a protocol that is not spoken',
    as: 'incompatible',
    fail: ({ port }) => openssl(port, '-alpn', 'imap'),
  },
  {
    what: 'a client without the certificate that it must have',
    as: 'certificate',
    facts: {
      clients: {
        mode: 'required',
        authorities: ['ca'],
        depth: 2,
        headers: [],
      },
    },
    fail: ({ port }) => openssl(port),
  },
  {
    what: 'a name that no certificate has',
    as: 'name',
    facts: { unknownNames: 'refuse' },
    fail: ({ port }) => openssl(port, '-servername', 'other.example'),
  },
  {
    what: 'what is no TLS',
    as: 'other',
    fail: ({ port }) => say(port, Buffer.from('GET / HTTP/1.1\r\n\r\n')),
  },
];

uring('with clients: those that fail, by why', async () => {
  await withTier(async (stage) => {
    give(stage, [authority.secret('shop', ['shop.example']), authority.trusted('ca')]);
    const failed = { ...none };
    for (const { what, as, facts, fail } of failures) {
      await serve(stage, facts);
      await fail(stage);
      failed[as] += 1;
      const sum = Object.values(failed).reduce((all, count) => all + count, 0);
      const counted = (): Failed => handshakes(stage).failed;
      await stage.settled(() => Object.values(counted()).reduce((all, n) => all + n, 0) >= sum);
      assert.equal(counted(), failed, what);
    }
  });
});

uring('a client that connects and says nothing has begun none', async () => {
  await withTier(async (stage) => {
    give(stage, [authority.secret('shop', ['shop.example'])]);
    await serve(stage);
    await say(stage.port, Buffer.alloc(0));
    await ask(authority, stage.port);
    const { full, failed } = handshakes(stage);
    assert.equal([full, failed], [1, none]);
  });
});

uring('with members: full, resumed and failed ones', async () => {
  await withTier(async (stage) => {
    const { certificate, key } = authority.issue(['member.example']);
    const server = createServer({ cert: certificate, key }, (_asked, response) => {
      // So that each request has a connection of its own.
      response.setHeader('connection', 'close').end('member');
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port: member } = server.address() as AddressInfo;
    try {
      give(stage, [authority.secret('shop', ['shop.example']), authority.trusted('ca')]);
      const status = async (serverName: string): Promise<string> => {
        const pools = [poolWith([member], { tls: { ...memberTls, serverName } })];
        await stage.tier.execute(tablesOf([serviceAt(stage.port, { tls })], pools, 1));
        return (await ask(authority, stage.port)).answer.slice(9, 12);
      };
      // node gives two sessions with a full handshake and none with a resumed one; each is used once.
      for (let i = 0; i < 4; i += 1) assert.is(await status('member.example'), '200');
      assert.is(await status('other.example'), '502');
      const seen = handshakes(stage, member);
      assert.equal([seen.full, seen.resumed, seen.versions], [2, 2, { '1.2': 0, '1.3': 4 }]);
      // Each request is tried again, with the only member.
      assert.ok(seen.failed.certificate >= 1, 'the refused certificate is counted');
      assert.equal({ ...seen.failed, certificate: 0 }, none);
      assert.equal(handshakes(stage).failed, none, 'clients do not count there');
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});

test.run();
