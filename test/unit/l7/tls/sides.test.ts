/** What services and pools keep for connections of TLS, and what is left when they are gone. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { KeyRing } from '../../../../appliance/l7/tls/key-ring.js';
import { TlsSides } from '../../../../appliance/l7/tls/services.js';
import type { TlsEnds } from '../../../../appliance/l7/tls/sides.js';
import { ClientHello, helloProgress } from '../../../../appliance/l7/routing/client-hello.js';
import { helloOf, recordsOf } from '../../../support/client-hello.js';
import { TestAuthority } from '../../../support/tls-material.js';
import { memberTls, tls } from '../../../support/tls-workers.js';

const test = suite('sides of TLS');

const ends: TlsEnds = {
  accept: () => undefined,
  connect: () => undefined,
  certificateLines: () => null,
  serverName: () => '',
  received: () => undefined,
};

test('who began with a service or pool that is gone goes on, and no context of it is left', async () => {
  const authority = new TestAuthority();
  const ring = new KeyRing();
  const sides = new TlsSides(ends, ring, () => undefined);
  try {
    ring.set({
      certificates: [authority.secret('shop', ['shop.example']), authority.trusted('ca')],
      ticketKeys: [Buffer.alloc(80, 1)],
      challenges: [],
    });
    sides.apply([{ name: 'web', tls }], [{ name: 'web', tls: memberTls }]);
    const service = sides.service('web');
    const member = sides.pool('web')?.side({ id: 'web/a', key: 'a', host: '127.0.0.1' });
    if (service === null || member === undefined) throw new Error('both have TLS');
    sides.apply([], []);
    const hello = new ClientHello();
    const bytes = recordsOf(helloOf());
    assert.is(hello.feed(bytes, 0, bytes.length), helloProgress.done);
    const chosen = service.choose(hello);
    if (typeof chosen === 'number') throw new Error(`alert ${chosen}`);
    const { context, sessions } = member;
    assert.ok(chosen.pointer !== 0 && context.pointer !== 0, 'they can be used at once');
    await Promise.resolve();
    assert.is(chosen.pointer, 0, 'the context of the service is freed');
    assert.is(context.pointer, 0, 'the context of the pool is freed');
    assert.is(sessions.keep(0), false, 'no session is kept');
  } finally {
    sides.close();
    authority.close();
  }
});

test.run();
