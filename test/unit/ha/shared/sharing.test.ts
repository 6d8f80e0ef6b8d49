/** Two units with stores of their own over a real pair: what one has, both have, whatever happens. */
import { createHash, createPrivateKey, type KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { AccessEntries, type AccessEntry } from '../../../../appliance/config/access-entries.js';
import { CookieSecret } from '../../../../appliance/control/cookie-secret.js';
import { Sharing } from '../../../../appliance/control/shared/sharing.js';
import { CHANNEL, encode } from '../../../../appliance/ha/shared/messages.js';
import type { NewEvent } from '../../../../appliance/telemetry/event-log.js';
import { CertificateStore } from '../../../../appliance/tls/certificate-store.js';
import { makeCertificate, makeRequest } from '../../../../appliance/tls/issue.js';
import { makeKey } from '../../../../appliance/tls/keys.js';
import { Passwords } from '../../../../appliance/users/password.js';
import { UserStore } from '../../../../appliance/users/user-store.js';
import { CHEAP, PASSWORD, userScene } from '../../../support/user-scene.js';
import { TicketKeys } from '../../../../appliance/tls/ticket-keys.js';
import { freePort, PairUnit } from '../../../support/two-units.js';

const test = suite('sharing of two units');
const ends = ['127.0.0.1', '127.0.0.2'];

class SharingUnit {
  readonly events: NewEvent[] = [];
  readonly pairUnit: PairUnit;
  readonly certificates: CertificateStore;
  readonly tickets: TicketKeys;
  readonly cookies: CookieSecret;
  readonly access: AccessEntries;
  readonly users: UserStore;
  sharing: Sharing;
  now = 0;
  #wake: () => void = () => undefined;

  constructor(name: string, port: number) {
    this.pairUnit = new PairUnit(name, port);
    const { folder } = this.pairUnit;
    const raise = (error: unknown): never => {
      throw error;
    };
    this.certificates = CertificateStore.open(folder, {
      onListenerError: raise,
      now: () => this.now,
    });
    this.tickets = new TicketKeys({
      file: join(folder, 'tickets'),
      onChange: () => undefined,
      onError: raise,
    });
    this.cookies = CookieSecret.open(folder);
    this.access = AccessEntries.open(join(folder, 'access.db'));
    this.users = UserStore.open(join(folder, 'users.db'));
    this.sharing = this.#share();
    this.pairUnit.listener = (news) => {
      this.sharing.heard(news);
    };
  }

  #share(): Sharing {
    return new Sharing({
      pair: this.pairUnit.pair,
      certificates: this.certificates,
      tickets: this.tickets,
      cookies: this.cookies,
      access: this.access,
      users: this.users,
      onAccess: () => undefined,
      events: {
        append: (event) => {
          this.events.push(event);
          this.#wake();
          return { subject: {}, ...event, sequence: this.events.length, time: 0 };
        },
      },
      onCookies: () => undefined,
      onError: (error) => this.pairUnit.errors.push(error),
    });
  }

  /** Of the daemon. */
  restart(): void {
    this.sharing.close();
    this.pairUnit.restart();
    this.sharing = this.#share();
  }

  /** Resolves once an event says so, from the `from`-th on. */
  async said(what: RegExp, from = 0): Promise<string> {
    for (;;) {
      const found = this.events.slice(from).find(({ message }) => what.test(message));
      if (found !== undefined) return found.message;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** Everything in the store, and that each key fits its certificate. */
  content(): string[] {
    return this.certificates
      .versions()
      .map(({ name, waiting, at, digest }) => {
        const info = waiting ? this.certificates.request(name) : this.certificates.get(name);
        assert.is(info?.problem ?? null, null);
        return `${name} ${waiting} ${at} ${digest}`;
      })
      .sort();
  }

  async put(name: string, at: number, key?: KeyObject, author = 'ada'): Promise<string> {
    this.now = at;
    const made = key ?? (await makeKey('ecdsa-p256'));
    const leaf = await makeCertificate(
      made,
      { names: [`${name}.example`] },
      { now: Date.now(), lifetimeMs: 86_400_000 },
    );
    const plain = made.export({ type: 'pkcs8', format: 'der' });
    return this.certificates.put({
      ...{ name, kind: 'certificate', chain: [leaf], key: plain, source: 'imported', author },
    }).fingerprint;
  }

  close(): void {
    this.sharing.close();
    this.tickets.close();
    this.certificates.close();
    this.access.close();
    this.users.close();
    this.pairUnit.close();
  }
}

async function withUnits(
  work: (a: SharingUnit, b: SharingUnit) => Promise<void>,
  options: { readonly before?: (a: SharingUnit, b: SharingUnit) => Promise<void> } = {},
): Promise<void> {
  const port = await freePort();
  const [a, b] = [new SharingUnit('unit-a', port), new SharingUnit('unit-b', port)];
  try {
    await options.before?.(a, b);
    const { code } = await a.pairUnit.pair.invite(ends);
    await b.pairUnit.pair.join(code, ends[0] ?? '');
    await Promise.all([a.said(/are shared/), b.said(/are shared/)]);
    await work(a, b);
    assert.equal([...a.pairUnit.errors, ...b.pairUnit.errors], []);
  } finally {
    a.close();
    b.close();
  }
}

const equal = (a: SharingUnit, b: SharingUnit): void => {
  assert.equal(a.content(), b.content());
};

test('what each had before they were paired, both have then, keys too', () =>
  withUnits(
    async (a, b) => {
      equal(a, b);
      assert.is(a.content().length, 3);
      const plain = b.certificates.privateKey('shop');
      assert.ok(plain !== undefined);
      const key = createPrivateKey({ key: plain, format: 'der', type: 'pkcs8' });
      assert.is(key.asymmetricKeyType, 'ec');
      assert.equal(a.certificates.requestDer('wait'), b.certificates.requestDer('wait'));
      assert.equal(a.tickets.keys, b.tickets.keys);
      assert.is(a.tickets.keys.length, 2);
      assert.is(a.cookies.keyOf('shop'), b.cookies.keyOf('shop'));
    },
    {
      before: async (a, b) => {
        await a.put('shop', 1000);
        await b.put('mail', 2000);
        const key = await makeKey('ecdsa-p256');
        const der = await makeRequest(key, { names: ['wait.example'] });
        b.certificates.put({
          ...{ name: 'wait', kind: 'request', chain: [der], source: 'imported', author: 'ada' },
          key: key.export({ type: 'pkcs8', format: 'der' }),
        });
      },
    },
  ));

test('a change on either is on both when it is answered; so is a removal', () =>
  withUnits(async (a, b) => {
    await a.put('shop', 1000);
    assert.is(await a.sharing.certificate('shop', false), null);
    equal(a, b);
    b.now = 500;
    await b.put('shop', 500);
    assert.is(await b.sharing.certificate('shop', false), null);
    equal(a, b);
    assert.is(a.certificates.get('shop')?.changed, 1001, 'later than what it replaced');
    b.certificates.remove('shop');
    assert.is(await b.sharing.certificate('shop', false), null);
    assert.is(a.certificates.get('shop'), undefined);
    equal(a, b);
  }));

test('while the other is away the answer says so; the later change wins, and the other key is kept', () =>
  withUnits(async (a, b) => {
    await a.put('shop', 1000);
    await a.put('gone', 1000);
    await Promise.all([a.sharing.certificate('shop', false), a.sharing.certificate('gone', false)]);
    b.sharing.close();
    b.pairUnit.stop();
    await a.pairUnit.heard('alone');
    const lost = await a.put('shop', 2000);
    assert.match((await a.sharing.certificate('shop', false)) ?? '', /unit-b is away/);
    a.now = 2000;
    a.certificates.remove('gone');
    const won = await b.put('shop', 3000);
    const seen = [a.events.length, b.events.length] as const;
    b.restart();
    await Promise.all([a.said(/are shared/, seen[0]), b.said(/are shared/, seen[1])]);
    assert.match(await a.said(/both units had another certificate shop/), new RegExp(lost));
    const kept = a.certificates.list().find(({ name }) => name.startsWith('shop-conflict-'));
    assert.is(kept?.fingerprint, lost);
    assert.is(await a.sharing.certificate(kept?.name ?? '', false), null);
    assert.is(b.certificates.get('shop')?.fingerprint, won);
    assert.is(b.certificates.get('gone'), undefined);
    equal(a, b);
  }));

test('nothing that is not as it should be is taken, and it is told', () =>
  withUnits(async (a, b) => {
    await a.put('shop', 1000);
    await a.sharing.certificate('shop', false);
    const before = b.content();
    const header = (text: string, body: Uint8Array = Buffer.alloc(0), type = 2): Buffer => {
      const length = Buffer.alloc(5);
      length.writeUInt8(type);
      length.writeUInt32BE(Buffer.byteLength(text), 1);
      return Buffer.concat([length, Buffer.from(text), body]);
    };
    const entry = (more: object, body?: Uint8Array): Buffer =>
      header(
        JSON.stringify({
          ...{ key: 'certificate/live/shop', at: 5000, digest: 'ab'.repeat(32) },
          meta: { kind: 'certificate', source: 'imported', author: 'eve', chain: 4 },
          ...more,
        }),
        body,
      );
    const malformed = [
      Buffer.alloc(0),
      Buffer.from([9, 0, 0, 0, 0]),
      header('{}'),
      header('{', undefined, 1),
      Buffer.from([2, 255, 255, 255, 255]),
      header(`{"first":true,"last":true,"versions":${'['.repeat(50_000)}`, undefined, 1),
      entry({ at: 1e300 }),
      entry({ more: 1 }),
      entry({ key: 'nothing/x' }),
      entry({ meta: null }),
      header(JSON.stringify({ first: false, last: true, versions: [] }), undefined, 1),
    ];
    const notTaken = [
      entry({}),
      entry({}, Buffer.from([0, 0, 255, 0, 1, 2])),
      entry({ key: 'certificate/live/../x' }),
      entry({ key: 'certificate/live/__proto__' }),
      entry({ meta: [] }),
      entry({ key: 'ticket-key/x' }, Buffer.alloc(80)),
      entry({ key: 'cookie-secret/', at: 2 ** 48 - 1 }, Buffer.alloc(3)),
    ];
    for (const body of [...malformed, ...notTaken]) await a.pairUnit.session?.send(CHANNEL, body);
    assert.is(b.sharing.state.malformed, malformed.length);
    assert.is(b.sharing.state.notTaken, notTaken.length);
    assert.equal(b.content(), before);
    await a.put('shop', 6000);
    assert.is(await a.sharing.certificate('shop', false), null, 'and all goes on');
    equal(a, b);
  }));

test('an account at an authority is one on both, the one that was made or changed last', () =>
  withUnits(
    async (a, b) => {
      const accounts = [a, b].map(({ certificates }) => {
        const account = certificates.account('https://acme.example/dir');
        assert.ok(account !== null);
        return [account.url, createHash('sha256').update(account.key).digest('hex')];
      });
      assert.equal(accounts[0], accounts[1]);
      assert.is(accounts[0]?.[0], 'https://acme.example/account/b');
      const from = a.events.length;
      await b.pairUnit.session?.send(
        CHANNEL,
        encode({
          type: 'entry',
          entry: {
            ...{ key: 'acme-account/https://other.example/', at: 5, digest: 'ab' },
            ...{ meta: { url: null }, body: Buffer.from('no key') },
          },
        }),
      );
      assert.match(
        await a.said(/could not be taken/, from),
        /The key of the account at .* is none/,
      );
      assert.is(a.certificates.account('https://other.example/'), null);
    },
    {
      before: async (a, b) => {
        for (const [unit, name, at] of [
          [a, 'a', 1000],
          [b, 'b', 2000],
        ] as const) {
          const key = await makeKey('ecdsa-p256');
          unit.now = at;
          unit.certificates.putAccount(
            'https://acme.example/dir',
            key.export({ type: 'pkcs8', format: 'der' }),
            `https://acme.example/account/${name}`,
          );
        }
      },
    },
  ));

const entry = (
  prefix: string,
  verdict: 'allow' | 'deny',
  more: Partial<AccessEntry> = {},
): AccessEntry => {
  const now = Date.now();
  return {
    ...{ prefix, verdict, service: null, author: 'ada', comment: '' },
    ...{ created: now - 1000, expires: now + 3_600_000, ...more },
  };
};
const accessOf = ({ access }: SharingUnit): string[] =>
  access
    .list()
    .map(({ prefix, service, verdict }) => `${verdict} ${prefix} ${service ?? 'all'}`)
    .sort();

test('temporary entries of access lists are on both, as they were last changed, and end on both', () =>
  withUnits(
    async (a, b) => {
      assert.equal(accessOf(a), ['allow 192.0.2.7/32 all', 'deny 198.51.100.0/24 shop']);
      assert.equal(accessOf(b), accessOf(a), 'of two the later one');
      const [left] = b.access.list().filter(({ service }) => service === 'shop');
      const over = Math.abs((left?.expires ?? 0) - Date.now() - 3_600_000);
      assert.ok(over < 60_000, `it has the hour that is left, and not ${over} ms more or less`);
      const removed = b.said(/removed the temporary entry 192\.0\.2\.7\/32 for every service/);
      assert.ok(a.access.remove('192.0.2.7/32', null));
      await removed;
      assert.equal(accessOf(b), ['deny 198.51.100.0/24 shop']);
      const back = a.said(/unit-b: ada: deny 192\.0\.2\.7\/32 for every service until/);
      b.access.put(entry('192.0.2.7/32', 'deny'));
      await back;
      assert.equal(accessOf(a), ['deny 192.0.2.7/32 all', 'deny 198.51.100.0/24 shop']);
      // What was removed while the units were apart stays removed, and comes back to nobody.
      const from = a.events.length;
      b.sharing.close();
      b.pairUnit.stop();
      await a.pairUnit.heard('alone');
      assert.ok(a.access.remove('198.51.100.0/24', 'shop'));
      const gone = b.said(/removed the temporary entry 198\.51/);
      b.restart();
      await Promise.all([gone, a.said(/are shared/, from)]);
      assert.equal(accessOf(b), ['deny 192.0.2.7/32 all']);
      assert.equal(accessOf(a), accessOf(b));
    },
    {
      before: async (a, b) => {
        const now = Date.now();
        a.access.put(entry('192.0.2.7/32', 'deny', { created: now - 9000 }));
        b.access.put(entry('192.0.2.7/32', 'allow', { created: now - 8000 }));
        a.access.put(entry('198.51.100.0/24', 'deny', { service: 'shop' }));
        a.access.put(entry('203.0.113.0/24', 'deny', { expires: now - 1 }));
        a.access.prune(now);
      },
    },
  ));

test('users and tokens of one unit open the other, and what is taken away is taken from both', async () => {
  const passwords = new Passwords(CHEAP);
  let secret = '';
  const before = async (a: SharingUnit): Promise<void> => {
    const here = userScene({ store: a.users, passwords });
    const by = { author: 'root' };
    await here.users.add({ name: 'anna', role: 'administrator', password: PASSWORD, ...by });
    await here.users.add({ name: 'otto', role: 'operator', password: PASSWORD, ...by });
    secret = here.users.createToken({ name: 'ci', role: 'viewer', lifetimeMs: null, ...by }).token;
    here.close();
  };
  await withUnits(
    async (a, b) => {
      const there = userScene({ store: b.users, passwords });
      const login = { password: PASSWORD, source: 'x', from: 'x' };
      try {
        const { token } = await there.users.login({ name: 'otto', ...login });
        assert.is(there.users.holder(token, true)?.role, 'operator');
        assert.is(there.users.holder(secret, true)?.name, 'ci');
        const gone = new Promise<void>((resolve) => {
          b.users.onChange((kind) => {
            if (kind === 'token') resolve();
          });
        });
        a.users.put('user', 'otto', null);
        a.users.put('token', 'ci', null);
        await gone;
        assert.is(there.users.holder(token, true), null);
        assert.is(there.users.holder(secret, true), null);
        assert.equal(
          b.users.list('user').map(({ name }) => name),
          ['anna'],
        );
      } finally {
        there.close();
      }
    },
    { before },
  );
});

test('of two users of one name that of the inviter counts, whichever is later', async () => {
  const passwords = new Passwords(CHEAP);
  const other = 'of the unit that joins';
  let session = '';
  const login = { name: 'admin', source: 'x', from: 'x' };
  const by = { role: 'administrator', author: 'root' } as const;
  const before = async (a: SharingUnit, b: SharingUnit): Promise<void> => {
    const here = userScene({ store: a.users, passwords });
    await here.users.add({ name: 'admin', password: PASSWORD, ...by });
    here.close();
    const there = userScene({ store: b.users, passwords });
    await there.users.add({ name: 'admin', password: other, ...by });
    await there.users.add({ name: 'berta', password: other, ...by });
    there.close();
  };
  await withUnits(
    async (a, b) => {
      const units = [a, b].map((unit) => userScene({ store: unit.users, passwords }));
      try {
        for (const { users } of units) {
          ({ token: session } = await users.login({ ...login, password: PASSWORD }));
          assert.is(users.holder(session, true)?.name, 'admin');
          await users.login({ ...login, name: 'berta', password: other });
          const failed = await users.login({ ...login, password: other }).catch(String);
          assert.type(failed, 'string', 'the password of the unit that joined is no password now');
        }
        await b.said(/both units had a user admin: that of the unit that invited counts/);
        assert.not.ok(a.events.some(({ message }) => message.includes('both units had')));
        assert.not.ok(b.events.some(({ message }) => message.includes('berta')));
      } finally {
        for (const unit of units) unit.close();
      }
    },
    { before },
  );
});

test.run();
