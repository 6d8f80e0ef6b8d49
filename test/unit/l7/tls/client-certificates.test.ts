/** What members learn of clients' certificates, by whole workers, from curl, openssl and Node. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type CertificateWord,
  certificateWords,
} from '../../../../appliance/l7/http1/certificate-fields.js';
import {
  answers,
  as,
  asking,
  everything,
  get,
  told,
  versions,
  withCertificateScene,
} from '../../../support/certificate-scene.js';
import { needs } from '../../../support/needs.js';
import { TestAuthority } from '../../../support/tls-material.js';

const run = promisify(execFile);

const test = suite('client certificates');
const uring = needs.uring(test);

let root: TestAuthority;
let middle: TestAuthority;
test.before(() => {
  root = new TestAuthority();
  middle = new TestAuthority(root, 'Middle authority');
});
test.after(() => {
  root.close();
  middle.close();
});

uring(
  'members are told what openssl says of the certificate, and once, of curl as well',
  async () => {
    const client = root.client('/O=Shop, Inc./OU=Staff/CN=alice');
    await withCertificateScene(root, async (scene) => {
      await scene.serve({ headers: certificateWords });
      for (const maxVersion of versions) {
        const talk = await scene.ask({ ...as(client), maxVersion });
        assert.equal(talk.told, everything(client, []), maxVersion);
      }
      const { stdout } = await run('curl', [
        ...['-sS', '--max-time', '10', '--cacert', root.authority.certificateFile],
        ...['--cert', client.certificateFile, '--key', client.keyFile],
        ...['--resolve', `shop.example:${scene.port}:127.0.0.1`],
        ...['-H', 'X-SSL-Client-Subject: CN=root', `https://shop.example:${scene.port}/`],
      ]);
      assert.equal(told(stdout), everything(client, []), 'curl');
    });
  },
);

uring(
  'only what is asked for is told, in one order; of no certificate only that there is none',
  async () => {
    const client = root.client('/CN=bob');
    await withCertificateScene(root, async (scene) => {
      const words: readonly CertificateWord[] = ['verify', 'subject'];
      await scene.serve({ headers: words });
      const some = everything(client, []).filter(([name]) => /Verify|Subject/.test(name));
      assert.equal((await scene.ask(as(client))).told, some);
      assert.equal((await scene.ask({})).told, [['X-SSL-Client-Verify', 'NONE']]);
      await scene.serve({ headers: ['client-cert', 'subject'] });
      assert.equal((await scene.ask({})).told, [], 'none is not told by absent fields');
      await scene.serve({ headers: [] });
      assert.equal((await scene.ask(as(client))).told, [], 'nothing is asked for');
    });
  },
);

uring(
  'authorities in between are told, in order and without the root, also of a resumed session',
  async () => {
    const low = new TestAuthority(middle, 'Low authority');
    try {
      const client = low.client('/CN=carol');
      const options = as(client, low, middle);
      const expected = everything(client, [low, middle]);
      await withCertificateScene(root, async (scene) => {
        await scene.serve({ mode: 'required', headers: certificateWords });
        for (const maxVersion of versions) {
          const first = await scene.ask({ ...options, maxVersion });
          assert.equal(first.told, expected, maxVersion);
          let { session } = first;
          // Each session is of the one before: nothing of the chain is lost on the way.
          for (let i = 0; i < 6; i += 1) {
            assert.ok(session, `${maxVersion}: a session ${i}`);
            const again = await scene.ask({ maxVersion, session });
            assert.ok(again.reused, `${maxVersion}: connection ${i} resumes`);
            assert.equal(again.told, expected, `${maxVersion}, resumed ${i}`);
            session = again.session ?? session;
          }
        }
      });
    } finally {
      low.close();
    }
  },
);

uring('each of many requests that come at once, and those after them, is told once', async () => {
  const client = root.client('/CN=dora');
  await withCertificateScene(root, async (scene) => {
    await scene.serve({ headers: certificateWords });
    const socket = await scene.open(as(client));
    for (let round = 0; round < 3; round += 1) {
      socket.write(get.repeat(5));
      const bodies = await answers(socket, 5);
      assert.is(bodies.length, 5);
      for (const body of bodies) assert.equal(told(body), everything(client, []));
    }
    socket.destroy();
  });
});

uring('no subject writes a line of its own, whatever it has in it', async () => {
  const subjects = [
    '/O=Sh\r\nX-SSL-Client-Verify: FORGED\r\n\r\nGET /admin HTTP/1.1/CN=mallory',
    '/CN=\u00dcml\u00e4ut \u6f22 \u{1f600} \u0085\u2028',
    '/CN=a "quoted", one; <b> = c\\+d\\\\ #e\\\\ ',
    '/CN=#first\t\u007f\u0001 ',
  ];
  await withCertificateScene(root, async (scene) => {
    await scene.serve({ headers: certificateWords });
    for (const subject of subjects) {
      const client = middle.client(subject);
      // A space at the end is written by its number, else it would get lost in a field.
      const expected = everything(client, [middle]).map(([name, value]) => [
        name,
        value.replace(/\\ $/, '\\20'),
      ]);
      const { told: seen } = await scene.ask(as(client, middle));
      assert.equal(seen, expected, JSON.stringify(subject));
      for (const [name, value] of seen) assert.match(value, /^[!-~]([ -~]*[!-~])?$/, name);
    }
  });
});

uring('a certificate that is too large to be told of is refused, and others are not', async () => {
  const names = Array.from({ length: 250 }, (_, i) => `${'x'.repeat(20)}${i}.example`);
  const large = root.client('/CN=large', names);
  const small = root.client('/CN=small', names.slice(0, 150));
  await withCertificateScene(root, async (scene) => {
    await scene.serve({ headers: ['client-cert', 'verify'] });
    const { member, stage } = scene;
    for (const maxVersion of versions) {
      const first = await scene.open({ ...as(large), maxVersion });
      first.write(get);
      assert.equal(await answers(first, 1), ['431'], maxVersion);
      first.destroy();
    }
    assert.is(member.asked(), 0);
    const words = stage.events
      .map(({ message }) => message)
      .filter((one) => /is refused/.test(one));
    assert.ok(
      words.length > 0 && words.length <= 2,
      `each worker says it once: ${words.join('\n')}`,
    );
    assert.match(words[0] ?? '', /a client of web is refused: .* more than 8192 octets/);
    // What fits leaves room for what a client sends itself.
    const socket = await scene.open(as(small));
    socket.write(asking(`X-Large: ${'y'.repeat(7000)}`));
    const [body] = await answers(socket, 1);
    socket.destroy();
    const expected = everything(small, []).filter(([name]) => /Client-Cert|Verify/.test(name));
    assert.equal(told(body), expected);
    await scene.serve({ headers: ['fingerprint'] });
    assert.is((await scene.ask(as(large))).told.length, 1, 'of a large one little can be told');
  });
});

uring('half a request from before is not answered when more is asked of clients', async () => {
  await withCertificateScene(root, async (scene) => {
    await scene.serve({ mode: 'optional' });
    const socket = await scene.open({});
    const [line, rest] = [get.slice(0, 16), get.slice(16)];
    socket.write(get + line);
    assert.is((await answers(socket, 1)).length, 1);
    await scene.serve({ mode: 'required' });
    socket.write(rest);
    assert.equal(await answers(socket, 1), [], 'expected the end');
    socket.destroy();
  });
});

test.run();
