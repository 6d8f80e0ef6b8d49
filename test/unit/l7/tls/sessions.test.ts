/** Clients of TLS 1.2 without tickets resume at any worker, for as long as they may. */
import { constants, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect as tcpConnect } from 'node:net';
import { join } from 'node:path';
import { connect, type ConnectionOptions } from 'node:tls';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SessionTable } from '../../../../appliance/l7/tls/session-table.js';
import { needs } from '../../../support/needs.js';
import { TestAuthority } from '../../../support/tls-material.js';
import { sClient } from '../../../support/s-client.js';
import { ask, give, handshakes, serve } from '../../../support/tls-workers.js';
import { withTier } from '../../../support/worker-stage.js';

const test = suite('stored sessions of TLS 1.2');
const uring = needs.uring(test);

let authority: TestAuthority;
test.before(() => {
  authority = new TestAuthority();
});
test.after(() => {
  authority.close();
});

const withoutTickets: ConnectionOptions = {
  maxVersion: 'TLSv1.2',
  secureOptions: constants.SSL_OP_NO_TICKET,
};

uring('a client without tickets resumes by whichever worker, and not without its key', async () => {
  await withTier(async (stage) => {
    const secrets = [authority.secret('shop', ['shop.example'])];
    const [first, second] = [randomBytes(80), randomBytes(80)];
    give(stage, secrets, [first]);
    await serve(stage, {}, 3);
    const resumes = async (session: Buffer): Promise<boolean> =>
      (await ask(authority, stage.port, { ...withoutTickets, session })).reused;
    const { session } = await ask(authority, stage.port, withoutTickets);
    assert.ok(session, 'there is a session');
    for (let i = 0; i < 12; i += 1) assert.ok(await resumes(session), `connection ${i} resumes`);
    const { full, resumed } = handshakes(stage);
    assert.equal([full, resumed], [1, 12]);
    give(stage, secrets, [second, first]);
    await serve(stage, {}, 3);
    assert.ok(await resumes(session), 'by a former key');
    give(stage, secrets, [second]);
    await serve(stage, {}, 3);
    assert.not(await resumes(session), 'without its key');
  });
});

uring(
  'a session is good for the service and the demands on clients that it was made for',
  async () => {
    await withTier(async (stage) => {
      const foreign = new TestAuthority();
      try {
        const shop = authority.secret('shop', ['shop.example']);
        const keys = [randomBytes(80)];
        const clients = { mode: 'required', authorities: ['ca'], depth: 2, headers: [] } as const;
        give(stage, [shop, authority.trusted('ca')], keys);
        await serve(stage, { clients });
        const { certificate: cert, key } = authority.issue(['client.example']);
        const options = { ...withoutTickets, cert, key };
        const { session } = await ask(authority, stage.port, options);
        assert.ok(session, 'there is a session');
        const again = await ask(authority, stage.port, { ...withoutTickets, session });
        assert.ok(again.reused, 'the client is known without showing its certificate again');
        // Whoever trusted the former authority must not get in by what was stored then.
        give(stage, [shop, { ...foreign.trusted('ca'), generation: '2' }], keys);
        await serve(stage, { clients });
        const refused = await ask(authority, stage.port, { ...options, session }).catch(
          (error: unknown) => error,
        );
        assert.instance(refused, Error, 'its certificate is of no authority now');
        await serve(stage, { tickets: false });
        const { session: none, reused } = await ask(authority, stage.port, {
          ...withoutTickets,
          session,
        });
        assert.equal([reused, none?.length ?? 0], [false, 0], 'nobody resumes without tickets');
      } finally {
        foreign.close();
      }
    });
  },
);

/** A connection of openssl's; what it says of it, such as "Reused". */
const openssl = (port: number, ...more: string[]): Promise<string> =>
  sClient(port, ['-tls1_2', ...more]);

uring('the session of a connection that failed is forgotten (RFC 5246 §7.2.2)', async () => {
  await withTier(async (stage) => {
    give(stage, [authority.secret('shop', ['shop.example'])]);
    await serve(stage, {}, 2);
    const { session } = await ask(authority, stage.port, withoutTickets);
    assert.ok(session, 'there is a session');
    const raw = tcpConnect(stage.port, '127.0.0.1');
    const client = connect({
      ...withoutTickets,
      ...{ socket: raw, session, servername: 'shop.example', rejectUnauthorized: false },
    });
    await once(client, 'secureConnect');
    assert.ok(client.isSessionReused());
    const failed = once(client, 'error');
    // A record that nobody has the keys for.
    raw.write(Buffer.concat([Buffer.from([23, 3, 3, 0, 40]), randomBytes(40)]));
    assert.match(String((await failed)[0]), /alert (bad record mac|unexpected message)/);
    client.destroy();
    assert.not((await ask(authority, stage.port, { ...withoutTickets, session })).reused);
  });
});

uring('openssl without tickets resumes', async () => {
  await withTier(async (stage) => {
    give(stage, [authority.secret('shop', ['shop.example'])]);
    await serve(stage, {}, 2);
    const file = join(authority.folder, 'session');
    assert.match(await openssl(stage.port, '-no_ticket', '-sess_out', file), /^New, TLSv1\.2/m);
    for (let i = 0; i < 4; i += 1) {
      const said = await openssl(stage.port, '-no_ticket', '-sess_in', file);
      assert.match(said, /^Reused, TLSv1\.2/m, `connection ${i}`);
    }
  });
});

const ENTRIES = 64;

/** A table, and a second worker's view of it. */
function tables(now: { seconds: number }): [SessionTable, SessionTable, Uint8Array] {
  const memory = new ArrayBuffer(SessionTable.bytes(ENTRIES));
  const made = [0, 1].map(() => new SessionTable(memory, 0, ENTRIES, () => now.seconds));
  const [one, other] = made as [SessionTable, SessionTable];
  return [one, other, new Uint8Array(memory)];
}

test('what one worker keeps another finds, until it is forgotten or its time is over', () => {
  const now = { seconds: 1_800_000_000 };
  const [one, other] = tables(now);
  const keys = [randomBytes(80)];
  one.setKeys(keys);
  other.setKeys(keys);
  const [id, session] = [randomBytes(32), randomBytes(300)];
  assert.is(other.find(id), null);
  one.keep(id, session);
  assert.equal(other.find(id), session);
  now.seconds += 7199;
  assert.equal(other.find(id), session);
  now.seconds += 1;
  assert.is(other.find(id), null, 'its time is over');
  one.keep(id, session);
  assert.equal(other.find(id), session);
  other.forget(id);
  assert.is(one.find(id), null, 'forgotten');
});

test('the memory says nothing of a session, and what was changed in it is not found', () => {
  const now = { seconds: 1_800_000_000 };
  const [one, other, memory] = tables(now);
  const keys = [randomBytes(80)];
  one.setKeys(keys);
  other.setKeys(keys);
  const [id, session] = [randomBytes(32), Buffer.alloc(300, 'secret')];
  one.keep(id, session);
  assert.not(Buffer.from(memory).includes('secret'));
  const used = memory.findIndex((octet) => octet !== 0);
  for (let at = used + 32; at < used + 32 + 28 + 300; at += 9) {
    memory[at] = (memory[at] ?? 0) ^ 1;
    assert.is(other.find(id), null, `octet ${at - used} was changed`);
    memory[at] = (memory[at] ?? 0) ^ 1;
  }
  assert.equal(other.find(id), session);
  const similar = Buffer.concat([id.subarray(0, 31), Buffer.from([(id[31] ?? 0) ^ 1])]);
  assert.is(other.find(similar), null, 'an id that begins the same');
});

test('it is bounded: who comes new takes the place of who expires first', () => {
  const now = { seconds: 1_800_000_000 };
  const [one] = tables(now);
  one.setKeys([randomBytes(80)]);
  const ids = Array.from({ length: 20 * ENTRIES }, () => randomBytes(32));
  for (const id of ids) {
    one.keep(id, id);
    now.seconds += 1;
  }
  const found = ids.map((id) => one.find(id) !== null);
  const count = found.filter(Boolean).length;
  assert.ok(count <= ENTRIES && count > ENTRIES / 2, `${count} of ${ENTRIES} entries are used`);
  assert.ok(found.lastIndexOf(true) === ids.length - 1, 'the last one is there');
  assert.not(found.slice(0, 10 * ENTRIES).includes(true), 'the first ones are not');
});

test('without keys, or with other ones, nothing is stored or found', () => {
  const [one, other] = tables({ seconds: 1_800_000_000 });
  const id = randomBytes(32);
  one.keep(id, randomBytes(100));
  assert.is(one.find(id), null);
  one.setKeys([randomBytes(80)]);
  one.keep(id, randomBytes(100));
  assert.ok(one.find(id));
  other.setKeys([randomBytes(80)]);
  assert.is(other.find(id), null);
  one.keep(randomBytes(32), randomBytes(one.most + 1));
  one.keep(randomBytes(4), randomBytes(10));
  assert.is(one.find(randomBytes(4)), null, 'a short id is none');
});

test.run();
