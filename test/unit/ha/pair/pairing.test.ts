/** Two units come to know each other by a code, and nobody else does. */
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join as path } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { formatCode, makeSecret } from '../../../../appliance/ha/pair/code.js';
import { noRefusals } from '../../../../appliance/ha/pair/counts.js';
import { dial } from '../../../../appliance/ha/pair/dial.js';
import { FrameSocket } from '../../../../appliance/ha/pair/frame-socket.js';
import { encodeJson } from '../../../../appliance/ha/pair/messages.js';
import { identityIn, Middle, serve } from '../../../support/pair-strangers.js';
import { freePort, pairOf, PairUnit } from '../../../support/two-units.js';

const test = suite('pairing');

async function units(
  work: (a: PairUnit, b: PairUnit) => Promise<void>,
  invitationMs?: number,
): Promise<void> {
  const port = await freePort();
  const [a, b] = [new PairUnit('unit-a', port, invitationMs), new PairUnit('unit-b', port)];
  try {
    await work(a, b);
    assert.equal([...a.errors, ...b.errors], []);
  } finally {
    a.close();
    b.close();
  }
}

async function refusalOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return 'it was taken';
}

test('a code makes a pair: each keeps the key of the other, and a link comes up at each address', () =>
  units(async (a, b) => {
    const { code, fingerprint } = await a.pair.invite(['127.0.0.1', '127.0.0.2']);
    const peer = await b.pair.join(code.toLowerCase(), '127.0.0.2');
    assert.is(peer.name, 'unit-a');
    assert.is(b.pair.state().peer?.fingerprint, fingerprint);
    await Promise.all([a.heard('together'), b.heard('together')]);
    await Promise.all(
      [a, b].map((unit) => unit.heard('up', unit.news.findIndex(({ what }) => what === 'up') + 1)),
    );
    assert.is(a.pair.state().peer?.fingerprint, b.pair.state().fingerprint);
    for (const unit of [a, b]) {
      const { links, invitation, refused } = unit.pair.state();
      assert.equal(
        links.map(({ address, up }) => [address, up]),
        [
          ['127.0.0.1', true],
          ['127.0.0.2', true],
        ],
      );
      assert.is(invitation, null);
      assert.equal([...new Set(Object.values(refused))], [0], JSON.stringify(refused));
    }
  }));

test('a wrong code is refused and counted, and five of them make the invitation void', () =>
  units(async (a, b) => {
    const { code } = await a.pair.invite(['127.0.0.1']);
    for (let tries = 1; tries <= 5; tries += 1) {
      const why = await refusalOf(b.pair.join(formatCode(makeSecret()), '127.0.0.1'));
      assert.match(why, tries < 5 ? /code is wrong/ : /no longer valid/);
      assert.is(a.pair.state().refused.wrongCode, tries);
    }
    assert.equal(await a.heard('invitation-over'), { what: 'invitation-over', why: 'wrong codes' });
    assert.match(
      await refusalOf(b.pair.join(code, '127.0.0.1')),
      /Cannot reach/,
      'nothing listens',
    );
    assert.is(a.pair.state().peer, null);
    assert.is(b.pair.state().peer, null);
  }));

test('a code is for one unit, once', () =>
  units(async (a, b) => {
    const { code } = await a.pair.invite(['127.0.0.1']);
    await b.pair.join(code, '127.0.0.1');
    const c = new PairUnit('unit-c', a.port);
    try {
      assert.match(await refusalOf(c.pair.join(code, '127.0.0.1')), /no invitation open/);
      assert.is(a.pair.state().refused.foreign, 1);
      assert.match(await refusalOf(a.pair.invite(['127.0.0.1'])), /paired with unit-b/);
    } finally {
      c.close();
    }
  }));

test('an invitation expires, and then nothing listens', () =>
  units(async (a, b) => {
    const { code } = await a.pair.invite(['127.0.0.1']);
    assert.is((await a.heard('invitation-over')).why, 'expired');
    assert.match(await refusalOf(b.pair.join(code, '127.0.0.1')), /Cannot reach/);
  }, 50));

test('before an invitation, and at other addresses, nothing listens', () =>
  units(async (a, b) => {
    const code = formatCode(makeSecret());
    assert.match(await refusalOf(b.pair.join(code, '127.0.0.1')), /ECONNREFUSED/);
    await a.pair.invite(['127.0.0.1']);
    assert.match(await refusalOf(b.pair.join(code, '127.0.0.3')), /ECONNREFUSED/);
    assert.match(await refusalOf(a.pair.invite(['192.0.2.1'])), /no address of this unit/);
    assert.match(
      await refusalOf(a.pair.join(code, '127.0.0.1')),
      /ECONNREFUSED/,
      'its own is withdrawn',
    );
  }));

test('who sits in the middle with another certificate on both sides does not come in', async () => {
  const [portA, portB] = [await freePort(), await freePort()];
  const [a, b] = [new PairUnit('unit-a', portA), new PairUnit('unit-b', portB)];
  const middle = new Middle();
  try {
    const { code } = await a.pair.invite(['127.0.0.1']);
    await middle.open(['127.0.0.1', portB], ['127.0.0.1', portA]);
    assert.match(await refusalOf(b.pair.join(code, '127.0.0.1')), /code is wrong/);
    assert.ok(middle.passed > 150, `${middle.passed} octets went through the middle`);
    assert.is(a.pair.state().refused.wrongCode, 1, 'the proof was for another connection');
    assert.is(a.pair.state().peer, null);
    assert.is(b.pair.state().peer, null);
  } finally {
    middle.close();
    a.close();
    b.close();
  }
});

test('one that answers without the code is not believed', async () => {
  const port = await freePort();
  const [liar, b] = [new PairUnit('liar', port), new PairUnit('unit-b', port)];
  const { context } = await identityIn(liar.folder);
  const heard: string[] = [];
  const server = createServer((raw) => {
    const socket = serve(raw, context);
    socket.once('secure', () => {
      const frames = new FrameSocket(socket, 1, noRefusals());
      frames.listen({
        frame: ({ type }) => {
          heard.push(type);
          const proof = randomBytes(32).toString('hex');
          const addresses = ['127.0.0.1'];
          frames.send('welcome', encodeJson({ version: 1, name: 'liar', proof, addresses }));
        },
        closed: () => undefined,
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  try {
    const why = await refusalOf(b.pair.join(formatCode(makeSecret()), '127.0.0.1'));
    assert.match(why, /does not know the code itself/);
    assert.equal(heard, ['join'], 'it was not told that it is agreed');
    assert.is(b.pair.state().peer, null);
  } finally {
    server.close();
    liar.close();
    b.close();
  }
});

test('units of two versions say so to each other', () =>
  units(async (a, b) => {
    await a.pair.invite(['127.0.0.1']);
    const { context } = await identityIn(b.folder);
    const frames = new FrameSocket(await dial('127.0.0.1', a.port, context), 1, noRefusals());
    const refused = new Promise<string>((resolve) => {
      frames.listen({
        frame: ({ payload }) => resolve(payload.toString()),
        closed: (reason) => resolve(reason),
      });
    });
    frames.send('join', encodeJson({ version: 2, name: 'later', whatever: true }));
    assert.is(await refused, '{"reason":"version"}');
    assert.is(a.pair.state().refused.wrongCode, 0, 'it has cost no try');
    a.stop();

    const known = await identityIn(a.folder);
    const server = createServer((raw) => {
      serve(raw, known.context).once('secure', function (this: TLSSocket) {
        const answers = new FrameSocket(this, 1, noRefusals());
        answers.listen({
          frame: ({ type }) => {
            if (type === 'join') answers.send('welcome', encodeJson({ version: 2, name: 'later' }));
          },
          closed: () => undefined,
        });
      });
    });
    await new Promise<void>((resolve) => server.listen(b.port, '127.0.0.1', resolve));
    try {
      const why = await refusalOf(b.pair.join(formatCode(makeSecret()), '127.0.0.1'));
      assert.match(why, /version of the pair's protocol is 2, this unit's is 1: bring both/);
    } finally {
      server.close();
      a.restart();
    }
  }));

test('neither secret nor private key is in the files of a unit, and they are its owner’s alone', async () => {
  const [a, b] = await pairOf(['127.0.0.1']);
  try {
    const pin = Buffer.from((a.pair.state().fingerprint ?? '').replaceAll(':', ''), 'hex');
    let pins = 0;
    for (const unit of [a, b]) {
      for (const file of readdirSync(unit.folder)) {
        const bytes = readFileSync(path(unit.folder, file));
        if (bytes.includes(pin)) pins += 1;
        // The version and algorithm that each PKCS#8 of a P-256 key begins with.
        const head = Buffer.from('020100301306072a8648ce3d020106082a8648ce3d030107', 'hex');
        assert.not.ok(bytes.includes(head), `${file} has a private key in it`);
      }
    }
    assert.ok(pins > 0, 'what is looked for is found where it must be');
  } finally {
    a.close();
    b.close();
  }
});

test('a crowd at the port makes room among its own, not for itself', () =>
  units(async (a) => {
    await a.pair.invite(['127.0.0.1']);
    const from = (localAddress: string): Socket => {
      const socket = connect({ port: a.port, host: '127.0.0.1', localAddress });
      socket.on('error', () => undefined);
      return socket.resume();
    };
    const alone = from('127.0.0.9');
    const crowd: Socket[] = [];
    try {
      await new Promise<void>((resolve) => alone.once('connect', () => resolve()));
      let ended = 0;
      await new Promise<void>((resolve) => {
        for (let one = 0; one < 100; one += 1) {
          crowd.push(from('127.0.0.1').once('close', () => (ended += 1) >= 60 && resolve()));
        }
      });
      assert.is(alone.closed, false, 'who came first, and alone, is still there');
    } finally {
      for (const socket of [alone, ...crowd]) socket.destroy();
    }
  }));

test('random octets instead of TLS are a foreign connection', () =>
  units(async (a) => {
    await a.pair.invite(['127.0.0.1']);
    const socket = connect(a.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.end(randomBytes(300));
    await new Promise<void>((resolve) => socket.once('close', () => resolve()));
    await new Promise<void>((resolve) => setImmediate(resolve));
    assert.is(a.pair.state().refused.foreign, 1);
  }));

test.run();
