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
import {
  addressBytes,
  clientMac,
  frame,
  ipv4,
  onesSum,
  unitMac,
  wrap,
  type FrameSpec,
} from './packets.js';
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
const wrap32 = (value: number): number => value >>> 0;
const mssOption = (size: number): number[] => [2, 4, size >> 8, size & 0xff];

interface Segment {
  readonly sequence: number;
  readonly acknowledge: number;
  readonly flags: number;
  readonly window: number;
  readonly options: readonly number[];
}

function segmentOf(bytes: Uint8Array): Segment {
  let data = Buffer.from(bytes);
  while (data.readUInt16BE(12) === 0x8100 || data.readUInt16BE(12) === 0x88a8) {
    data = Buffer.concat([data.subarray(0, 12), data.subarray(16)]);
  }
  const at = data.readUInt16BE(12) === 0x0800 ? 34 : 54;
  return {
    sequence: data.readUInt32BE(at + 4),
    acknowledge: data.readUInt32BE(at + 8),
    flags: data.readUInt8(at + 13),
    window: data.readUInt16BE(at + 14),
    options: [...data.subarray(at + 20, at + (data.readUInt8(at + 12) >> 4) * 4)],
  };
}

/** One connection as its two ends see it. */
class Talk {
  readonly scene: Scene;
  readonly isn: number;
  readonly memberIsn: number;
  readonly link: Partial<FrameSpec>;
  cookie = 0;

  constructor(scene: Scene, isn = 0x1000_0000, memberIsn = 0x7000_0000) {
    this.scene = scene;
    this.isn = isn;
    this.memberIsn = memberIsn;
    this.link = {};
  }

  client(change: Partial<FrameSpec> = {}): FrameSpec {
    return this.scene.request({
      flags: 'A',
      sequence: wrap32(this.isn + 1),
      acknowledge: wrap32(this.cookie + 1),
      payload: new Uint8Array(0),
      ...change,
    });
  }

  member(change: Partial<FrameSpec> = {}): FrameSpec {
    return this.scene.answer(this.scene.home, {
      flags: 'A',
      sequence: wrap32(this.memberIsn + 1),
      acknowledge: wrap32(this.isn + 1),
      payload: new Uint8Array(0),
      ...change,
    });
  }

  /** The SYN and its answer, from which the cookie is taken. */
  syn(change: Partial<FrameSpec> = {}, expectedMss?: number): void {
    const six = this.scene.combination.family === 'ipv6';
    const mss = expectedMss ?? (six ? 1440 : 1460);
    const syn = this.client({
      flags: 'S',
      sequence: this.isn,
      acknowledge: 0,
      optionBytes: [...mssOption(six ? 1440 : 1460), 1, 3, 3, 7],
      ...change,
    });
    const result = path.run(frame(syn));
    assert.is(result.verdict, 'tx', `SYN answered; drops ${JSON.stringify(path.drops())}`);
    assert.equal(checksumFaults(result.data), [], 'checksums of the SYN-ACK');
    this.cookie = segmentOf(result.data).sequence;
    const expected = frame({
      ...this.fresh(syn),
      fromMac: syn.toMac ?? unitMac,
      toMac: syn.fromMac ?? clientMac,
      source: syn.destination,
      destination: syn.source,
      sourcePort: syn.destinationPort,
      destinationPort: syn.sourcePort,
      flags: 'SA',
      sequence: this.cookie,
      acknowledge: wrap32(this.isn + 1),
      window: mss,
      optionBytes: mssOption(mss),
    });
    assert.equal(stripIp(result.data), stripIp(expected), 'SYN-ACK');
  }

  /** What the unit writes itself has no payload, and a hop count of its own. */
  fresh(spec: FrameSpec): FrameSpec {
    return { ...spec, ttl: 64, payload: new Uint8Array(0), optionBytes: [] };
  }

  /** The client's packet comes out at the member as the SYN. */
  expectSyn(from: FrameSpec = this.client(), mss?: number): void {
    const six = this.scene.combination.family === 'ipv6';
    const result = path.run(frame(from));
    assert.is(result.verdict, 'tx', `SYN to the member; drops ${JSON.stringify(path.drops())}`);
    assert.equal(checksumFaults(result.data), [], 'checksums of the SYN');
    const expected = this.scene.delivered(
      {
        ...this.fresh(from),
        flags: 'S',
        sequence: this.isn,
        acknowledge: 0,
        window: from.window ?? 0xfaf0,
        optionBytes: mssOption(mss ?? (six ? 1440 : 1460)),
      },
      this.scene.home,
    );
    assert.equal(stripIp(result.data), stripIp(expected), 'SYN to the member');
  }

  /** The member's SYN-ACK is answered to itself. */
  expectAccepted(window = 0xfaf0): void {
    const accept = this.member({
      flags: 'SA',
      sequence: this.memberIsn,
      optionBytes: mssOption(1400),
    });
    const result = path.run(frame(accept));
    assert.is(result.verdict, 'tx', `ACK to the member; drops ${JSON.stringify(path.drops())}`);
    assert.equal(checksumFaults(result.data), [], 'checksums of the ACK');
    const expected = frame({
      ...this.fresh(accept),
      fromMac: accept.toMac ?? unitMac,
      toMac: accept.fromMac ?? clientMac,
      source: accept.destination,
      destination: accept.source,
      sourcePort: accept.destinationPort,
      destinationPort: accept.sourcePort,
      flags: 'A',
      sequence: wrap32(this.isn + 1),
      acknowledge: wrap32(this.memberIsn + 1),
      window,
    });
    assert.equal(stripIp(result.data), stripIp(expected), 'ACK to the member');
  }

  open(): void {
    this.syn();
    this.expectSyn();
    this.expectAccepted();
  }

  get delta(): number {
    return wrap32(this.cookie - this.memberIsn);
  }

  expectForth(request: FrameSpec): void {
    const acknowledge = wrap32((request.acknowledge ?? 0) - this.delta);
    expectSent(path, frame(request), () =>
      this.scene.delivered({ ...request, acknowledge }, this.scene.home),
    );
  }

  expectBack(answer: FrameSpec): void {
    expectSent(
      path,
      frame(answer),
      frame({
        ...answer,
        fromMac: unitMac,
        toMac: clientMac,
        source: this.scene.addresses.service,
        sourcePort: 80,
        destination: this.scene.addresses.client,
        destinationPort: this.scene.clientPort,
        sequence: wrap32((answer.sequence ?? 0) + this.delta),
        ttl: (answer.ttl ?? 61) - 1,
      }),
    );
  }
}

/** A frame without what the unit is free to choose: identification, flow label, their checksum. */
function stripIp(bytes: Uint8Array): string {
  const data = Buffer.from(bytes);
  let at = 12;
  while (data.readUInt16BE(at) === 0x8100 || data.readUInt16BE(at) === 0x88a8) at += 4;
  const ip = at + 2;
  if (data.readUInt16BE(at) === 0x0800) {
    data.fill(0, ip + 4, ip + 6);
    data.fill(0, ip + 10, ip + 12);
  } else {
    data.fill(0, ip, ip + 4);
  }
  return data.toString('hex');
}

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
    const talk = new Talk(scene);
    talk.syn();
    talk.syn();
    assert.is(path.flow(scene.tuple), null, 'no entry');
    assert.equal(path.cookies(3), { sent: 2, accepted: 0, rejected: 0 });
    assert.is(path.serviceCounters(3).packets, 0, 'nothing reached a member');
  });

  at('a whole connection, with data both ways and both ends', (scene) => {
    const talk = new Talk(scene);
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
    const talk = new Talk(scene, 0xffff_ffff, 0xffff_fffe);
    talk.open();
    talk.expectForth(talk.client({ payload: Buffer.from('odd') }));
    talk.expectBack(talk.member({ payload: Buffer.from('odd'), sequence: 0xffff_ffff }));
    talk.expectBack(talk.member({ payload: Buffer.from('odd'), sequence: 2 }));
    const high = new Talk(new Scene(path, combination), 5, 0);
    path.service({ ...scene.service, flags: always });
    high.open();
    high.expectBack(high.member({ payload: Buffer.from('x'), sequence: 0xffff_fff0 }));
  });

  at('data before the member has answered is dropped, and repeated it repeats the SYN', (scene) => {
    const talk = new Talk(scene);
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
    const talk = new Talk(scene);
    talk.syn();
    talk.expectSyn(talk.client({ flags: 'PA', payload: Buffer.alloc(900, 7), window: 1234 }));
    talk.expectAccepted(1234);
  });

  at('a member that repeats its answer gets its ACK again', (scene) => {
    const talk = new Talk(scene);
    talk.open();
    talk.expectAccepted();
    talk.expectForth(talk.client({ payload: Buffer.from('x') }));
    assert.is(path.serviceCounters(3).answers, 1, 'answers are counted once');
  });

  at('a member that refuses resets the client, right behind the cookie', (scene) => {
    const talk = new Talk(scene);
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
    const again = new Talk(scene, 0x2000_0000, 0x3000_0000);
    again.open();
    again.expectBack(again.member({ payload: Buffer.from('now') }));
  });

  at('a client that resets before the member has answered', (scene) => {
    const talk = new Talk(scene);
    talk.syn();
    talk.expectSyn();
    expectDrop(path, frame(talk.client({ flags: 'R', sequence: talk.isn + 9 })), 'COOKIE_EARLY');
    const reset = talk.client({ flags: 'R' });
    expectSent(path, frame(reset), () => scene.delivered(reset, scene.home));
    assert.is(path.flow(scene.tuple)?.closing, 3);
  });

  at('resets of an open connection go both ways', (scene) => {
    const talk = new Talk(scene);
    talk.open();
    talk.expectBack(talk.member({ flags: 'RA' }));
    const second = new Talk(scene, 99);
    second.open();
    const reset = second.client({ flags: 'R', acknowledge: 0 });
    expectSent(path, frame(reset), () => scene.delivered(reset, scene.home));
    assert.is(path.flow(scene.tuple)?.closing, 3);
  });

  at('a wrong cookie is dropped and counted', (scene) => {
    const talk = new Talk(scene);
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
    const talk = new Talk(scene);
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
      const talk = new Talk(scene, 1000 + index);
      path.forget(scene.tuple);
      talk.syn({ optionBytes: [1, 1, ...mssOption(said), 1, 1] }, used);
      talk.expectSyn(talk.client(), used);
      path.forget(scene.tuple);
    }
    path.service({ ...scene.service, flags: always, mss: 1350 });
    const clamped = new Talk(scene, 77);
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
      const talk = new Talk(scene);
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
    const talk = new Talk(scene);
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
      for (let port = 1000; port < 1010; port++) send(port, 'S');
      assert.is(path.cookies(3).sent, 0, 'cookies below the limit');
      send(1010, 'S');
      assert.is(path.cookies(3).sent, 1, 'the SYN above the limit');
      const talk = new Talk(scene);
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
      const talk = new Talk(scene);
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
