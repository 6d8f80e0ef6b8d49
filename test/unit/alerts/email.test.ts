/** Alerts by e-mail to a server of SMTP: what it is told, and what becomes of what it says. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Alert } from '../../../appliance/alerts/alert.js';
import type { Outcome } from '../../../appliance/alerts/transport.js';
import { makeTransport } from '../../../appliance/alerts/transports.js';
import { ALERT, settings } from '../../support/alert-scene.js';
import { Certificates } from '../../support/certificates.js';

const test = suite('alerts by e-mail');
const forever = new AbortController().signal;
const certificates = new Certificates();
const folder = mkdtempSync(join(tmpdir(), 'weir-email-'));
const passwordFile = join(folder, 'password');
writeFileSync(passwordFile, 'sesame\n', { mode: 0o600 });
const { key, cert, certFile } = certificates.make('localhost');

test.after(() => {
  certificates.end();
  rmSync(folder, { recursive: true, force: true });
});

interface Mail {
  readonly from: string;
  readonly to: readonly string[];
  readonly secure: boolean;
  readonly user: string | undefined;
  /** Unfolded (RFC 5322 §2.2.3), names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

interface Post {
  readonly mails: Mail[];
  /** Conversations that came as far as a password. */
  readonly logins: readonly string[];
  readonly send: (more?: object, alerts?: readonly Alert[]) => Promise<Outcome>;
}

async function withServer(
  options: SMTPServerOptions,
  act: (post: Post) => Promise<void>,
): Promise<void> {
  const mails: Mail[] = [];
  const logins: string[] = [];
  const server = new SMTPServer({
    ...{ key, cert, logger: false, disableReverseLookup: true, closeTimeout: 100 },
    authOptional: true,
    onAuth: ({ username, password }, session, done) => {
      logins.push(`${username}:${password} ${session.secure ? 'secure' : 'clear'}`);
      if (password === 'sesame') done(null, { user: username });
      else done(new Error('no such user'));
    },
    onData: (stream, session, done) => {
      let text = '';
      stream.setEncoding('utf8').on('data', (piece: string) => (text += piece));
      stream.on('end', () => {
        mails.push(mailOf(text, session));
        done();
      });
    },
    ...options,
  });
  server.on('error', () => {
    // Clients that go away are what some of these tests are about.
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.server.address() as AddressInfo;
  try {
    await act({
      ...{ mails, logins },
      send: (more = {}, alerts = [ALERT]) => {
        const written = {
          ...{ type: 'email', server: 'localhost', port, 'ca-file': certFile, timeout: '2s' },
          ...{ from: 'weir@unit.example', to: ['ops@shop.example', 'night@shop.example'], ...more },
        };
        return makeTransport(settings(written), {
          version: '1.2.3',
          now: () => Date.UTC(2026, 0, 1, 12),
        }).send(alerts, forever);
      },
    });
  } finally {
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}

function mailOf(
  text: string,
  session: {
    readonly envelope: {
      readonly mailFrom: unknown;
      readonly rcptTo: readonly { address: string }[];
    };
    readonly secure: boolean;
    readonly user?: unknown;
  },
): Mail {
  const end = text.indexOf('\r\n\r\n');
  const lines = text
    .slice(0, end)
    .replace(/\r\n[ \t]+/g, ' ')
    .split('\r\n');
  const headers = new Map(
    lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  assert.is(headers.size, lines.length, 'no header is there twice');
  const { mailFrom, rcptTo } = session.envelope;
  return {
    from: (mailFrom as { address: string }).address,
    to: rcptTo.map(({ address }) => address),
    secure: session.secure,
    user: session.user as string | undefined,
    headers,
    body: text.slice(end + 4),
  };
}

test('over STARTTLS with a password, in plain text', () =>
  withServer({}, async ({ mails, logins, send }) => {
    const outcome = await send({ user: 'weir', 'password-file': passwordFile });
    assert.is(outcome.result, 'delivered');
    const [mail] = mails;
    assert.equal(logins, ['weir:sesame secure']);
    assert.equal([mail?.secure, mail?.user, mail?.from], [true, 'weir', 'weir@unit.example']);
    assert.equal(mail?.to, ['ops@shop.example', 'night@shop.example']);
    const header = (name: string): string | undefined => mail?.headers.get(name);
    assert.is(header('subject'), '[weir-a] error: pool-down web');
    assert.is(header('to'), 'ops@shop.example, night@shop.example');
    assert.is(header('auto-submitted'), 'auto-generated');
    assert.match(header('message-id') ?? '', /^<[0-9a-f]{32}@unit\.example>$/);
    assert.is(header('date'), 'Thu, 01 Jan 2026 12:00:00 +0000');
    assert.match(header('content-type') ?? '', /^text\/plain/);
    assert.match(mail?.body ?? '', /^Pool web is down\.\r\n\r\nUnit {6}weir-a\r\n/);
    assert.match(mail?.body ?? '', /^Count {5}2\r$/m);
  }));

test('several alerts are one message, and one that is tried again has its Message-ID', () =>
  withServer({}, async ({ mails, send }) => {
    const two = [{ ...ALERT, id: 'a-2', severity: 'info', kind: 'revision' } as const, ALERT];
    for (const alerts of [two, two, [ALERT]]) await send({}, alerts);
    assert.is(mails[0]?.headers.get('subject'), '[weir-a] 2 alerts, such as error: pool-down web');
    assert.match(mails[0]?.body ?? '', /Id {8}a-2\r\n\r\nPool web is down\./);
    const [first, second, third] = mails.map(({ headers }) => headers.get('message-id'));
    assert.is(first, second);
    assert.is.not(first, third);
  }));

test('nothing of an alert becomes a header, whatever it says', () =>
  withServer({}, async ({ mails, send }) => {
    const evil = 'a\r\nBcc: all@shop.example\r\n\r\nHello \u2028\u202e€';
    await send({}, [{ ...ALERT, unit: evil, object: evil, message: evil }]);
    const [mail] = mails;
    assert.equal(mail?.to, ['ops@shop.example', 'night@shop.example']);
    assert.not.ok(mail?.headers.has('bcc'));
    assert.match(mail?.headers.get('subject') ?? '', /^=\?UTF-8\?/i);
  }));

test('TLS from the beginning, and none at all where that is asked for', async () => {
  await withServer({ secure: true }, async ({ mails, send }) => {
    assert.is((await send({ tls: 'tls' })).result, 'delivered');
    assert.is(mails[0]?.secure, true);
  });
  const plain = { hideSTARTTLS: true };
  await withServer(plain, async ({ mails, send }) => {
    assert.is((await send({ tls: 'none', 'ca-file': undefined })).result, 'delivered');
    assert.is(mails[0]?.secure, false);
  });
});

test('a password never goes out in the clear, or to whom no authority vouches for', async () => {
  const login = { user: 'weir', 'password-file': passwordFile };
  const stripped: SMTPServerOptions = {
    ...{ hideSTARTTLS: true, disabledCommands: ['STARTTLS'], allowInsecureAuth: true },
  };
  await withServer(stripped, async ({ mails, logins, send }) => {
    const outcome = await send(login);
    assert.is(outcome.result, 'failed');
    assert.equal([mails, logins], [[], []]);
  });
  await withServer({}, async ({ mails, logins, send }) => {
    const outcome = await send({ ...login, 'ca-file': undefined });
    assert.is(outcome.result, 'failed');
    assert.match(outcome.said, /self-signed|self signed/);
    assert.equal([mails, logins], [[], []]);
  });
});

test('a wrong password is tried again, and is in nothing that is said', () =>
  withServer({}, async ({ send }) => {
    const wrong = join(folder, 'wrong');
    writeFileSync(wrong, 'hunter2', { mode: 0o600 });
    const outcome = await send({ user: 'weir', 'password-file': wrong });
    assert.is(outcome.result, 'failed');
    assert.match(outcome.said, /535/);
    assert.not.match(outcome.said, /hunter2/);
    const missing = await send({ user: 'weir', 'password-file': '/nowhere' });
    assert.match(missing.said, /^password-file \/nowhere cannot be read: ENOENT/);
  }));

test('a server that wants a login is tried again: the document can be put right', () =>
  withServer({ authOptional: false }, async ({ send }) => {
    const outcome = await send();
    assert.is(outcome.result, 'failed');
    assert.match(outcome.said, /530/);
  }));

function rejecting(code: number, ...addresses: string[]): SMTPServerOptions {
  return {
    onRcptTo: ({ address }, _session, done) => {
      if (!addresses.includes(address)) {
        done();
        return;
      }
      done(Object.assign(new Error('not here'), { responseCode: code }));
    },
  };
}

test('recipients whom the server does not take are told; the others have the mail', () =>
  withServer(rejecting(550, 'ops@shop.example'), async ({ mails, send }) => {
    const outcome = await send();
    assert.equal(
      outcome.result === 'delivered' ? outcome.trouble : outcome,
      ['the server does not take mail for ops@shop.example'][0],
    );
    assert.equal(mails[0]?.to, ['night@shop.example']);
  }));

for (const [code, expected] of [
  [550, 'refused'],
  [450, 'failed'],
] as const) {
  test(`when all recipients are answered with ${code} it is ${expected}`, () =>
    withServer(rejecting(code, 'ops@shop.example', 'night@shop.example'), async ({ send }) => {
      const outcome = await send();
      assert.is(outcome.result, expected);
      assert.match(outcome.said, new RegExp(String(code)));
    }));

  test(`a message that is answered with ${code} is ${expected}`, () =>
    withServer(
      {
        onData: (stream, _session, done) => {
          stream.resume();
          stream.on('end', () => done(Object.assign(new Error('no'), { responseCode: code })));
        },
      },
      async ({ send }) => {
        assert.is((await send()).result, expected);
      },
    ));
}

test('a server that says nothing, or is not there, is a failure', async () => {
  const sockets = new Set<{ destroy(): void }>();
  const silent = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const { port } = silent.address() as AddressInfo;
  const send = (): Promise<Outcome> =>
    makeTransport(
      settings({
        ...{ type: 'email', server: '127.0.0.1', port, tls: 'none', timeout: '1s' },
        ...{ from: 'weir@unit.example', to: ['ops@shop.example'] },
      }),
      { version: '1.2.3', now: Date.now },
    ).send([ALERT], forever);
  try {
    const late = await send();
    assert.is(late.result, 'failed');
    assert.match(late.said, /no answer within 1 s|[Gg]reeting/);
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => silent.close(() => resolve()));
  }
  const gone = await send();
  assert.is(gone.result, 'failed');
  assert.match(gone.said, /ECONNREFUSED/);
});

test.run();
