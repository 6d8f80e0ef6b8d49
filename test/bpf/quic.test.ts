/**
 * QUIC by connection id (RFC 9000 §5.1, §17.2 and §17.3; RFC 9369 §3): a packet whose id names a
 * member goes there, whatever its addresses; any other is balanced like other UDP. Run with
 * BPF_PROG_TEST_RUN.
 *
 * Invariant: the hash sends everything to `home`, the ids that name anybody name `spare`.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { lacking, needs } from '../support/needs.js';
import { Datapath, serviceFlags } from './datapath.js';
import { frame } from './packets.js';
import { combinations, expectSent, Scene } from './scene.js';
import { expectShapeAt, expectShapeBack, fragment, whole } from './shapes.js';

const test = suite('bpf quic');
let path: Datapath;
test.before(() => {
  path = Datapath.open();
});
test.after(() => {
  // Runs even when every test is skipped and nothing was opened.
  if (lacking('bpf') === null) path.close();
});

const server = 0x12f4;
/** A connection id of the member's making, of so many bytes. */
function connectionId(bytes = 8, named = server, layout = 0x40): number[] {
  const id = [layout, named >> 8, named & 0xff, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1, 2, 3, 4, 5, 6, 7, 8];
  return id.slice(0, bytes);
}
const sealed = new Array<number>(30).fill(0x99);
const short = (first = 0x40, id = connectionId()): number[] => [first, ...id, ...sealed];
const [one, two] = [1, 0x6b3343cf];
function long(first: number, version: number, id = connectionId(), claimed = id.length): number[] {
  const word = [24, 16, 8, 0].map((shift) => (version >>> shift) & 0xff);
  return [first, ...word, claimed, ...id, 0, ...sealed];
}

interface Row {
  readonly name: string;
  readonly payload: readonly number[];
  readonly to: 'home' | 'spare';
}

const rows: readonly Row[] = [
  { name: 'a short header', payload: short(), to: 'spare' },
  { name: 'a short header with all bits that are free', payload: short(0x7f), to: 'spare' },
  { name: 'a short header without the fixed bit', payload: short(0x3f), to: 'home' },
  { name: 'a longer id', payload: short(0x40, connectionId(20)), to: 'spare' },
  { name: 'random bits beside the layout', payload: short(0x40, connectionId(8, server, 0x7f)), to: 'spare' }, // prettier-ignore
  { name: 'layout 00', payload: short(0x40, connectionId(8, server, 0x3f)), to: 'home' },
  { name: 'layout 10', payload: short(0x40, connectionId(8, server, 0x80)), to: 'home' },
  { name: 'layout 11', payload: short(0x40, connectionId(8, server, 0xc0)), to: 'home' },
  { name: 'a server id of nobody', payload: short(0x40, connectionId(8, server + 1)), to: 'home' },
  { name: 'a server id the other way round', payload: short(0x40, connectionId(8, 0xf412)), to: 'home' }, // prettier-ignore
  { name: 'server id 0', payload: short(0x40, connectionId(8, 0)), to: 'home' },
  { name: 'the shortest packet', payload: short().slice(0, 9), to: 'spare' },
  { name: 'a packet too short', payload: short().slice(0, 8), to: 'home' },
  { name: 'nothing', payload: [], to: 'home' },
  { name: 'Handshake', payload: long(0xe0, one), to: 'spare' },
  { name: 'Handshake with all bits that are free', payload: long(0xef, one), to: 'spare' },
  { name: 'Handshake without the fixed bit', payload: long(0xa0, one), to: 'home' },
  { name: 'Handshake, an id of 20 bytes', payload: long(0xe0, one, connectionId(20)), to: 'spare' },
  { name: 'Handshake, an id of 3 bytes', payload: long(0xe0, one, connectionId(3)), to: 'spare' },
  { name: 'Handshake, an id said to be of 2 bytes', payload: long(0xe0, one, connectionId(), 2), to: 'home' }, // prettier-ignore
  { name: 'Handshake, no id', payload: long(0xe0, one, [], 0), to: 'home' },
  { name: 'Handshake, another layout', payload: long(0xe0, one, connectionId(8, server, 0)), to: 'home' }, // prettier-ignore
  { name: 'Handshake, cut behind the server id', payload: long(0xe0, one).slice(0, 9), to: 'spare' }, // prettier-ignore
  { name: 'Handshake, cut within the server id', payload: long(0xe0, one).slice(0, 8), to: 'home' },
  // A client chooses the ids of these itself.
  { name: 'Initial', payload: long(0xc0, one), to: 'home' },
  { name: '0-RTT', payload: long(0xd0, one), to: 'home' },
  { name: 'Retry', payload: long(0xf0, one), to: 'home' },
  { name: 'Handshake of version 2', payload: long(0xf0, two), to: 'spare' },
  { name: 'Initial of version 2', payload: long(0xd0, two), to: 'home' },
  { name: '0-RTT of version 2', payload: long(0xe0, two), to: 'home' },
  { name: 'Retry of version 2', payload: long(0xc0, two), to: 'home' },
  { name: 'a version that is not known', payload: long(0xe0, 0x0a0a0a0a), to: 'home' },
  { name: 'version negotiation', payload: long(0xe0, 0), to: 'home' },
];

for (const combination of combinations.filter((each) => each.protocol === 'udp')) {
  const nat = combination.forwarding.endsWith('nat');
  const at = (what: string, check: (scene: Scene) => void): void => {
    needs.bpf(test)(`${combination.name}: ${what}`, () => {
      const scene = new Scene(path, combination);
      path.service({ ...scene.service, flags: serviceFlags.quic });
      path.quicServer(scene.service.id, server, scene.spare.row);
      check(scene);
    });
  };
  const bytes = (payload: readonly number[]): Uint8Array => Uint8Array.from(payload);

  for (const { name, payload, to } of rows) {
    at(`${name} goes ${to === 'spare' ? 'where its id says' : 'by the hash'}`, (scene) => {
      scene.expectAt(scene[to], scene.request({ payload: bytes(payload) }));
      assert.is(path.memberCounters(scene[to].row).packets, 1);
    });
  }

  at('padding that goes on with an id is no part of it', (scene) => {
    for (const length of [1, 2, 3, 8]) {
      const sourcePort = 40_000 + length;
      const request = scene.request({ payload: bytes(short().slice(0, length)), sourcePort });
      const padding = Buffer.from(short().slice(length));
      const sent = Buffer.concat([frame(request), padding]);
      expectSent(path, sent, () => Buffer.concat([scene.delivered(request, scene.home), padding]));
    }
  });

  at('a client that moves keeps its member', (scene) => {
    const payload = bytes(short());
    for (const sourcePort of [40_000, 40_001, 50_000]) {
      scene.expectAt(scene.spare, scene.request({ payload, sourcePort }));
      const source = combination.family === 'ipv4' ? '198.51.100.99' : '2001:db8:9::99';
      scene.expectAt(scene.spare, scene.request({ payload, sourcePort, source }));
    }
  });

  at('a connection from its first packet on', (scene) => {
    // The member of the hash answers, with an id of its own.
    path.quicServer(scene.service.id, server, scene.home.row);
    scene.expectAt(scene.home, scene.request({ payload: bytes(long(0xc0, one)) }));
    if (nat) expectShapeBack(path, scene, whole, scene.answer(scene.home));
    scene.send(2);
    scene.expectAt(scene.home, scene.request({ payload: bytes(long(0xe0, one)) }));
    scene.expectAt(scene.home, scene.request({ payload: bytes(short()) }));
    const moved = { payload: bytes(short()), sourcePort: 41_000 };
    scene.expectAt(scene.home, scene.request(moved));
    scene.expectAt(
      scene.spare,
      scene.request({ ...moved, payload: bytes([0]), sourcePort: 42_000 }),
    );
  });

  at('a draining member keeps its connections, one that is down does not', (scene) => {
    const payload = bytes(short());
    scene.set(scene.spare, { state: 'draining' });
    scene.expectAt(scene.spare, scene.request({ payload }));
    scene.expectAt(scene.spare, scene.request({ payload, sourcePort: 40_001 }));
    scene.set(scene.spare, { state: 'down' });
    scene.expectAt(scene.home, scene.request({ payload, sourcePort: 40_002 }));
    scene.expectAt(scene.home, scene.request({ payload }));
    scene.set(scene.spare, { state: 'free' });
    scene.expectAt(scene.home, scene.request({ payload, sourcePort: 40_003 }));
  });

  at('a pool that takes no new flows keeps the connections that ids name', (scene) => {
    path.service({ ...scene.service, flags: serviceFlags.quic, table: [] });
    scene.set(scene.spare, { state: 'draining' });
    scene.expectAt(scene.spare, scene.request({ payload: bytes(short()) }));
    const unnamed = scene.request({ payload: bytes(short(0)), sourcePort: 40_001 });
    scene.expectDrop('NO_MEMBER', frame(unnamed));
  });

  at('ids of another service, or of a row that is none, name nobody', (scene) => {
    const payload = bytes(short(0x40, connectionId(8, 0x7777)));
    path.quicServer(scene.service.id + 1, 0x7777, scene.spare.row);
    scene.expectAt(scene.home, scene.request({ payload }));
    path.quicServer(scene.service.id, 0x7777, 9);
    scene.expectAt(scene.home, scene.request({ payload, sourcePort: 40_001 }));
    path.quicServer(scene.service.id, 0x7777, 0xffff_ffff);
    scene.expectAt(scene.home, scene.request({ payload, sourcePort: 40_002 }));
  });

  at('a service that does not ask for it looks at no id', (scene) => {
    path.service(scene.service);
    scene.expectAt(scene.home, scene.request({ payload: bytes(short()) }));
  });

  at('fragments follow a first one that an id sends', (scene) => {
    const request = scene.request({ payload: bytes([...short(), ...new Array<number>(200)]) });
    expectShapeAt(path, scene, fragment(0, 64), request, scene.spare);
    expectShapeAt(path, scene, fragment(64, null), request, scene.spare);
    const tiny = scene.request({ payload: request.payload ?? bytes([]), sourcePort: 40_001 });
    expectShapeAt(path, scene, fragment(0, 16, 9), tiny, scene.home);
    expectShapeAt(path, scene, fragment(16, null, 9), tiny, scene.home);
  });

  if (!nat) continue;
  at('a flow that is known stays, whatever its ids say', (scene) => {
    scene.expectAt(scene.home, scene.request({ payload: bytes([0]) }));
    scene.expectAt(scene.home, scene.request({ payload: bytes(short()) }));
    assert.is(path.flow(scene.tuple)?.member, scene.home.row);
  });
}

needs.bpf(test)('TCP to a service with the flag is balanced as ever', () => {
  for (const combination of combinations.filter((each) => each.protocol === 'tcp')) {
    const scene = new Scene(path, combination);
    path.service({ ...scene.service, flags: serviceFlags.quic });
    path.quicServer(scene.service.id, server, scene.spare.row);
    scene.expectAt(scene.home, scene.request({ payload: Uint8Array.from(short()) }));
  }
});

test.run();
