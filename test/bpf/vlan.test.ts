/**
 * VLAN tags (IEEE 802.1Q, 802.1ad): a packet comes with the client's tags and leaves with those
 * towards the member; what goes back to the client has the client's own. The same tags stay as
 * they are, with their priorities; others are written anew, without. Run with BPF_PROG_TEST_RUN.
 */
import { suite } from 'uvu';
import { lacking, needs } from '../support/needs.js';
import { Datapath, type MemberSpec } from './datapath.js';
import { clientMac, echo, frame, unitMac, wrap, type FrameSpec, type LinkSpec } from './packets.js';
import { combinations, expectDrop, expectPass, expectSent, Scene } from './scene.js';
import { icmp, isIpv6, whole } from './shapes.js';

const test = suite('bpf vlan');
let path: Datapath;
test.before(() => {
  path = Datapath.open();
});
test.after(() => {
  // Runs even when every test is skipped and nothing was opened.
  if (lacking('bpf') === null) path.close();
});

type Tags = Pick<LinkSpec, 'vlan' | 'tagTypes'>;
const [q, ad] = [0x8100, 0x88a8];

/** Tags of a client's frames, and what a table can say of them: priorities do not count. */
const clients: readonly { name: string; tags: Tags; kept?: Tags }[] = [
  { name: 'no tag', tags: { vlan: [] } },
  { name: 'one tag', tags: { vlan: [100] } },
  { name: 'the highest id', tags: { vlan: [4094] } },
  { name: 'a tag with priority 5', tags: { vlan: [0xa064] }, kept: { vlan: [100] } },
  { name: 'a priority tag', tags: { vlan: [0] }, kept: { vlan: [] } },
  { name: 'a priority tag with priority 7', tags: { vlan: [0xe000] }, kept: { vlan: [] } },
  { name: 'two tags', tags: { vlan: [200, 100] } },
  {
    name: 'two tags with priorities',
    tags: { vlan: [0x20c8, 0xe064] },
    kept: { vlan: [200, 100] },
  },
  { name: 'two tags of 802.1Q', tags: { vlan: [200, 100], tagTypes: [q, q] } },
  { name: 'one tag of 802.1ad', tags: { vlan: [200], tagTypes: [ad] } },
  {
    name: 'two tags, the inner one of priority alone',
    tags: { vlan: [200, 0xe000] },
    kept: { vlan: [200], tagTypes: [ad] },
  },
];

/** Tags towards a member. */
const members: readonly (readonly number[])[] = [[], [100], [300], [200, 100], [300, 301]];

function sameTags(one: Tags, other: Tags): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** Bytes of a frame with the tags of another one, which may have priorities. */
function tagged(spec: FrameSpec, tags: Tags): Buffer {
  const macs = { toMac: spec.toMac ?? unitMac, fromMac: spec.fromMac ?? clientMac };
  return wrap(whole(spec), { ...macs, ...tags });
}

/** What the client gets: tags that did not change keep even their priorities. */
function back(scene: Scene, answer: FrameSpec, kept: Tags): Buffer {
  const sameAsCame = sameTags({ vlan: answer.vlan ?? [] }, kept);
  return tagged(scene.returned(answer), sameAsCame ? { vlan: answer.vlan ?? [] } : kept);
}

for (const combination of combinations) {
  const at = (what: string, check: (scene: Scene) => void): void => {
    needs.bpf(test)(`${combination.name}: ${what}`, () => {
      check(new Scene(path, combination));
    });
  };
  const tunnel = combination.forwarding === 'tunnel';
  const answers = combination.forwarding.endsWith('nat');

  for (const client of clients) {
    for (const vlan of members) {
      at(`${client.name} to a member behind tags [${vlan.join(', ')}]`, (scene) => {
        const home: MemberSpec = { ...scene.home, vlan };
        path.member(home);
        const request = scene.request({ ...client.tags, payload: Buffer.from('tags') });
        const stay =
          client.tags.vlan?.length === vlan.length &&
          sameTags(client.kept ?? client.tags, { vlan });
        const tags = stay ? client.tags : { vlan };
        expectSent(path, frame(request), () =>
          tunnel ? scene.delivered(request, home) : tagged(scene.moved(request, home), tags),
        );
        if (!answers) return;
        const answer = scene.answer(home, { vlan, payload: Buffer.from('and back') });
        expectSent(path, frame(answer), back(scene, answer, client.kept ?? client.tags));
      });
    }
  }

  at('an error of the path has the tags of what it is about', (scene) => {
    path.settings({ errorsPerSecond: 1000, natAddresses: [scene.addresses.nat] });
    for (const { tags } of clients) {
      const request = scene.request({ ...tags, ttl: 1, payload: Buffer.alloc(100) });
      const six = isIpv6(request);
      const quoted = whole(request).subarray(0, 128);
      const error = icmp({
        source: scene.addresses.service,
        destination: scene.addresses.client,
        type: six ? 3 : 11,
        body: quoted,
        ttl: 64,
      });
      const link = { ...tags, fromMac: unitMac, toMac: clientMac };
      expectSent(path, frame(request), wrap(error, link));
    }
  });

  at('an error about a member’s answer goes on with the member’s tags', () => {
    for (const { tags, kept } of clients) {
      const scene = new Scene(path, combination);
      const home: MemberSpec = { ...scene.home, vlan: [300] };
      path.member(home);
      // The flow, whose answer the error is about.
      expectSentAnyhow(scene.request({ ...tags }));
      const sent = scene.answer(home);
      const seen: FrameSpec = answers
        ? { ...scene.returned(sent), ttl: sent.ttl ?? 61 }
        : { ...sent, source: scene.addresses.service, sourcePort: 80 };
      const six = isIpv6(seen);
      const common = { type: six ? 1 : 3, code: six ? 4 : 3, source: scene.addresses.client };
      const from = { ...common, destination: scene.addresses.service, body: whole(seen) };
      const moved = { ...common, ttl: 60, destination: home.address, body: whole(sent) };
      const link = { vlan: [300], fromMac: home.sourceMac, toMac: home.mac };
      if (tunnel) continue; // Tunnels are other tests' subject.
      const expected = answers ? icmp(moved) : icmp({ ...from, ttl: 60 });
      expectSent(path, wrap(icmp(from), tags), wrap(expected, link));
      if (!answers) continue;
      // And one of the member's own, about the client's packet, has the client's tags.
      const delivered = { ...scene.moved(scene.request(), home), vlan: [] };
      const refused = icmp({
        ...common,
        source: home.address,
        destination: delivered.source,
        body: whole(delivered),
      });
      const told = icmp({
        ...common,
        ttl: 60,
        source: scene.addresses.service,
        destination: scene.addresses.client,
        body: whole({ ...scene.request(), ttl: delivered.ttl ?? 61 }),
      });
      const toClient = { ...(kept ?? tags), fromMac: unitMac, toMac: clientMac };
      expectSent(
        path,
        wrap(refused, { ...link, fromMac: home.mac, toMac: home.sourceMac }),
        wrap(told, toClient),
      );
    }
  });

  at('what is not for a service passes under any tags', (scene) => {
    for (const { tags } of clients) {
      expectPass(path, frame(scene.request({ ...tags, destination: scene.addresses.other })));
      expectPass(path, frame(scene.request({ ...tags, destinationPort: 81 })));
    }
  });

  at('three tags, or one without a packet, are the kernel’s', (scene) => {
    expectPass(path, frame(scene.request({ vlan: [1, 2, 3], tagTypes: [ad, q, q] })));
    expectPass(path, frame(scene.request({ vlan: [1, 2], tagTypes: [ad, ad] })));
    expectPass(path, frame(scene.request({ vlan: [1] })).subarray(0, 18));
    expectPass(path, frame(scene.request({ vlan: [1] })).subarray(0, 30));
    expectPass(path, frame(scene.request({ vlan: [1, 2] })).subarray(0, 22));
  });

  at('a packet under tags is judged like any other', (scene) => {
    for (const { tags } of clients) {
      const short = frame(scene.request({ ...tags, payload: Buffer.alloc(64) }));
      expectDrop(path, short.subarray(0, short.length - 1), 'MALFORMED');
    }
  });
}

function expectSentAnyhow(request: FrameSpec): void {
  const { verdict } = path.run(frame(request));
  if (verdict !== 'tx') throw new Error(`the flow did not begin: ${verdict}`);
}

for (const family of ['ipv4', 'ipv6'] as const) {
  const combination = combinations.find((one) => one.family === family);
  if (combination === undefined) throw new Error(`no combination of ${family}`);
  needs.bpf(test)(`${family}: an echo is answered under the request’s tags, as they came`, () => {
    const scene = new Scene(path, combination);
    const { client: source, service: destination } = scene.addresses;
    for (const { tags } of clients) {
      const request = echo({ source, destination });
      const link = { source: destination, destination: source, ttl: 64 };
      const reply = echo({ ...link, kind: 'reply', fromMac: unitMac, toMac: clientMac });
      const sent = wrap(request.subarray(14), tags);
      const macs = { fromMac: unitMac, toMac: clientMac };
      expectSent(path, sent, wrap(reply.subarray(14), { ...tags, ...macs }));
      const elsewhere = echo({ source, destination: scene.addresses.other });
      expectPass(path, wrap(elsewhere.subarray(14), tags));
    }
  });
}

test.run();
