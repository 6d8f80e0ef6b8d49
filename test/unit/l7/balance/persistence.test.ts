/** Stickiness: cookies in and out, hostile ones too; what is remembered; going over to another member. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CookieFinder, setCookieLine } from '../../../../appliance/l7/balance/cookies.js';
import { CookieMint, ValueIndex } from '../../../../appliance/l7/balance/cookie-mint.js';
import type { MemberState } from '../../../../appliance/l7/balance/members.js';
import { Choosers, type Chooser } from '../../../../appliance/l7/balance/persistence.js';
import { StickyTable } from '../../../../appliance/l7/balance/sticky-table.js';
import type { ClientAddress } from '../../../../appliance/l7/client-address.js';
import { progress } from '../../../../appliance/l7/http1/faults.js';
import { RequestHead } from '../../../../appliance/l7/http1/request-head.js';
import { ResponseHead } from '../../../../appliance/l7/http1/response-head.js';
import { writeAddress } from '../../../../appliance/l7/http1/proxy-protocol.js';
import type { L7Member, L7Persistence } from '../../../../appliance/l7/tables.js';
import {
  memberOf,
  poolOf,
  takeOver,
  workersOf,
  type PlayedWorker,
} from '../../../support/balance.js';
import { generator } from '../../../support/random.js';

const test = suite('l7 persistence');
const latin = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));
const key = Buffer.alloc(32, 7).toString('base64');
const cookie = {
  kind: 'cookie',
  name: 'WEIR',
  protection: 'signed',
  key,
  maxAge: null,
  path: '/',
  domain: null,
  secure: false,
  httpOnly: true,
  sameSite: null,
} as const satisfies L7Persistence;

function clientOf(text: string): ClientAddress {
  const bytes = new Uint8Array(16);
  if (text.includes(':')) {
    writeAddress(bytes, text);
    return { bytes, family: 6 };
  }
  bytes.fill(255, 10, 12);
  writeAddress(bytes.subarray(12), text);
  return { bytes, family: 4 };
}
const nobody = clientOf('192.0.2.1');

interface Request {
  readonly head: RequestHead;
  readonly bytes: Uint8Array;
}

function requestOf(fields: string, target = '/'): Request {
  const bytes = latin(`GET ${target} HTTP/1.1\r\nHost: a\r\n${fields}\r\n`);
  const head = new RequestHead();
  head.reset(0);
  assert.is(head.parse(bytes, bytes.length), progress.done, `refused: ${fields}`);
  return { head, bytes };
}

function answerOf(fields: string): { head: ResponseHead; bytes: Uint8Array } {
  const bytes = latin(`HTTP/1.1 200 OK\r\nContent-Length: 0\r\n${fields}\r\n`);
  const head = new ResponseHead();
  head.reset(0);
  assert.is(head.parse(bytes, bytes.length), progress.done);
  return { head, bytes };
}

function played(
  persistence: L7Persistence,
  members: readonly L7Member[],
  worker?: PlayedWorker,
): { worker: PlayedWorker; chooser: Chooser; choosers: Choosers } {
  const pool = poolOf(members);
  const next =
    worker === undefined
      ? (workersOf(1, pool)[0] as PlayedWorker)
      : takeOver(worker.memory, worker.members, pool);
  const table = new StickyTable(new ArrayBuffer(StickyTable.bytes(1024)), 0, 1024, 0);
  const choosers = new Choosers(table);
  return {
    worker: next,
    choosers,
    chooser: choosers.of('shop', persistence, next.balancer, false),
  };
}

function chosen(
  chooser: Chooser,
  { head, bytes }: Request,
  now = 0,
  client = nobody,
  tried: MemberState | null = null,
): MemberState {
  const member = chooser.choose(head, bytes, client, 1, now, tried);
  assert.ok(member, 'somebody serves');
  member.end(now, 10, 0, false);
  return member;
}

function valueIn(line: Uint8Array | null): string {
  const found = /^Set-Cookie: WEIR=([\w-]+); Path=\/; HttpOnly\r\n$/.exec(
    Buffer.from(line ?? []).toString('latin1'),
  );
  assert.ok(found?.[1], 'a cookie is set');
  return found[1];
}

const four = [0, 1, 2, 3].map((index) => memberOf(index));

for (const protection of ['plain', 'signed', 'encrypted'] as const) {
  test(`a ${protection} cookie brings the client back to its member`, () => {
    const { worker, chooser } = played({ ...cookie, protection }, four);
    const values = new Set<string>();
    for (let i = 0; i < 4; i += 1) {
      const first = chosen(chooser, requestOf(''));
      const value = valueIn(chooser.setCookie);
      values.add(value);
      for (const fields of [
        `Cookie: WEIR=${value}\r\n`,
        `Cookie: a=b; WEIR=${value}; c=d\r\n`,
        `Cookie: WEIRD=1;WEIR=nonsense;;  WEIR="${value}" \r\n`,
        `Cookie: x=y\r\nCookie: WEIR=${value}\r\n`,
      ]) {
        assert.is(chosen(chooser, requestOf(fields)), first, fields);
        assert.is(chooser.setCookie, null, 'nothing to tell');
      }
      const text = Buffer.from(value, 'base64url').toString('latin1') + value;
      assert.not.match(text, first.key);
    }
    assert.is(values.size, 4);
    // Another worker, the other unit, after a restart: the same values.
    const other = played({ ...cookie, protection }, [...four].reverse());
    for (const value of values) {
      chosen(other.chooser, requestOf(`Cookie: WEIR=${value}\r\n`));
      assert.is(other.chooser.setCookie, null);
    }
    const odd = played(
      { ...cookie, protection, key: Buffer.alloc(32, 8).toString('base64') },
      four,
    );
    for (const value of values) {
      chosen(odd.chooser, requestOf(`Cookie: WEIR=${value}\r\n`));
      assert.is(odd.chooser.setCookie === null, protection === 'plain', 'another key');
    }
    assert.ok(worker.states.every(({ active }) => active === 0));
  });
}

test('the name of the pool is in the cookie where a service leads to several', () => {
  const { worker, choosers } = played(cookie, four);
  const chooser = choosers.of('shop', cookie, worker.balancer, true);
  chosen(chooser, requestOf(''));
  assert.match(Buffer.from(chooser.setCookie ?? []).toString(), /^Set-Cookie: WEIR-[0-9a-f]{8}=/);
});

test('forged and broken cookies choose nobody: every change of a right value', () => {
  const { chooser } = played(cookie, four);
  chosen(chooser, requestOf(''));
  const value = valueIn(chooser.setCookie);
  const refused = (text: string): void => {
    const { head, bytes } = requestOf(`Cookie: WEIR=${text}\r\n`);
    assert.is(chooser.lookup(head, bytes, nobody, 0), null, text);
  };
  for (let i = 0; i < value.length; i += 1) {
    for (const other of 'Aa0-_=%') {
      if (other !== value[i]) refused(value.slice(0, i) + other + value.slice(i + 1));
    }
    refused(value.slice(0, i));
    refused(value.slice(0, i) + value.slice(i + 1));
  }
  for (const text of ['', `${value}A`, ` ${value}x`, `"${value}`, `${value}"`, `=${value}`]) {
    refused(text);
  }
});

test('any octets in Cookie are read as the reference reads them, and other cookies stay as they are', () => {
  const piece = fc.constantFrom(
    'WEIR',
    'WEI',
    'WEIRD',
    'weir',
    '=',
    '=',
    ';',
    '; ',
    ' ',
    '\t',
    '"',
    ',',
    'v1',
    'v2',
    'a',
    '\xff',
    '%',
    '\\',
  );
  const value = fc.array(piece, { maxLength: 14 }).map((list) => list.join('').trim());
  fc.assert(
    fc.property(fc.array(value, { minLength: 1, maxLength: 3 }), (fields) => {
      const { head, bytes } = requestOf(fields.map((text) => `Cookie: ${text}\r\n`).join(''));
      const pairs = fields.map((text) =>
        text.split(';').map((pair) => pair.replace(/^[ \t]+|[ \t]+$/g, '')),
      );
      const mine = (pair: string): boolean => pair.startsWith('WEIR=');
      const expected = pairs
        .flat()
        .filter(mine)
        .map((pair) => pair.slice(5).replace(/^"(.*)"$/s, '$1'));
      const finder = new CookieFinder('WEIR');
      const seen: string[] = [];
      finder.begin();
      while (finder.next(head, bytes)) {
        seen.push(Buffer.from(bytes.subarray(finder.start, finder.end)).toString('latin1'));
      }
      assert.equal(seen, expected);
      const { length } = bytes;
      const tail = bytes.slice(head.fieldsEnd);
      finder.remove(head, bytes);
      assert.is(bytes.length, length);
      assert.equal(bytes.slice(head.fieldsEnd), tail);
      let index = 0;
      for (let i = 0; i < head.count; i += 1) {
        if (head.name(bytes, i) !== 'Cookie') continue;
        const others = (pairs[index] ?? []).filter((pair) => pair !== '' && !mine(pair));
        const had = (pairs[index] ?? []).some(mine);
        const left = head.value(bytes, i);
        const line = Buffer.from(bytes.subarray(head.nameStart[i], head.lineEnd(i)));
        assert.match(line.toString('latin1'), /^Cookie: ?[^\r\n]*\r\n$/);
        if (!had) assert.is(left, fields[index]);
        else if (head.drop[i] === 1) assert.equal(others, []);
        else {
          const kept = left.split(';').map((pair) => pair.replace(/^[ \t]+|[ \t]+$/g, ''));
          assert.equal(
            kept.filter((pair) => pair !== ''),
            others,
          );
          assert.is(line.toString('latin1').trimEnd(), `Cookie: ${left}`.trimEnd());
        }
        index += 1;
      }
    }),
    { numRuns: 3000 },
  );
});

test('attributes are written, and what would end the line is refused', () => {
  const line = setCookieLine('W', 'v', {
    maxAge: 60,
    path: '/a',
    domain: 'shop.example',
    secure: true,
    httpOnly: true,
    sameSite: 'none',
  });
  assert.is(
    Buffer.from(line).toString(),
    'Set-Cookie: W=v; Path=/a; Domain=shop.example; Max-Age=60; Secure; HttpOnly; SameSite=None\r\n',
  );
  const plain = { maxAge: null, domain: null, secure: false, httpOnly: false, sameSite: null };
  for (const path of ['/\r\nX: y', '/;x', '/\x7f', '/\xe4']) {
    assert.throws(() => setCookieLine('W', 'v', { ...plain, path }), RangeError);
  }
  for (const name of ['', 'a b', 'a=b', 'a;b']) {
    assert.throws(() => setCookieLine(name, 'v', { ...plain, path: '/' }), RangeError);
  }
  assert.throws(() => new CookieMint('signed', Buffer.alloc(31).toString('base64')), /31 octets/);
});

test('the index of values finds each of a thousand and nothing else', () => {
  for (const protection of ['plain', 'signed', 'encrypted'] as const) {
    const values = new CookieMint(protection, key).values(
      Array.from({ length: 1000 }, (_, i) => `web/${i}`),
    );
    const index = new ValueIndex(values);
    for (const [i, value] of values.entries()) {
      assert.match(value, /^[\w-]+$/);
      const bytes = latin(`xx${value}y`);
      assert.is(index.find(bytes, 2, bytes.length - 1), i);
      assert.is(index.find(bytes, 1, bytes.length - 2), -1);
      assert.is(index.find(bytes, 2, bytes.length), -1);
    }
  }
  assert.is(new ValueIndex([]).find(latin('x'), 0, 1), -1);
  assert.is(new ValueIndex([]).find(latin('x'), 0, 0), -1);
});

const remembered: readonly {
  readonly persistence: L7Persistence;
  readonly ask: (who: string) => { request: Request; client: ClientAddress };
}[] = [
  {
    persistence: { kind: 'header', name: 'X-User', timeout: 1000 },
    ask: (who) => ({ request: requestOf(`x-user:  ${who} \r\n`), client: nobody }),
  },
  {
    persistence: { kind: 'query', name: 'sid', timeout: 1000 },
    ask: (who) => ({ request: requestOf('', `/a?sidx=1&xsid=2&sid=${who}&b`), client: nobody }),
  },
  {
    persistence: { kind: 'application-cookie', name: 'SESSION', timeout: 1000 },
    ask: (who) => ({ request: requestOf(`Cookie: a=1; SESSION=${who}\r\n`), client: nobody }),
  },
  {
    persistence: { kind: 'source-address', timeout: 1000, prefix: 24, prefix6: 56 },
    ask: (who) => ({ request: requestOf(''), client: clientOf(`10.7.${who}.9`) }),
  },
];

for (const { persistence, ask } of remembered) {
  test(`${persistence.kind}: clients stay while they come back in time`, () => {
    const { chooser } = played(persistence, four);
    const choose = (who: number, now: number): MemberState => {
      const { request, client } = ask(String(who));
      const member = chosen(chooser, request, now, client);
      assert.is(chooser.setCookie, null);
      return member;
    };
    const first = Array.from({ length: 40 }, (_, who) => choose(who, 0));
    assert.is(new Set(first).size, 4, 'spread over all');
    for (let now = 999; now < 5000; now += 999) {
      for (const [who, member] of first.entries()) assert.is(choose(who, now), member, `${who}`);
    }
    const { request, client } = ask('3');
    assert.is(chooser.lookup(request.head, request.bytes, client, 3996 + 999), first[3]);
    assert.is(chooser.lookup(request.head, request.bytes, client, 3996 + 999 + 1000), null);
  });

  test(`${persistence.kind}: who is down, ejected or gone gives its clients to another, which they keep`, () => {
    const { worker, chooser, choosers } = played(persistence, four);
    const { request, client } = ask('5');
    const old = chosen(chooser, request, 0, client);
    /** The next snapshot, in which the member is so, or is not. */
    const next = (facts: Partial<L7Member> | null): Chooser => {
      const members = four.flatMap((member) =>
        member.id !== old.id ? [member] : facts === null ? [] : [{ ...member, ...facts }],
      );
      const { balancer } = takeOver(worker.memory, worker.members, poolOf(members));
      return choosers.of('shop', persistence, balancer, false);
    };
    const same = (seen: MemberState, due: MemberState, why: string): void =>
      assert.is(seen.key, due.key, why);
    const draining = next({ state: 'draining', takes: false });
    same(chosen(draining, request, 10, client), old, 'a draining member keeps its clients');
    const down = next({ state: 'down', takes: false });
    const second = chosen(down, request, 20, client);
    assert.is.not(second, old);
    for (let i = 0; i < 8; i += 1) same(chosen(down, request, 30 + i, client), second, 'it stays');
    const back = next({});
    same(chosen(back, request, 50, client), second, 'it stays where its session is now');
    same(chosen(next(null), request, 60, client), second, 'another one is gone');
    const third = chosen(back, request, 70, client, second);
    assert.is.not(third, second, 'not the one that just failed');
    same(chosen(back, request, 80, client), third, 'and this one from then on');
    const ejecting = takeOver(
      worker.memory,
      worker.members,
      poolOf(four, {
        ejection: { failures: 1, share: 1, minimum: 100, within: 800, hold: 100, most: 0.5 },
      }),
    );
    const last = choosers.of('shop', persistence, ejecting.balancer, false);
    assert.ok(third.admit());
    third.end(90, -1, 0, true);
    assert.is.not(chosen(last, request, 91, client).key, third.key, 'ejected');
  });

  test(`${persistence.kind}: pools and services are apart`, () => {
    const { worker, choosers, chooser } = played(persistence, four);
    const { request, client } = ask('7');
    const member = chosen(chooser, request, 0, client);
    const other = choosers.of('mail', persistence, worker.balancer, false);
    assert.is(other.lookup(request.head, request.bytes, client, 1), null);
    assert.is(chooser.lookup(request.head, request.bytes, client, 1), member);
  });
}

test('nothing to go by, nothing remembered', () => {
  for (const { persistence } of remembered.slice(0, 3)) {
    const { chooser } = played(persistence, four);
    for (const request of [
      requestOf(''),
      requestOf('X-User:\r\nCookie: SESSION=; SESSIONS=1\r\n', '/?sid='),
      requestOf('X-User2: a\r\n', '/sid=1'),
    ]) {
      const seen = [0, 1, 2, 3].map(() => chosen(chooser, request));
      assert.is(new Set(seen).size, 4, `${persistence.kind}: in turn`);
    }
    assert.is(chooser.choose(null, new Uint8Array(0), nobody, 1, 0, null)?.active, 1);
  }
});

test('a cookie of the application is learned from the answer that sets it', () => {
  const { chooser, worker } = played(
    { kind: 'application-cookie', name: 'JSESSIONID', timeout: 1000 },
    four,
  );
  const member = worker.states[2]!;
  const answer = answerOf(
    'Set-Cookie: a=b\r\nSet-Cookie: JSESSIONID="x.1"; Path=/\r\nSet-Cookie: JSESSIONID=\r\n',
  );
  chooser.answered(answer.head, answer.bytes, 0, member);
  const { head, bytes } = requestOf('Cookie: JSESSIONID=x.1\r\n');
  assert.is(chooser.lookup(head, bytes, nobody, 10), member);
});

test('IPv4 and IPv6 clients are cut by their own prefix', () => {
  const { chooser } = played(
    { kind: 'source-address', timeout: 1000, prefix: 24, prefix6: 56 },
    four,
  );
  const request = requestOf('');
  const of = (text: string): MemberState | null =>
    chooser.lookup(request.head, request.bytes, clientOf(text), 1);
  const a = chosen(chooser, request, 0, clientOf('192.0.2.1'));
  const b = chosen(chooser, request, 0, clientOf('2001:db8:0:1234::1'));
  assert.is(of('192.0.2.200'), a);
  assert.is(of('192.0.3.1'), null);
  assert.is(of('2001:db8:0:12ff::9'), b);
  assert.is(of('2001:db8:0:1334::1'), null);
});

test('a full member sends its client to another, with a new cookie', () => {
  const members = four.map((member) => ({ ...member, maxConnections: 1 }));
  const { chooser } = played(cookie, members);
  const random = generator(3);
  const first = requestOf('');
  const held = chooser.choose(first.head, first.bytes, nobody, random(99), 0, null)!;
  const value = valueIn(chooser.setCookie);
  const again = requestOf(`Cookie: WEIR=${value}\r\n`);
  const other = chosen(chooser, again);
  assert.is.not(other, held);
  assert.is.not(valueIn(chooser.setCookie), value);
  held.end(0, 1, 0, false);
  assert.is(chosen(chooser, again), held);
});

test.run();
