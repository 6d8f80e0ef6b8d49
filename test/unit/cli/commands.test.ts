/** What each command asks of the daemon, prints and exits with. */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BODY_LIMIT_BYTES, type Alarm, type EventRow } from '../../../appliance/api/contract.js';
import { PortError } from '../../../appliance/api/port.js';
import {
  ACCESS,
  ACCESS_TEST,
  COUNTERS,
  DETAIL,
  DELTAS,
  DOCUMENT,
  DROPS,
  event,
  FLOWS,
  HARDWARE,
  MEMBER,
  MEMBERS,
  POOLS,
  REVISIONS,
  SERVICES,
  SETUP,
  STATUS,
  TEST,
  TIERS,
  TRIAL,
} from '../api/fake-daemon.js';
import { NETWORK, PING, RESOLVED, TRACE } from '../api/fake-network.js';
import { LIVE, trafficOf } from '../api/fake-traffic.js';
import { eventually, withApi, withFolder } from '../api/fixture.js';
import { following, weir, weirHead, weirInto } from './weir.js';

const test = suite('cli: commands');

for (const [words, expected] of [
  [['status'], STATUS],
  [['show', 'services'], SERVICES],
  [['show', 'pools'], POOLS],
  [['show', 'pool', 'web'], DETAIL],
  [['show', 'members', '--pool', 'web'], MEMBERS],
  [['show', 'member', 'web', '10.0.1.12:8080'], MEMBER],
  [['show', 'member', 'web', '10.0.1.12:8080', '--setup'], SETUP],
  [['test', 'member', 'web', '10.0.1.12:8080'], TEST],
  [['show', 'network'], NETWORK],
  [['resolve', 'www.example.org', '--server', '10.0.0.53'], RESOLVED],
  [['ping', '10.0.0.254', '--count', '2'], PING],
  [['traceroute', '198.51.100.7'], TRACE],
  [['try', 'web', '10.0.1.11:8080'], TRIAL.rows[0]],
  [['show', 'flows', '--limit', '7'], FLOWS],
  [
    ['show', 'events'],
    [event(1), event(2)],
  ],
  [['show', 'tiers'], TIERS],
  [['hardware'], HARDWARE],
  [['show', 'counters'], COUNTERS],
  [['show', 'drops'], DROPS],
  [['show', 'traffic', 'shop', '--span', '24h'], trafficOf('service:shop')],
  [['top', '--once'], LIVE.clients],
  [['top', 'urls', '--by', 'errors', '--once'], LIVE.urls],
  [['top', 'flows', '--once'], LIVE.flows],
  [['top', 'log', '--once', '--filter', 'status:5xx'], LIVE.log],
  [['access', 'show'], ACCESS],
  [['access', 'test', '192.0.2.7'], ACCESS_TEST],
  [['access', 'reload'], ACCESS],
  [['history'], REVISIONS],
  [['export'], { revision: 7, document: DOCUMENT }],
] as const) {
  test(`${words.join(' ')} --json is what the API answers`, () =>
    withApi(async ({ socket }) => {
      const ran = await weir([...words, '--json'], { socket });
      assert.equal([ran.code, ran.err], [0, '']);
      assert.equal(JSON.parse(ran.out), JSON.parse(JSON.stringify(expected)));
    }));
}

test('show network and the tests of the way are for people, and end with what came of them', () =>
  withApi(async ({ socket, daemon }) => {
    const network = (await weir(['show', 'network'], { socket })).out;
    assert.match(network, /^10\.0\.0\.1\/24 +eth0 +unit$/m);
    assert.match(network, /^eth0\.7 +no link +vlan 7 of eth0 /m);
    assert.match(network, /^default \(IPv4\) +10\.0\.0\.254 +eth0 +- +unit$/m);
    assert.match(network, /^Clock +synchronised within 13ms, by 10\.0\.0\.123$/m);
    assert.match(network, /cannot add the route to 10\.9\.0\.0\/16/);
    const ping = await weir(['ping', '10.0.0.254'], { socket });
    assert.is(ping.code, 0);
    assert.match(ping.out, /^no answer within 2s\n10\.0\.0\.254: 1 of 2 answered, 0\.4ms to /m);
    daemon.network.pinged = { ...PING, received: 0, answers: PING.answers.slice(1) };
    assert.is((await weir(['ping', '10.0.0.254'], { socket })).code, 1);
    const trace = await weir(['traceroute', '198.51.100.7'], { socket });
    assert.match(trace.out, /^ 1 {2}10\.0\.0\.254 {2}0\.4ms\n 2 {2}\*\n 3 {2}198\.51\.100\.7/);
    const none = { ...RESOLVED, answers: [], problems: ['no.example does not exist'] };
    daemon.network.resolved = none;
    const resolved = await weir(['resolve', 'no.example'], { socket });
    assert.equal([resolved.code, /does not exist/.test(resolved.out)], [1, true]);
    assert.match((await weir(['try', 'web', '10.0.1.11:8080'], { socket })).out, /^http: pass: /);
  }));

test('show member --setup is a shell script: all but the commands is comment', () =>
  withApi(async ({ socket }) => {
    const words = ['show', 'member', 'web', '10.0.1.12:8080', '--setup'];
    const commandsOf = (text: string): string[] =>
      text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    const setup = await weir(words, { socket });
    assert.equal(commandsOf(setup.out), ['ip address replace 10.0.0.80/32 dev lo', 'modprobe fou']);
    assert.match(setup.out, /# - shop: 10\.0\.0\.80 80\/tcp, tunnel \(GUE, port 6080\)\n/);
    assert.match(setup.out, /# To check:\n# - Firewalls let it pass\.\n/);
    assert.ok(
      setup.out.split('\n').every((line) => line.length <= 92),
      `expected short lines, seen ${setup.out}`,
    );
    const undo = await weir([...words, '--undo'], { socket });
    assert.equal(commandsOf(undo.out), ['ip address del 10.0.0.80/32 dev lo']);
    assert.match(undo.out, /known to you alone; these were set:\n# - modprobe fou\n/);
    const alone = await weir([...words.slice(0, -1), '--undo'], { socket });
    assert.equal([alone.code, alone.out], [2, '']);
    assert.match(alone.err, /--undo goes with --setup/);
  }));

test('test member says how each service was answered, and ends with 1 unless all were', () =>
  withApi(async ({ daemon, socket }) => {
    const words = ['test', 'member', 'web', '10.0.1.12:8080', '--service', 'shop'];
    const well = await weir(words, { socket });
    assert.equal([well.code, well.err], [0, '']);
    assert.is(
      well.out,
      'shop: ok: answered by SYN-ACK after 0.3 ms through nat.\n' +
        '  as from 10.0.0.3; the frame left by eth1 to 02:00:00:00:00:01\n',
    );
    assert.equal(daemon.last('testMember'), {
      ...{ pool: 'web', member: '10.0.1.12:8080', service: 'shop' },
    });
    const silent = { ...TEST.tests[0]!, result: 'silent', text: 'no answer within 1 s' } as const;
    daemon.test = { ...TEST, ok: false, tests: [silent] };
    const ill = await weir(words.slice(0, 4), { socket });
    assert.is(ill.code, 1);
    assert.match(ill.out, /^shop: silent: no answer within 1 s\n/);
    assert.equal(daemon.last('testMember'), { pool: 'web', member: '10.0.1.12:8080' });
    const json = await weir([...words, '--json'], { socket });
    assert.equal([json.code, (JSON.parse(json.out) as { ok: boolean }).ok], [1, false]);
  }));

/** Each of these must be found in the output for people. */
const printed: readonly (readonly [words: readonly string[], patterns: readonly RegExp[]])[] = [
  [
    ['status'],
    [
      /Unit +weir-a \(standalone\)/,
      /9\.8\.7, kernel 6\.1\.0/,
      /Uptime +2h05m/,
      /2 of 4 members serving/,
      /goes back to revision 6 in 43 s unless confirmed: weir confirm/,
      /Alarms +1\n +error: web: 10\.0\.1\.12:8080 is down/,
    ],
  ],
  [
    ['show', 'member', 'web', '10.0.1.12:8080'],
    [
      /^10\.0\.1\.12:8080 of pool web {2}DOWN ✖\n {2}Reason +connection refused\n/,
      /Next hop +no MAC address known\n/,
      /Monitor +http: .*, last probe \d+\w* ago\n/,
      /Peer +the other unit sees it UP, known for \w+\n/,
      /Response +1\.30 ms on average; last 1\.25 13\n/,
      /Shared +the same probe speaks for api\/10\.0\.1\.12:8080\n/,
      /History\n {4}\d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}went from up to down: connection refused\n/,
      /connection refused \(8 ×, last \d{4}-/,
    ],
  ],
  [
    ['show', 'services'],
    [
      /^SERVICE +STATE +LISTEN/,
      /shop +DEGRADED ◐ +10\.0\.0\.80:80\/tcp +2\/4 +xdp +nat +web .*45\.6Mbit\/s/,
      /dns +UP ● +\[2001:db8::53\]:53\/udp +0\/0 +none +- +resolvers .*no interface is attached/,
    ],
  ],
  [
    ['show', 'services', '--wide'],
    [
      /^SERVICE .*SINCE +WHY\n/,
      /shop .*45\.6Mbit\/s +1\.20k +64\.0k +83\.6MB .* native mode on eth0/,
    ],
  ],
  [
    ['show', 'pools'],
    [/web +maglev +http +1 +1 +1 +1 +shop/, /resolvers +maglev +- /],
  ],
  [
    ['show', 'pool', 'web'],
    [
      /^pool web\n/,
      /Algorithm +maglev\n +Monitor +http\n +Services +shop\n/,
      /Now +1 of 2 needed members can serve, and no others are left: these take all new flows\.\n/,
      /When down +While no member can serve, new flows are dropped\.\n\n/,
      /^MEMBER +STATE .*REASON .*WEIGHT +EFFECTIVE/m,
      /10\.0\.1\.11:8080 +UP ● .* monitor: 200 +1 +0\.3 /,
    ],
  ],
  [
    ['show', 'members'],
    [
      /web +10\.0\.1\.11:8080 +UP ● .* monitor: 200 +1 +12\/s +3\.40k\/s +45\.6Mbit\/s\n/,
      /10\.0\.1\.12:8080 +DOWN ✖ .* monitor: connection refused +2 /,
      /10\.0\.1\.13:8080 +DRAINING ◐/,
      /\[2001:db8::14\]:8080 +DISABLED ○/,
    ],
  ],
  [
    ['show', 'members', '--wide'],
    [
      /10\.0\.1\.11:8080 .* http 1\.3ms .* ago +02:00:00:00:00:11 eth1/,
      /10\.0\.1\.13:8080 .* 02:00:00:00:00:13 eth1 vlan 100 vlan 7/,
      /10\.0\.1\.12:8080 +DOWN ✖ .* monitor: connection refused .* no MAC address known/,
    ],
  ],
  [
    ['show', 'flows'],
    [/tcp +192\.0\.2\.7:40001 +shop +10\.0\.0\.80:80 +web +10\.0\.1\.11:8080 +3s/],
  ],
  [
    ['show', 'events'],
    [/2026-03-01 14:05:10 +member-state +event 1\n/, /member-state +error: event 2\n/],
  ],
  [
    ['show', 'tiers'],
    [
      /xdp on eth0\n/,
      /Mode +generic \(degraded\)/,
      /too few queues/,
      /Profile +virtio_net/,
      /0123456789abcdef/,
      /services 2\/4096 \(<1%\)/,
      /flows \?\/1048576/,
    ],
  ],
  [
    ['show', 'counters'],
    [
      /passed to the kernel +17\n/,
      /dropped: malformed +3\n/,
      /dropped: no-member +0\n/,
      /shop +1200 +34000 +5600000 +30000 +78000000/,
    ],
  ],
  [
    ['history'],
    [/7 +2026-03-01 14:05:09 +root +\+1 -1 ~1 +two more members/, /6 .* uid 1234 +-\n/],
  ],
  [
    ['history', '--changes'],
    [/Revision 7 .*root\n +two more members\n +\+ pools\.web\.members\[10\.0\.1\.12:8080\]/],
  ],
  [['export'], [/^version: 1\n/]],
  [['export', '--revision', '6'], [/^version: 1\n/]],
  [['confirm'], [/Confirmed: revision 7 stays/]],
  [
    ['rollback', '6'],
    [
      /Rolled back to the document of revision 6: revision 8, 3 changes:/,
      /~ pools\.web\.members\[10\.0\.1\.11:8080\]\.weight: 1 → 3/,
      /- services\.old/,
    ],
  ],
  [
    ['show', 'traffic', '--span', '24h'],
    [
      /unit, the last 24h until 2026-03-01 .* by 10m00s\n/,
      /Requests +\S+ +\S+ +0 +720\/s +1\.43k\/s\n/,
      /CPU .* 25\.0% +25\.0% +25\.0%\n/,
    ],
  ],
  [
    ['top', '--once'],
    [
      /192\.0\.2\.7 +0 +120\/s +1\.50\/s +8\.00Mbit\/s +shop\n/,
      /2001:db8::7 +33\/s +0 +0 +- +mail\n/,
    ],
  ],
  [
    ['top', 'urls', '--once'],
    [/shop\.example\/buy\/\?\[2J +42\/s +40\/s +300kbit\/s +13ms +503 +shop\n/],
  ],
  [
    ['top', 'flows', '--once'],
    [
      /2s +tcp 192\.0\.2\.7:40000 +mail +10\.0\.1\.11:8080 +nat +open +0s\n/,
      /1m01s +udp \[2001:db8::7\]:5353 +dns +10\.0\.1\.53 +dsr +hash +-\n/,
    ],
  ],
  [
    ['top', 'log', '--once'],
    [
      /14:05:07 503 192\.0\.2\.7 shop GET shop\.example\/buy\?x=\?2J 13ms 512B 10\.0\.1\.11:8080\n/,
      /14:05:07 {3}- 192\.0\.2\.8 raw connection 4000ms 9B 10\.0\.1\.12:8080 \(client-gone\)\n\(3 more\)\n/,
    ],
  ],
  [['show', 'drops'], [/denied +12\.0k +450\/s +7 +12\.0k\n/]],
  [
    ['access', 'show'],
    [
      /feed +100k +- +shop .*feed\.txt, line 7: "x" is no IP address\n/,
      /192\.0\.2\.0\/24 +deny +every +.*root +abuse\n/,
    ],
  ],
  [['access', 'test', '192.0.2.7'], [/shop +deny +192\.0\.2\.0\/24 +a temporary entry\n/]],
  [
    ['access', 'deny', '192.0.2.0/24', '--for', '1h'],
    [/Denied 192\.0\.2\.0\/24 on every service until 2026-03-01 15:05:09/],
  ],
  [['access', 'remove', '192.0.2.0/24'], [/Removed the temporary entry 192\.0\.2\.0\/24/]],
  [['set', 'member', 'web', '10.0.1.11:8080', 'draining'], [/Set: revision 8, 3 changes:/]],
];

for (const [words, patterns] of printed) {
  test(`${words.join(' ')} for people`, () =>
    withApi(async ({ socket }) => {
      const ran = await weir(words, { socket });
      assert.equal([ran.code, ran.err], [0, '']);
      for (const pattern of patterns) assert.match(ran.out, pattern);
    }));
}

test('an empty unit has sentences, not empty tables', () =>
  withApi(async ({ daemon, socket }) => {
    daemon.view = { revision: null, document: null };
    daemon.current = { ...STATUS, revision: null, pendingConfirm: null, alarms: [] };
    daemon.log = [];
    assert.match(
      (await weir(['status'], { socket })).out,
      /none: nothing was applied yet.*\n[^]*Alarms +none\n/,
    );
    assert.is((await weir(['show', 'events'], { socket })).out, 'No events.\n');
    assert.is((await weir(['show', 'members', '--pool', 'none'], { socket })).out, 'No members.\n');
    const ran = await weir(['export'], { socket });
    assert.equal([ran.code, ran.out], [6, '']);
    assert.match(ran.err, /nothing was ever applied/);
  }));

test('apply sends the file as it is, with its options', () =>
  withApi(async ({ daemon, folder, socket }) => {
    const file = join(folder, 'weir.yaml');
    const text = 'version: 1 # a comment that must survive\n';
    writeFileSync(file, text);
    const ran = await weir(
      ['apply', file, '--comment', 'because & so', '--confirm', '60s', '--if-match', '7'],
      { socket },
    );
    assert.is(ran.code, 0, ran.err);
    const { author, ...asked } = daemon.last('apply') as { author: string };
    assert.type(author, 'string');
    assert.equal(asked, {
      source: { text },
      dryRun: false,
      comment: 'because & so',
      confirm: 60_000,
      ifMatch: 7,
    });
    assert.match(ran.out, /Applied: revision 8, 3 changes:\n {2}\+ pools\.web/);
    assert.match(
      ran.out,
      /This holds for (60s|1m00s)\. To keep it: {2}weir confirm\nOtherwise the unit goes back .* at \d\d:\d\d:\d\d/,
    );
  }));

test('apply: stdin, a dry run, nothing to change, warnings', () =>
  withApi(async ({ daemon, socket }) => {
    const dry = await weir(['apply', '-', '--dry-run'], { socket, input: 'a: 1' });
    assert.match(dry.out, /Would make 3 changes to revision 7 \(nothing was changed\)/);
    assert.equal((daemon.last('apply') as { source: unknown }).source, { text: 'a: 1' });

    daemon.applied = {
      revision: 7,
      changes: [],
      dryRun: false,
      warnings: ['web: no MAC address known'],
    };
    const same = await weir(['apply', '-'], { socket, input: 'a: 1' });
    assert.match(same.out, /Nothing to change: the current revision \(7\)/);
    assert.is(same.err, 'warning: web: no MAC address known\n');
  }));

test('apply: errors name file, line and column; exit 4, 5 and 7', () =>
  withApi(async ({ daemon, folder, socket }) => {
    const file = join(folder, 'web.yaml');
    writeFileSync(file, 'x');
    const details = [
      {
        code: 'value',
        line: 12,
        column: 7,
        path: 'pools.web.algorithm',
        message: 'no such algorithm',
        suggestion: 'maglev',
      },
      { code: 'missing', line: 14, path: 'services.a.pool', message: 'is missing' },
    ] as const;
    daemon.failures.set(
      'apply',
      new PortError('invalid', 'The document is not valid: 2 errors.', { details }),
    );
    const invalid = await weir(['apply', file], { socket });
    assert.equal([invalid.code, invalid.out], [4, '']);
    assert.match(
      invalid.err,
      new RegExp(`${file}:12:7: pools\\.web\\.algorithm: no such algorithm .*maglev`),
    );
    assert.match(invalid.err, new RegExp(`${file}:14: services\\.a\\.pool: is missing`));
    assert.match(invalid.err, /2 errors/);

    daemon.failures.set('apply', new PortError('invalid', 'Not valid.', { details }));
    const json = await weir(['--json', 'apply', file], { socket });
    assert.is(json.code, 4);
    assert.equal(JSON.parse(json.err), {
      error: { code: 'invalid', message: 'Not valid.', details },
    });

    daemon.failures.set('apply', new PortError('unsupported', 'No tier can do it.'));
    assert.is((await weir(['apply', file], { socket })).code, 7);

    const lacking = [
      { code: 'unsupported', path: 'pools.web.algorithm', message: 'not yet' },
    ] as const;
    daemon.failures.set('rollback', new PortError('unsupported', 'Lacking.', { details: lacking }));
    const rollback = await weir(['rollback', '6'], { socket });
    assert.is(rollback.code, 7);
    assert.match(
      rollback.err,
      /^revision 6: pools\.web\.algorithm: not yet\nweir: This build cannot execute 1 part/,
    );

    const conflict = await weir(['apply', file, '--if-match', '6'], { socket });
    assert.is(conflict.code, 5);
    assert.match(conflict.err, /Revision 7 is the current one, not 6/);
  }));

test('each refusal has its exit status', () =>
  withApi(async ({ daemon, socket }) => {
    for (const [code, exit] of [
      ['not-found', 6],
      ['conflict', 5],
      ['unavailable', 1],
      ['internal', 1],
      ['syntax', 4],
    ] as const) {
      daemon.failures.set('confirm', new PortError(code, `Because of ${code}.`));
      const ran = await weir(['confirm'], { socket });
      assert.is(ran.code, exit, code);
      assert.match(
        ran.err,
        code === 'internal' ? /./ : new RegExp(`^weir: Because of ${code}\\.\n$`),
      );
    }
  }));

test('set member: IPv6 in any spelling, weight alone, nothing at all', () =>
  withApi(async ({ daemon, socket }) => {
    const state = await weir(['set', 'member', 'web', '[2001:DB8:0::14]:8080', 'disabled'], {
      socket,
    });
    assert.is(state.code, 0, state.err);
    assert.is((daemon.last('setMember') as { member: string }).member, '[2001:db8::14]:8080');
    const weight = await weir(
      ['set', 'member', 'web', '10.0.1.11', '--weight', '0', '--comment', 'c'],
      { socket },
    );
    assert.is(weight.code, 0, weight.err);
    const { author, ...asked } = daemon.last('setMember') as { author: string };
    assert.type(author, 'string');
    assert.equal(asked, { pool: 'web', member: '10.0.1.11', weight: 0, comment: 'c' });
    const nothing = await weir(['set', 'member', 'web', '10.0.1.11:8080'], { socket });
    assert.is(nothing.code, 2);
    assert.match(nothing.err, /enabled, draining, disabled, or --weight/);
    assert.is((await weir(['set', 'member', 'web', '10.0.1:80', 'enabled'], { socket })).code, 2);
  }));

test('export writes a file that only its owner reads', () =>
  withApi(async ({ folder, socket }) => {
    const file = join(folder, 'out.yaml');
    const ran = await weir(['export', '--output', file], { socket });
    assert.equal([ran.code, ran.out, ran.err], [0, '', '']);
    assert.match(readFileSync(file, 'utf8'), /^version: 1\n/);
    assert.is((statSync(file).mode & 0o777).toString(8), '600');
    const failed = await weir(['export', '--output', join(folder, 'none', 'x')], { socket });
    assert.is(failed.code, 1);
    assert.match(failed.err, /Cannot write/);
  }));

test('events follow: the past, then the stream, nothing twice', () =>
  withApi(async ({ daemon, socket }) => {
    await following(['show', 'events', '--follow', '--json'], { socket }, async ({ lines }) => {
      await eventually('the past', () => lines.length === 2);
      // The second was in the past already: the stream may bring it once more.
      for (const sequence of [2, 3, 4]) daemon.publish({ type: 'event', event: event(sequence) });
      await eventually('two events more', () => lines.length === 4);
      assert.equal(
        lines.map((line) => (JSON.parse(line) as { sequence: number }).sequence),
        [1, 2, 3, 4],
      );
    });
  }));

test('events of a severity or graver, past and to come', () =>
  withApi(async ({ daemon, socket }) => {
    const severe = (sequence: number, severity: EventRow['severity']): EventRow => ({
      ...event(sequence),
      severity,
    });
    daemon.log = [severe(1, 'info'), severe(2, 'error'), severe(3, 'warning')];
    const ran = await weir(['show', 'events', '--json', '--severity', 'warning'], { socket });
    const sequences = (JSON.parse(ran.out) as EventRow[]).map(({ sequence }) => sequence);
    assert.equal(sequences, [2, 3]);
    const wrong = await weir(['show', 'events', '--severity', 'grave'], { socket });
    assert.equal([wrong.code, wrong.out], [2, '']);
    assert.match(wrong.err, /Give info, warning, error/);

    const words = ['show', 'events', '--follow', '--json', '--severity', 'error'];
    await following(words, { socket }, async ({ lines }) => {
      await eventually('the past', () => lines.length === 1);
      daemon.publish({ type: 'event', event: severe(4, 'warning') });
      daemon.publish({ type: 'event', event: severe(5, 'error') });
      await eventually('one more', () => lines.length === 2);
      assert.is((JSON.parse(lines[1] ?? '') as EventRow).sequence, 5);
    });
  }));

test('events of single flows come only when they are asked for', () =>
  withApi(async ({ daemon, socket }) => {
    const flow: EventRow = { ...event(3), kind: 'flow-new' };
    const drop: EventRow = { ...event(4), kind: 'drop' };
    daemon.log = [event(1), event(2), flow, drop];
    const kinds = async (...words: string[]): Promise<string[]> => {
      const ran = await weir(['show', 'events', '--json', ...words], { socket });
      assert.equal([ran.code, ran.err], [0, '']);
      return (JSON.parse(ran.out) as EventRow[]).map(({ kind }) => kind);
    };
    assert.equal(await kinds(), ['member-state', 'member-state']);
    assert.equal(await kinds('--all'), ['member-state', 'member-state', 'flow-new', 'drop']);
    assert.equal(await kinds('--kind', 'drop,flow-new'), ['flow-new', 'drop']);
    assert.equal(await kinds('--kind', 'drop', '--limit', '1'), ['drop']);
    const wrong = await weir(['show', 'events', '--kind', 'drop,flows'], { socket });
    assert.equal([wrong.code, wrong.out], [2, '']);
    assert.match(wrong.err, /flow-new,flow-moved,drop,member-state/);

    await following(
      ['show', 'events', '--follow', '--kind', 'drop'],
      { socket },
      async ({ lines }) => {
        await eventually('the past', () => lines.length === 1);
        for (const sequence of [5, 6, 7]) daemon.publish({ type: 'event', event: event(sequence) });
        daemon.publish({ type: 'event', event: { ...event(8), kind: 'drop' } });
        await eventually('one more', () => lines.length === 2);
        assert.match(lines[1] ?? '', / drop +error: event 8$/);
      },
    );
  }));

test('status: one cause is one line, and --check ends with its own status', () =>
  withApi(async ({ daemon, socket }) => {
    const down = (member: string): Alarm => ({
      ...{ code: 'member-down', severity: 'warning', since: null },
      message: `Member ${member} of pool web is down.`,
    });
    const pool: Alarm = { ...down(''), code: 'pool-down', severity: 'error', message: 'Pool web.' };
    daemon.current = { ...STATUS, alarms: [down('10.0.1.12:8080'), down('10.0.1.13:8080'), pool] };
    const ran = await weir(['status', '--check'], { socket });
    assert.equal([ran.code, ran.err], [8, '']);
    // What the members themselves say counts: of those only one is down.
    assert.match(
      ran.out,
      /Alarms +3\n +error: Pool web\. \(pool-down\)\n +warning: member 10\.0\.1\.12:8080 of pool web is down: monitor: connection refused \(for .*\)\n$/,
    );
    daemon.current = { ...STATUS, alarms: [] };
    assert.is((await weir(['status', '--check'], { socket })).code, 0);
  }));

test('many warnings of a change leave room for what it did', () =>
  withApi(async ({ daemon, socket }) => {
    const warnings = Array.from({ length: 12 }, (_, index) => `number ${index}`);
    daemon.applied = { revision: 8, changes: [], dryRun: false, warnings };
    const ran = await weir(['apply', '-'], { socket, input: 'a: 1' });
    assert.is(ran.err.split('\n').length, 7, ran.err);
    assert.match(ran.err, /number 4\nwarning: and 7 more like these: weir status\n$/);
  }));

test('an answer that cannot be written is a failure, in one sentence', () =>
  withApi(async ({ socket }) => {
    const ran = await weirInto('/dev/full', ['show', 'members'], { socket });
    assert.is(ran.code, 1);
    assert.is(ran.err, 'weir: Cannot write the answer: no space left on the device.\n');
  }));

test('counters follow, and the end of the daemon ends it with status 3', () =>
  withApi(async ({ api, daemon, socket }) => {
    await following(
      ['show', 'counters', '--follow'],
      { socket },
      async ({ lines, errors, ended }) => {
        await eventually('the subscription', () => daemon.listeners.size === 1);
        daemon.publish({ type: 'counters', counters: DELTAS });
        await eventually('a line', () => lines.length === 1);
        assert.is(lines[0], '14:05:09  flows 2/s  packets 30/s  80.0kbit/s  drops malformed 2');
        await api.close();
        assert.is(await ended, 3);
        assert.match(errors.join(''), /ended the stream/);
      },
    );
  }));

test('no daemon: exit 3 and what to do, for each way of not being there', () =>
  withFolder(async (folder) => {
    const none = await weir(['status'], { socket: join(folder, 'weir.sock') });
    assert.is(none.code, 3);
    assert.match(none.err, /there is no socket .*weir\.sock\. Start it with 'weir daemon'/);
    const file = join(folder, 'file');
    writeFileSync(file, '');
    const refused = await weir(['status', '--socket', file]);
    assert.is(refused.code, 3);
    const unset = await weir(['status'], { environment: { WEIR_SOCKET: '' } });
    assert.match(unset.err, /there is no socket \/run\/weir\/weir\.sock/);
    const json = await weir(['status', '--json'], { socket: join(folder, 'weir.sock') });
    assert.is((JSON.parse(json.err) as { error: { code: string } }).error.code, 'unavailable');
  }));

test('a document too large is not even sent; one that cannot be read says why', () =>
  withApi(async ({ daemon, folder, socket }) => {
    const file = join(folder, 'large.yaml');
    writeFileSync(file, Buffer.alloc(BODY_LIMIT_BYTES + 1, 0x20));
    const large = await weir(['apply', file], { socket });
    assert.is(large.code, 4);
    assert.match(large.err, /larger than 16777216 bytes/);
    const missing = await weir(['apply', join(folder, 'none.yaml')], { socket });
    assert.is(missing.code, 1);
    assert.match(missing.err, /Cannot read .*none\.yaml: there is no such file\.\n/);
    const folderItself = await weir(['apply', folder], { socket });
    assert.match(folderItself.err, /Cannot read .*: it is a directory\.\n/);
    for (const command of ['apply', 'diff']) {
      const empty = await weir([command, '-'], { socket, input: ' \n' });
      assert.is(empty.code, 4);
      assert.match(empty.err, /<stdin> is empty\. A document begins with "version: 1"/);
    }
    const binary = await weir(['apply', '-'], { socket, input: Uint8Array.of(0xff, 0xfe) });
    assert.is(binary.code, 4);
    assert.equal(daemon.asked, []);
  }));

test('what others wrote cannot drive the terminal', () =>
  withApi(async ({ daemon, socket }) => {
    daemon.log = [event(1, 'red \u001b[31malert\u0007\u202e\n2026 forged')];
    const ran = await weir(['show', 'events'], { socket });
    assert.match(ran.out, /red \?\[31malert\?\?\?2026 forged\n$/);
  }));

test('without UTF-8 the words alone', () =>
  withApi(async ({ socket }) => {
    const ran = await weir(['show', 'members'], { socket, environment: { LC_ALL: 'C' } });
    assert.match(ran.out, / DOWN +/);
    assert.not.match(ran.out, /[^\n\x20-\x7e]/);
    const rollback = await weir(['rollback', '6'], { socket, environment: { LC_ALL: 'C' } });
    assert.match(rollback.out, /weight: 1 -> 3/);
  }));

for (const [words, says] of [
  [['access', 'deny', '192.0.2.1'], /--for/],
  [['access', 'deny', '192.0.2.1', '--for', '2'], /30m, 1h or 7d/],
  [['shw'], /Did you mean show/],
  [['show', 'servces'], /Did you mean services/],
  [['apply'], /missing required argument 'file'/],
  [['apply', 'x', '--confirm', 'soon'], /60s or 5m/],
  [['apply', 'x', '--confirm', '25h'], /1s to 24h/],
  [['apply', 'x', '--dryrun'], /Did you mean --dry-run/],
  [['rollback', 'latest'], /whole number/],
  [['set', 'member', 'web', '10.0.0.1:80', 'dead'], /enabled, draining, disabled/],
  [['completion', 'csh'], /bash, zsh, fish/],
  [['help', 'shw'], /^weir: There is no command 'shw'\. There are status, tui, show, /],
  [['nothing'], /^weir: unknown command 'nothing'\nSee 'weir --help'/],
  [[], /Usage: weir/],
] as const) {
  test(`wrong use: ${words.join(' ') || '(nothing)'}`, async () => {
    const ran = await weir(words);
    assert.equal([ran.code, ran.out], [2, '']);
    assert.match(ran.err, says);
  });
}

test('wrong use is JSON too where JSON was asked for', async () => {
  const ran = await weir(['status', '--nope', '--json']);
  assert.equal([ran.code, ran.out], [2, '']);
  assert.equal(JSON.parse(ran.err), {
    error: { code: 'bad-request', message: "unknown option '--nope'" },
  });
});

test('help of a command below another', async () => {
  const ran = await weir(['help', 'show', 'members']);
  assert.equal([ran.code, ran.err], [0, '']);
  assert.is(ran.out, (await weir(['show', 'members', '--help'])).out);
});

test('a reader that leaves early is no error', () =>
  withApi(async ({ daemon, socket }) => {
    // Far more than a pipe holds.
    daemon.log = Array.from({ length: 20_000 }, (_, index) => event(index + 1));
    const ran = await weirHead(['show', 'events', '--limit', '20000'], { socket });
    assert.equal([ran.code, ran.err], [0, '']);
  }));

test.run();
