/**
 * A member dies, and people hear of it: from a daemon in its namespace to servers of HTTP, SMTP and
 * syslog elsewhere, also when one of them was away and the daemon died meanwhile.
 */
import { createHmac } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { SMTPServer } from 'smtp-server';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Alert } from '../../appliance/alerts/alert.js';
import type { AlertTargetRow, AlertTest } from '../../appliance/api/contract.js';
import { needs } from '../support/needs.js';
import { Certificates } from '../support/certificates.js';
import { memberPort } from './http-member-process.js';
import { listenAt, loud, membersOf, ProxyLab } from './proxy-lab.js';
import { addressOf } from './topology.js';
import { until } from './unit.js';

const test = suite('alerts');
const lab = needs.lab(test);
const here = addressOf('client', 4, 'outside');
const ports = { hook: 8443, log: 5514, mail: 2525 } as const;
const SECRET = 'a secret of the lab';

const certificates = new Certificates();
const { key, cert, certFile } = certificates.make(here);
const hooks: Alert[] = [];
const logs: string[] = [];
const mails: string[] = [];
const wrong: string[] = [];
let stage: ProxyLab;
let hook: Server | null = null;
const log = createSocket('udp4');
const mail = new SMTPServer({
  ...{ key, cert, logger: false, disableReverseLookup: true },
  onAuth: ({ username, password }, { secure }, done) => {
    if (password === 'sesame' && username === 'weir' && secure) done(null, { user: username });
    else done(new Error('no such user'));
  },
  onData: (stream, _session, done) => {
    let text = '';
    stream.setEncoding('utf8').on('data', (piece: string) => (text += piece));
    stream.on('end', () => {
      mails.push(text);
      done();
    });
  },
});

async function openHook(): Promise<void> {
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (piece: string) => (body += piece));
    request.on('end', () => {
      const { 'weir-alert-id': id, 'weir-signature': signature } = request.headers;
      const [, time = '', mac] = /^t=(\d+),v1=(.+)$/.exec(String(signature)) ?? [];
      const expected = createHmac('sha256', SECRET).update(`${time}.${String(id)}.${body}`);
      if (mac === expected.digest('hex')) hooks.push(JSON.parse(body) as Alert);
      else wrong.push(String(signature));
      response.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(ports.hook, here, resolve));
  hook = server;
}

async function closeHook(): Promise<void> {
  const server = hook;
  hook = null;
  if (server === null) return;
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  await closed;
}

/** A file that only root can read, for the daemon. */
function secret(name: string, text: string): string {
  const path = join(stage.unit.files, name);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

test.before(
  loud(async () => {
    stage = await ProxyLab.open(['member-1', 'member-2']);
    await openHook();
    log.on('message', (bytes) => logs.push(bytes.toString()));
    await new Promise<void>((resolve) => log.bind(ports.log, here, resolve));
    await new Promise<void>((resolve) => mail.listen(ports.mail, here, resolve));
    const monitor = { type: 'tcp', interval: '200ms', timeout: '150ms', rise: 2, fall: 2 };
    await stage.apply({
      pools: { shop: { members: membersOf(['member-1', 'member-2']), monitor } },
      services: { shop: { listen: listenAt(80), pool: 'shop' } },
      alerts: {
        hook: {
          ...{ type: 'webhook', url: `http://${here}:${ports.hook}/alerts`, group: '1s' },
          'secret-file': secret('hook-secret', SECRET),
        },
        log: { type: 'syslog', server: here, port: ports.log, group: '1s' },
        mail: {
          ...{ type: 'email', server: here, port: ports.mail, user: 'weir', group: '1s' },
          ...{ 'password-file': secret('mail-password', 'sesame\n'), 'ca-file': certFile },
          ...{ from: 'weir@unit.example', to: ['ops@shop.example'] },
        },
      },
    });
  }),
);

test.after(async () => {
  await stage.close();
  await closeHook();
  await new Promise<void>((resolve) => log.close(() => resolve()));
  await new Promise<void>((resolve) => mail.close(() => resolve()));
  certificates.end();
});

function targets(): Promise<AlertTargetRow[]> {
  return stage.unit.get('/v1/alerts');
}

function about(object: string): Alert[] {
  return hooks.filter((one) => one.kind === 'member-down' && one.object === object);
}

const first = `shop/${addressOf('member-1', 4)}:${memberPort}`;
const second = `shop/${addressOf('member-2', 4)}:${memberPort}`;

lab('a test reaches everybody, and says so', async () => {
  const ran = await stage.unit.weir('alerts', 'test', '--json');
  const { ok, tests } = JSON.parse(ran.stdout) as AlertTest;
  assert.equal(
    [ran.status, ok, tests.map(({ target }) => target)],
    [0, true, ['hook', 'log', 'mail']],
  );
  await until(
    'the datagram',
    5000,
    async () => logs.some((one) => one.includes(' test [')) || 'none',
  );
  assert.ok(hooks.some(({ kind }) => kind === 'test'));
  assert.ok(mails.some((text) => /^Subject: \[\S+\] info: test mail\r$/m.test(text)));
});

lab(
  'a member dies: the webhook, the collector and the mailbox hear of it, and when it is over',
  async () => {
    await stage.killMember('member-1');
    const heard = async (state: 'raised' | 'cleared'): Promise<true | string> => {
      const seen = [
        about(first).some((one) => one.state === state),
        logs.some(
          (text) => text.includes(`object="${first}"`) && text.includes(`state="${state}"`),
        ),
        mails.some((text) => text.includes(first) && text.includes(`State     ${state}`)),
      ];
      return seen.every(Boolean) || `webhook, syslog, mail: ${seen.join(', ')}`;
    };
    await until('everybody hears that it is down', 30_000, () => heard('raised'));
    const [raised] = about(first);
    assert.match(raised?.message ?? '', /^Member \S+ of pool shop is down: /);
    assert.is(raised?.severity, 'warning');
    await stage.startMember('member-1');
    await until('everybody hears that it is over', 30_000, () => heard('cleared'));
    assert.is(about(first).length, 2, 'each is told once');
    assert.equal(wrong, [], 'every signature fits');
  },
);

lab('what nobody took is told after the daemon was killed and the server came back', async () => {
  await closeHook();
  await stage.killMember('member-2');
  await until('it waits', 30_000, async () => {
    const row = (await targets()).find(({ name }) => name === 'hook');
    return (row?.state === 'failing' && row.waiting > 0) || JSON.stringify(row);
  });
  const ran = await stage.unit.weir('alerts', 'test', 'hook', 'log');
  assert.is(ran.status, 1);
  assert.match(ran.stdout, /^hook: failed after \d+ ms: .*ECONNREFUSED.*\nlog: ok after/);
  await until('it is an alarm', 10_000, async () => {
    const { alarms } = await stage.unit.status();
    return alarms.some(({ code }) => code === 'alert-target-failing') || JSON.stringify(alarms);
  });
  await stage.unit.end('SIGKILL');
  await stage.unit.start();
  await openHook();
  await until(
    'the webhook hears of it',
    30_000,
    async () => about(second).length > 0 || JSON.stringify(hooks),
  );
  await until('nothing waits', 30_000, async () => {
    const rows = await targets();
    return (
      rows.every(({ waiting, state }) => waiting === 0 && state !== 'failing') ||
      JSON.stringify(rows)
    );
  });
  assert.equal(
    about(second).map(({ state }) => state),
    ['raised'],
    'it is told once',
  );
});

lab('secrets are in nothing that the unit says', async () => {
  const said = [
    ...[await stage.unit.must('alerts', '--json'), await stage.unit.must('export')],
    ...stage.unit.logSince(0).map(({ message }) => message),
  ].join('\n');
  assert.not.match(said, /sesame|a secret of the lab/);
});

test.run();
