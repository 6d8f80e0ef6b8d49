/** Clients that say themselves who they are: nothing of it comes to a member. */
import { connect as tcpConnect } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  certificateFieldNames,
  certificateWords,
} from '../../../../appliance/l7/http1/certificate-fields.js';
import {
  answers,
  as,
  asking,
  everything,
  told,
  withCertificateScene,
} from '../../../support/certificate-scene.js';
import { needs } from '../../../support/needs.js';
import { serviceAt } from '../../../support/l7-tables.js';
import { TestAuthority } from '../../../support/tls-material.js';

const test = suite('forged client certificates');
const uring = needs.uring(test);

let root: TestAuthority;
test.before(() => {
  root = new TestAuthority();
});
test.after(() => {
  root.close();
});

/** A name as it is, in other letters, and named by Connection, as if it were of this hop. */
const forged = certificateFieldNames.flatMap((name) => [
  `${name}: forged`,
  `${name.toUpperCase()}: forged`,
  `${name.toLowerCase()}:forged`,
]);
const connection = `Connection: ${certificateFieldNames.join(', ')}`;

uring('what clients say themselves of certificates never comes to a member', async () => {
  const client = root.client('/CN=erin');
  const trailers = [
    'POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n',
    'TE: trailers\r\nTrailer: Client-Cert\r\n\r\n1\r\nx\r\n0\r\n',
    `${forged.slice(0, 12).join('\r\n')}\r\nX-Other: stays\r\n\r\n`,
  ].join('');
  const requests = [asking(...forged), asking(...forged, connection), asking(connection), trailers];
  await withCertificateScene(root, async (scene) => {
    const told1 = async (options: ConnectionOptions, request: string): Promise<unknown> => {
      const socket = await scene.open(options);
      socket.write(request);
      const [body = ''] = await answers(socket, 1);
      socket.destroy();
      if (request === trailers) assert.match(body, /"X-Other","stays"/, 'other trailers go on');
      return told(body);
    };
    await scene.serve({ headers: certificateWords });
    for (const request of requests) {
      assert.equal(await told1(as(client), request), everything(client, []), request);
      assert.equal(await told1({}, request), [['X-SSL-Client-Verify', 'NONE']], request);
    }
    // Whether or not a service asks for certificates, or tells of them.
    for (const clients of [{ headers: [] }, null]) {
      await scene.serve(clients);
      for (const request of requests) assert.equal(await told1({}, request), [], request);
    }
    const { asked } = scene.member;
    const before = asked();
    for (const sign of ['_', '.', '~', '!', '+']) {
      for (const name of certificateFieldNames) {
        const other = name.replaceAll('-', sign);
        const half = name.replace('-', sign);
        for (const one of [other, half, half.toLowerCase()]) {
          const socket = await scene.open({});
          socket.write(asking(`${one}: forged`));
          assert.equal(await answers(socket, 1), ['400'], one);
          socket.destroy();
        }
      }
    }
    assert.is(asked(), before, 'no member was asked');
  });
});

uring(
  'plain http takes these fields away as well, unless it is to keep those of another proxy',
  async () => {
    await withCertificateScene(root, async (scene) => {
      const forward = serviceAt(0).forward;
      const told1 = async (): Promise<[string, string][]> => {
        const socket = tcpConnect(scene.port, '127.0.0.1');
        socket.write(
          asking(
            'Client-Cert: :AA==:',
            'X-SSL-Client-Verify: SUCCESS',
            connection.replace('Client-Cert, ', ''),
          ),
        );
        const [body] = await answers(socket, 1);
        socket.destroy();
        return told(body);
      };
      await scene.serve(null, { tls: null });
      assert.equal(await told1(), []);
      await scene.serve(null, { tls: null, forward: { ...forward, certificate: 'keep' } });
      assert.equal(
        await told1(),
        [['Client-Cert', ':AA==:']],
        'what Connection names is of one hop',
      );
    });
  },
);

test.run();
