/** Certificates that are good no longer, of clients that were here before. */
import { constants } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { certificateWords } from '../../../../appliance/l7/http1/certificate-fields.js';
import {
  answers,
  as,
  get,
  versions,
  withCertificateScene,
} from '../../../support/certificate-scene.js';
import { needs } from '../../../support/needs.js';
import { TestAuthority } from '../../../support/tls-material.js';

const test = suite('ended client certificates');
const uring = needs.uring(test);

/** How a client comes back: by a ticket of either version, or by what the workers have stored. */
const ways = [
  ...versions.map((maxVersion) => [maxVersion, { maxVersion }] as const),
  [
    'TLSv1.2 without tickets',
    { maxVersion: 'TLSv1.2', secureOptions: constants.SSL_OP_NO_TICKET },
  ] as const,
];

let root: TestAuthority;
test.before(() => {
  root = new TestAuthority();
});
test.after(() => {
  root.close();
});

uring(
  'an authority that is taken away takes its clients with it, sessions and connections too',
  async () => {
    const other = new TestAuthority(null, 'Other authority');
    try {
      const client = root.client('/CN=frank');
      await withCertificateScene(root, async (scene) => {
        const { member } = scene;
        scene.give(root.trusted('root'), other.trusted('other'));
        for (const mode of ['required', 'optional'] as const) {
          for (const maxVersion of versions) {
            const clients = { mode, headers: certificateWords, authorities: ['root', 'other'] };
            await scene.serve(clients);
            const { session } = await scene.ask({ ...as(client), maxVersion });
            assert.ok(session);
            assert.ok((await scene.ask({ session, maxVersion })).reused, 'before, it resumes');
            const socket = await scene.open({ ...as(client), maxVersion });
            socket.write(get);
            assert.is((await answers(socket, 1)).length, 1);
            await scene.serve({ ...clients, authorities: ['other'] });
            const asked = member.asked();
            const what = `${mode}, ${maxVersion}`;
            const options = { ...as(client), session, maxVersion };
            assert.match(await scene.whyRefused(options), /UNKNOWN_CA|ECONNRESET/, what);
            socket.write(get);
            assert.equal(await answers(socket, 1), [], `${what}: the open connection ends`);
            socket.destroy();
            assert.is(member.asked(), asked, `${what}: no member was asked`);
            if (mode === 'required') continue;
            const without = await scene.ask({ session, maxVersion });
            assert.not(without.reused, what);
            assert.equal(without.told, [['X-SSL-Client-Verify', 'NONE']], what);
          }
        }
        // The same by another certificate under the authority's name.
        await scene.serve({ mode: 'required', headers: ['verify'] });
        const { session } = await scene.ask(as(client));
        assert.ok(session);
        scene.give({ ...other.trusted('root'), generation: '2' });
        await scene.serve({ mode: 'required', headers: ['verify'] });
        assert.match(await scene.whyRefused({ ...as(client), session }), /UNKNOWN_CA|ECONNRESET/);
      });
    } finally {
      other.close();
    }
  },
);

uring(
  'a session ends with its certificate, or with one of the authorities in between',
  async () => {
    await withCertificateScene(root, async (scene) => {
      await scene.serve({ mode: 'required', headers: certificateWords });
      const until = new Date(Math.ceil(Date.now() / 1000) * 1000 + 8000);
      const middle = new TestAuthority(root, 'Middle authority', until);
      try {
        const clients = {
          'its own': as(root.client('/CN=grace', [], until)),
          'an authority': as(middle.client('/CN=heidi'), middle),
        };
        const sessions = [];
        for (const [whose, client] of Object.entries(clients)) {
          for (const [how, way] of ways) {
            const what = `${whose}, ${how}`;
            const first = await scene.ask({ ...client, ...way });
            const { session } = first;
            assert.ok(session, `${what}: made before ${until.toISOString()}`);
            const again = await scene.ask({ session, ...way });
            assert.ok(again.reused, what);
            assert.equal(again.told, first.told, `${what}: members are told the same`);
            sessions.push({
              what,
              options: { ...client, session: again.session ?? session, ...way },
            });
          }
        }
        const left = until.getTime() - Date.now();
        await new Promise((resolve) => setTimeout(resolve, Math.max(0, left) + 50));
        for (const { what, options } of sessions) {
          const why = await scene.whyRefused(options);
          assert.match(why, /CERTIFICATE_EXPIRED/, `${what}: ${why}`);
        }
      } finally {
        middle.close();
      }
    });
  },
);

test.run();
