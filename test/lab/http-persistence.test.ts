/**
 * Clients that stay with their member, seen from outside: curl with its cookie jar, through draining
 * and death and over both workers.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../support/needs.js';
import { listenAt, loud, membersOf, ProxyLab, service4 } from './proxy-lab.js';
import { addressOf, labPaths, type MemberName } from './topology.js';

const test = suite('persistence through the unit');
const lab = needs.lab(test);
const names = ['member-1', 'member-2', 'member-3'] as const;
const ports = {
  signed: 80,
  encrypted: 81,
  plain: 82,
  application: 83,
  header: 84,
  query: 85,
  source: 86,
};
let stage: ProxyLab;

function at(service: keyof typeof ports, path = '/'): string {
  return `http://${service4}:${ports[service]}${path}`;
}

test.before(
  loud(async () => {
    stage = await ProxyLab.open();
    const cookie = { type: 'cookie' };
    const persistence: Readonly<Record<keyof typeof ports, object>> = {
      signed: { ...cookie, 'same-site': 'lax', timeout: '1h' },
      encrypted: { ...cookie, name: 'STAY', protection: 'encrypted' },
      plain: { ...cookie, protection: 'plain' },
      application: { type: 'application-cookie', name: 'SESSION' },
      header: { type: 'header', name: 'X-Session' },
      query: { type: 'query', name: 'session' },
      source: { type: 'source-address' },
    };
    const pool = (weights: readonly number[]): object => ({
      algorithm: 'weighted-round-robin',
      members: membersOf(names).map((member, index) => ({ ...member, weight: weights[index] })),
      monitor: {
        type: 'http',
        path: '/healthz',
        interval: '200ms',
        timeout: '150ms',
        rise: 1,
        fall: 2,
      },
    });
    await stage.apply({
      pools: { web: pool([1, 1, 1]) },
      services: Object.fromEntries(
        Object.entries(ports).map(([name, port]) => [
          name,
          {
            listen: listenAt(port),
            pool: 'web',
            persistence: persistence[name as keyof typeof ports],
          },
        ]),
      ),
    });
    await stage.unit.untilMembers(
      names.map((name) => addressOf(name, 4)),
      ['UP'],
    );
  }),
);

test.after(() => stage.close());

/** Who answered so many requests, each on a connection of its own. */
async function who(times: number, ...args: string[]): Promise<string[]> {
  const seen: string[] = [];
  for (let i = 0; i < times; i += 1) seen.push((await stage.curl(...args)).trim());
  return seen;
}

let jars = 0;
/** The arguments of a browser that keeps its cookies. */
function browser(): string[] {
  jars += 1;
  const jar = join(labPaths(process.pid).files, `jar-${jars}`);
  return ['-b', jar, '-c', jar];
}

function cookieOf(args: readonly string[], name: string): string | undefined {
  const [, jar = ''] = args;
  if (!existsSync(jar)) return undefined;
  return readFileSync(jar, 'utf8')
    .split('\n')
    .map((line) => line.split('\t'))
    .find((parts) => parts[5] === name)?.[6];
}

for (const service of ['signed', 'encrypted', 'plain'] as const) {
  lab(`a browser stays with its member by a cookie that is ${service}`, async () => {
    const seen = new Set<string>();
    for (let i = 0; i < 6; i += 1) {
      const jar = browser();
      const members = await who(6, ...jar, at(service));
      assert.is(new Set(members).size, 1, `expected one member, seen ${members.join(', ')}`);
      assert.ok(cookieOf(jar, service === 'encrypted' ? 'STAY' : 'WEIR'), 'expected a cookie');
      seen.add(members[0] ?? '');
    }
    assert.is(seen.size, 3, 'expected browsers at all members');
  });
}

lab('a cookie has the attributes that it was given, and is set once', async () => {
  const jar = browser();
  const first = await stage.curl('-D', '-', ...jar, at('signed'));
  assert.match(
    first,
    /\r\nset-cookie: WEIR=[^;\r]+; (?=[^\r]*path=\/)(?=[^\r]*httponly)(?=[^\r]*samesite=lax)(?=[^\r]*max-age=3600)/i,
  );
  assert.not.match(await stage.curl('-D', '-', ...jar, at('signed')), /set-cookie/i);
});

lab('a forged or foreign cookie is not believed', async () => {
  const jar = browser();
  await stage.curl(...jar, at('signed'));
  const cookie = cookieOf(jar, 'WEIR') ?? '';
  const forged = `${cookie.slice(0, -1)}${cookie.endsWith('A') ? 'B' : 'A'}`;
  for (const value of [forged, 'nonsense', '', cookie.slice(0, 4)]) {
    const members = await who(6, '-b', `WEIR=${value}`, at('signed'));
    assert.is(new Set(members).size, 3, `with WEIR=${value}: ${members.join(', ')}`);
  }
});

lab('a member learns the session that it set, and keeps it', async () => {
  for (const id of ['a1', 'b2', 'c3', 'd4']) {
    const member = (await stage.curl(at('application', `/login/${id}`))).trim();
    const members = await who(6, '-b', `SESSION=${id}`, at('application'));
    assert.equal(new Set(members), new Set([member]));
  }
});

lab('a header, a parameter and a source address hold their member', async () => {
  const ways: string[][] = [
    ...['u1', 'u2', 'u3', 'u4'].map((id) => ['-H', `X-Session: ${id}`, at('header')]),
    ...['u1', 'u2', 'u3', 'u4'].map((id) => [at('query', `/?session=${id}`)]),
    [at('source')],
  ];
  for (const way of ways) {
    const members = await who(6, ...way);
    assert.is(new Set(members).size, 1, `${way.join(' ')}: ${members.join(', ')}`);
  }
});

/** A browser at this member, with what it takes to ask again. */
async function browserAt(member: MemberName): Promise<string[]> {
  for (let i = 0; i < 12; i += 1) {
    const jar = browser();
    if ((await stage.curl(...jar, at('signed'))).trim() === member) return jar;
  }
  throw new Error(`no browser came to ${member}`);
}

lab('who has a draining member keeps it, and nobody else comes to it', async () => {
  const jar = await browserAt('member-2');
  await stage.unit.must('set', 'member', 'web', `${addressOf('member-2', 4)}:8080`, 'draining');
  try {
    assert.equal(new Set(await who(6, ...jar, at('signed'))), new Set(['member-2']));
    for (let i = 0; i < 6; i += 1) {
      assert.is.not((await stage.curl(at('signed'))).trim(), 'member-2');
    }
  } finally {
    await stage.unit.must('set', 'member', 'web', `${addressOf('member-2', 4)}:8080`, 'enabled');
  }
});

lab('who has a member that dies gets another one, and stays with that', async () => {
  const jar = await browserAt('member-3');
  const before = cookieOf(jar, 'WEIR');
  await stage.killMember('member-3');
  try {
    // Not even the first request fails, although nobody has noticed the death yet.
    const members = await who(6, ...jar, at('signed'));
    assert.is(new Set(members).size, 1, members.join(', '));
    assert.is.not(members[0], 'member-3');
    assert.is.not(cookieOf(jar, 'WEIR'), before, 'expected another cookie');
    await stage.unit.untilMembers([addressOf('member-3', 4)], ['DOWN']);
    assert.equal(new Set(await who(3, ...jar, at('signed'))), new Set(members));
  } finally {
    await stage.startMember('member-3');
    await stage.unit.untilMembers([addressOf('member-3', 4)], ['UP']);
  }
});

test.run();
