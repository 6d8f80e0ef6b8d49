/**
 * SYN cookies packet by packet: the handshake on both sides, translated numbers, wrong cookies,
 * the switch by load. Run with BPF_PROG_TEST_RUN; the kernel makes and checks the cookies.
 *
 * Invariant: the numbers that a test expects are computed here from the frames it has seen.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { lacking, needs } from '../support/needs.js';
import { checksumFaults } from './checksums.js';
import { Datapath, serviceFlags } from './datapath.js';
import { addressBytes, clientMac, frame, ipv4, onesSum, unitMac, wrap } from './packets.js';
import { Talk, mssOption, segmentOf, wrap32 } from './cookie-talk.js';
import { combinations, expectDrop, expectSent, Scene } from './scene.js';

const test = suite('bpf cookie');
let path: Datapath;
test.before(() => {
  path = Datapath.open();
});
test.after(() => {
  if (lacking('bpf') === null) path.close();
});

const always = serviceFlags.cookies | serviceFlags.cookiesAlways;

for (const combination of combinations) {
  const { forwarding, protocol, family } = combination;
  if (protocol !== 'tcp' || (forwarding !== 'nat' && forwarding !== 'full-nat')) continue;
  const at = (what: string, check: (scene: Scene) => void, flags: number = always): void => {
    needs.bpf(test)(`${combination.name}: ${what}`, () => {
      const scene = new Scene(path, combination);
      path.service({ ...scene.service, flags });
      check(scene);
    });
  };

  at('a SYN is answered and nothing is kept of it', (scene) => {
    const talk = new Talk(path, scene);
    talk.syn();
    talk.syn();
    assert.is(path.flow(scene.tuple), null, 'no entry');
    assert.equal(path.cookies(3), { sent: 2, accepted: 0, rejected: 0 });
    assert.is(path.serviceCounters(3).packets, 0, 'nothing reached a member');
  });

  at('a whole connection, with data both ways and both ends', (scene) => {
    const talk = new Talk(path, scene);
    talk.open();
    assert.equal(path.cookies(3), { sent: 1, accepted: 1, rejected: 0 });
    assert.is(path.serviceCounters(3).flows, 1, 'one flow');
    assert.is(path.serviceCounters(3).answers, 1, 'one answer');
    talk.expectForth(talk.client({ flags: 'PA', payload: Buffer.from('GET /') }));
    talk.expectBack(
      talk.member({ acknowledge: talk.isn + 6, payload: Buffer.from('hello'), flags: 'PA' }),
    );
    talk.expectForth(talk.client({ sequence: talk.isn + 6, acknowledge: talk.cookie + 6 }));
    talk.expectBack(talk.member({ sequence: talk.memberIsn + 6, flags: 'FA' }));
    talk.expectForth(
      talk.client({ sequence: talk.isn + 6, acknowledge: talk.cookie + 7, flags: 'FA' }),
    );
    assert.is(path.flow(scene.tuple)?.closing, 3, 'both ended it');
    // The last word still finds its way, and is no wrong cookie.
    talk.expectForth(talk.client({ sequence: talk.isn + 7, acknowledge: talk.cookie + 7 }));
    assert.equal(path.cookies(3), { sent: 1, accepted: 1, rejected: 0 });
    assert.is(path.active('service', 3), 0, 'active flows');
  });

  at('sequence numbers wrap around', (scene) => {
    const talk = new Talk(path, scene, 0xffff_ffff, 0xffff_fffe);
    talk.open();
    talk.expectForth(talk.client({ payload: Buffer.from('odd') }));
    talk.expectBack(talk.member({ payload: Buffer.from('odd'), sequence: 0xffff_ffff }));
    talk.expectBack(talk.member({ payload: Buffer.from('odd'), sequence: 2 }));
    const high = new Talk(path, new Scene(path, combination), 5, 0);
    path.service({ ...scene.service, flags: always });
    high.open();
    high.expectBack(high.member({ payload: Buffer.from('x'), sequence: 0xffff_fff0 }));
  });

  at('data before the member has answered is dropped, and repeated it repeats the SYN', (scene) => {
    const talk = new Talk(path, scene);
    talk.syn();
    talk.expectSyn();
    const data = talk.client({ flags: 'PA', payload: Buffer.from('GET /') });
    expectDrop(path, frame(data), 'COOKIE_EARLY');
    path.age(scene.tuple, 1);
    talk.expectSyn(data);
    expectDrop(
      path,
      frame(talk.client({ sequence: talk.isn + 6, payload: Buffer.from('more') })),
      'COOKIE_EARLY',
    );
    expectDrop(
      path,
      frame(talk.client({ flags: 'S', sequence: talk.isn, acknowledge: 0 })),
      'COOKIE_EARLY',
    );
    talk.expectAccepted();
    talk.expectForth(data);
    assert.is(path.cookies(3).accepted, 1);
    assert.is(path.serviceCounters(3).flows, 1);
  });

  at('the first packet may be data: it opens the connection all the same', (scene) => {
    const talk = new Talk(path, scene);
    talk.syn();
    talk.expectSyn(talk.client({ flags: 'PA', payload: Buffer.alloc(900, 7), window: 1234 }));
    talk.expectAccepted(1234);
  });

  at('a member that repeats its answer gets its ACK again', (scene) => {
    const talk = new Talk(path, scene);
    talk.open();
    talk.expectAccepted();
    talk.expectForth(talk.client({ payload: Buffer.from('x') }));
    assert.is(path.serviceCounters(3).answers, 1, 'answers are counted once');
  });

  at('a member that refuses resets the client, right behind the cookie', (scene) => {
    const talk = new Talk(path, scene);
    talk.syn();
    talk.expectSyn();
    const refusal = talk.member({ flags: 'RA', sequence: 0, window: 0 });
    expectSent(
      path,
      frame(refusal),
      frame({
        ...refusal,
        fromMac: unitMac,
        toMac: clientMac,
        source: scene.addresses.service,
        sourcePort: 80,
        destination: scene.addresses.client,
        destinationPort: scene.clientPort,
        sequence: wrap32(talk.cookie + 1),
        ttl: 60,
      }),
    );
    assert.is(path.flow(scene.tuple)?.closing, 3);
    assert.is(path.serviceCounters(3).resets, 1);
    assert.is(path.active('member', 1), 0);
    // The same tuple may try again.
    const again = new Talk(path, scene, 0x2000_0000, 0x3000_0000);
    again.open();
    again.expectBack(again.member({ payload: Buffer.from('now') }));
  });

  at('a client that resets before the member has answered', (scene) => {
    const talk = new Talk(path, scene);
    talk.syn();
    talk.expectSyn();
    expectDrop(path, frame(talk.client({ flags: 'R', sequence: talk.isn + 9 })), 'COOKIE_EARLY');
    const reset = talk.client({ flags: 'R' });
    expectSent(path, frame(reset), () => scene.delivered(reset, scene.home));
    assert.is(path.flow(scene.tuple)?.closing, 3);
  });

  at('resets of an open connection go both ways', (scene) => {
    const talk = new Talk(path, scene);
    talk.open();
    talk.expectBack(talk.member({ flags: 'RA' }));
    const second = new Talk(path, scene, 99);
    second.open();
    const reset = second.client({ flags: 'R', acknowledge: 0 });
    expectSent(path, frame(reset), () => scene.delivered(reset, scene.home));
    assert.is(path.flow(scene.tuple)?.closing, 3);
  });

  at('a wrong cookie is dropped and counted', (scene) => {
    const talk = new Talk(path, scene);
    talk.syn();
    for (const wrong of [
      talk.client({ acknowledge: wrap32(talk.cookie + 0x0010_0001) }),
      talk.client({ acknowledge: 1 }),
      talk.client({ sequence: wrap32(talk.isn + 9) }),
      talk.client({ sourcePort: 40_001 }),
    ]) {
      expectDrop(path, frame(wrong), 'COOKIE');
    }
    assert.is(path.flow(scene.tuple), null);
    assert.equal(path.cookies(3), { sent: 1, accepted: 0, rejected: 4 });
    expectDrop(path, frame(talk.client({ flags: 'R', sourcePort: 40_001 })), 'COOKIE');
    expectDrop(path, frame(talk.client({ flags: 'SA', sourcePort: 40_001 })), 'COOKIE');
    talk.expectSyn();
  });

  at('the cookie’s ACK played again begins nothing twice', (scene) => {
    const talk = new Talk(path, scene);
    talk.open();
    talk.expectForth(talk.client());
    assert.equal(path.cookies(3), { sent: 1, accepted: 1, rejected: 0 });
    assert.is(path.serviceCounters(3).flows, 1);
  });

  at('the largest segment comes through the cookie, never larger than was said', (scene) => {
    const cases: [number, number][] =
      family === 'ipv4'
        ? [
            [9000, 1460],
            [1459, 1440],
            [1400, 1300],
            [600, 536],
          ]
        : [
            [9000, 1440],
            [1430, 1420],
            [1300, 1220],
          ];
    for (const [index, [said, used]] of cases.entries()) {
      const talk = new Talk(path, scene, 1000 + index);
      path.forget(scene.tuple);
      talk.syn({ optionBytes: [1, 1, ...mssOption(said), 1, 1] }, used);
      talk.expectSyn(talk.client(), used);
      path.forget(scene.tuple);
    }
    path.service({ ...scene.service, flags: always, mss: 1350 });
    const clamped = new Talk(path, scene, 77);
    clamped.syn({}, family === 'ipv4' ? 1300 : 1220);
    clamped.expectSyn(clamped.client(), family === 'ipv4' ? 1300 : 1220);
  });

  at('tags of VLANs stay', (scene) => {
    path.member({ ...scene.home, vlan: [30] });
    const vlan = [20];
    const syn = frame(
      scene.request({ flags: 'S', sequence: 5, payload: new Uint8Array(0), vlan, optionBytes: [] }),
    );
    const answer = path.run(syn);
    assert.is(answer.verdict, 'tx');
    assert.is(Buffer.from(answer.data).readUInt32BE(12), 0x8100_0014, 'the client’s tag');
    const cookie = segmentOf(answer.data).sequence;
    const opening = path.run(
      frame(
        scene.request({
          sequence: 6,
          acknowledge: wrap32(cookie + 1),
          payload: new Uint8Array(0),
          vlan,
        }),
      ),
    );
    assert.is(opening.verdict, 'tx');
    assert.equal(checksumFaults(opening.data), []);
    assert.is(Buffer.from(opening.data).readUInt32BE(12), 0x8100_001e, 'the member’s tag');
    assert.is(segmentOf(opening.data).flags, 2);
  });

  if (family === 'ipv4') {
    at('an error about a member’s segment quotes the member’s own number', (scene) => {
      const talk = new Talk(path, scene);
      talk.open();
      const quoted = frame({
        ...talk.client({ sequence: wrap32(talk.cookie + 1), acknowledge: 9 }),
        source: scene.addresses.service,
        destination: scene.addresses.client,
        sourcePort: 80,
        destinationPort: scene.clientPort,
      }).subarray(14, 14 + 28);
      // RFC 1191 §4: fragmentation needed, 1400 bytes fit.
      const message = Buffer.concat([Uint8Array.of(3, 4, 0, 0, 0, 0, 0x05, 0x78), quoted]);
      message.writeUInt16BE(~onesSum(message) & 0xffff, 2);
      const [source, destination] = ['203.0.113.1', scene.addresses.service].map(addressBytes);
      if (source === undefined || destination === undefined) throw new Error('no addresses');
      const result = path.run(wrap(ipv4({ source, destination, protocol: 1, ttl: 9 }, message)));
      assert.is(result.verdict, 'tx', JSON.stringify(path.drops()));
      assert.equal(checksumFaults(result.data), []);
      const sequence = Buffer.from(result.data).readUInt32BE(14 + 20 + 8 + 20 + 4);
      assert.is(sequence, wrap32(talk.memberIsn + 1));
    });
  }

  at('an entry that is written anew keeps what the handshake left', (scene) => {
    const talk = new Talk(path, scene);
    talk.open();
    path.age(scene.tuple, 3);
    talk.expectForth(talk.client({ fromMac: '02:00:00:00:00:c9' }));
    const answer = talk.member({ payload: Buffer.from('still') });
    const result = path.run(frame(answer));
    assert.is(result.verdict, 'tx');
    assert.is(segmentOf(result.data).sequence, wrap32((answer.sequence ?? 0) + talk.delta));
  });

  at(
    'cookies begin with half-open handshakes and end when the flood does',
    (scene) => {
      path.settings({ errorsPerSecond: 0, natAddresses: [scene.addresses.nat], halfOpen: 10 });
      const send = (sourcePort: number, flags: string): void => {
        path.run(frame(scene.request({ sourcePort, flags, payload: new Uint8Array(0) })));
      };
      // Handshakes that are gone on with are no flood, however many.
      for (let port = 1; port <= 50; port++) {
        send(port, 'S');
        send(port, 'A');
      }
      assert.is(path.cookies(3).sent, 0, 'cookies of finished handshakes');
      // What a slow machine did not do within one second begins anew.
      for (let port = 1000; ; port += 11) {
        path.ageCookies(3, 30);
        const { sent } = path.cookies(3);
        const begun = performance.now();
        for (let at = 0; at < 10; at++) send(port + at, 'S');
        const below = path.cookies(3).sent - sent;
        send(port + 10, 'S');
        if (performance.now() - begun > 900 && port < 20_000) continue;
        assert.is(below, 0, 'cookies below the limit');
        assert.is(path.cookies(3).sent - sent, 1, 'the SYN above the limit');
        break;
      }
      const talk = new Talk(path, scene);
      talk.open();
      talk.expectBack(talk.member({ payload: Buffer.from('x') }));
      // An established flow of before is as it was.
      const old = scene.request({ sourcePort: 7 });
      expectSent(path, frame(old), () => scene.delivered(old, scene.home));
      path.ageCookies(3, 30);
      const before = path.cookies(3).sent;
      send(2000, 'S');
      assert.is(path.cookies(3).sent, before, 'cookies after the flood');
      // Cookies sent before are still good, and other packets are no wrong cookies.
      const sleeper = scene.request({ sourcePort: 3000 });
      expectSent(path, frame(sleeper), () => scene.delivered(sleeper, scene.home));
      assert.is(path.cookies(3).rejected, 0);
    },
    serviceFlags.cookies,
  );

  at(
    'cookies sent before are good after they ended',
    (scene) => {
      path.service({ ...scene.service, flags: always });
      const talk = new Talk(path, scene);
      talk.syn();
      path.service({ ...scene.service, flags: serviceFlags.cookies });
      talk.expectSyn();
      talk.expectAccepted();
    },
    serviceFlags.cookies,
  );

  at(
    'a service without the flag knows no cookies',
    (scene) => {
      scene.expectAt(scene.home, scene.request({ flags: 'S' }));
      assert.equal(path.cookies(3), { sent: 0, accepted: 0, rejected: 0 });
    },
    0,
  );
}

test.run();
