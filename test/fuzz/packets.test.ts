/**
 * Mutated and truncated frames through the XDP program, for services of every kind. Whatever comes,
 * it is passed with every byte as it was, dropped and counted once by reason, or sent and counted;
 * what is sent is no longer than what came and the headers that were added, its lengths agree, and
 * its checksums are right if those of what came were.
 *
 * WEIR_SEED repeats a run, WEIR_FUZZ_RUNS makes it longer.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { checksumFaults } from '../bpf/checksums.js';
import { Datapath, serviceFlags, type Action } from '../bpf/datapath.js';
import {
  differences,
  echo,
  frame,
  guePort,
  onesSum,
  wrap,
  type FrameSpec,
} from '../bpf/packets.js';
import { combinations, Scene, type Combination } from '../bpf/scene.js';
import {
  errorKinds,
  extended,
  extension,
  fragment,
  fragmentHeader,
  icmp,
  quotation,
  whole,
} from '../bpf/shapes.js';
import { lacking, needs } from '../support/needs.js';
import { generator } from '../support/random.js';

const runs = Number(process.env['WEIR_FUZZ_RUNS'] ?? 8_000);
const seed = Number(process.env['WEIR_SEED'] ?? Date.now() % 2 ** 32);
type Pick = (below: number) => number;

const test = suite('mutated packets');
let path: Datapath;
test.before(() => {
  path = Datapath.open();
});
test.after(() => {
  // Runs even when every test is skipped and nothing was opened.
  if (lacking('bpf') === null) path.close();
});

/** An outer IPv6 header, one of UDP and two tags; or an IPv6 header before an error. */
const mostAdded = 40 + 8 + 8;

/** Frames that mean something to the services of the scene, with so many kinds of errors. */
function seedsOf(scene: Scene, kinds = 7): Buffer[] {
  const { combination, addresses } = scene;
  const six = combination.family === 'ipv6';
  const specs: FrameSpec[] = [
    scene.request(),
    scene.request({ flags: 'S', optionBytes: [2, 4, 5, 180, 4, 2, 1, 3, 3, 7, 1, 1] }),
    scene.request({ flags: 'S', optionBytes: [3, 3, 7, 2, 4, 35, 40, 0], sourcePort: 40_001 }),
    scene.request({ flags: 'FA', payload: Buffer.alloc(0) }),
    scene.request({ payload: Buffer.alloc(300, 0x47), trafficClass: 0xb9 }),
    scene.request({ vlan: [100], ttl: 2 }),
    scene.request({ vlan: [0xa0c8, 100], padding: 9 }),
    scene.request({ noChecksum: true, payload: Buffer.alloc(1) }),
    scene.request({ ttl: 1, payload: Buffer.alloc(130, 3) }),
    scene.request({ destination: addresses.other }),
    scene.answer(scene.home),
    scene.answer(scene.home, {
      flags: 'SA',
      optionBytes: [1, 2, 4, 35, 40, 4, 2, 0],
      payload: Buffer.alloc(90),
    }),
  ];
  const [request, answer] = [scene.request({ payload: Buffer.alloc(120, 8) }), scene.answer(scene.home, { payload: Buffer.alloc(120, 8) })]; // prettier-ignore
  const shapes = six
    ? [
        extended([extension('hopByHop', 16), extension('destination')]),
        extended([extension('routing', 24), fragmentHeader(0, false, 5), extension('destination')]),
      ]
    : [(spec: FrameSpec) => whole({ ...spec, ipOptions: 12 })];
  shapes.push(fragment(0, 64), fragment(64, null));
  const seen: FrameSpec = { ...answer, source: addresses.service, sourcePort: 80, destination: addresses.client, destinationPort: scene.clientPort }; // prettier-ignore
  const moved = scene.moved(request, scene.home);
  const errors = errorKinds[combination.family].slice(0, kinds).flatMap(({ error }) =>
    [8, 20, null].flatMap((bytes) => [
      icmp({ ...error, source: addresses.client, destination: addresses.service, body: quotation(bytes)(seen) }), // prettier-ignore
      icmp({ ...error, source: scene.home.address, destination: moved.source, body: quotation(bytes)(moved) }), // prettier-ignore
    ]),
  );
  return [
    ...specs.map(frame),
    ...[request, answer].flatMap((spec) => shapes.map((shape) => wrap(shape(spec)))),
    ...errors.map((packet) => wrap(packet)),
    echo({ source: addresses.client, destination: addresses.service }),
  ];
}

const values = [0, 1, 2, 4, 5, 6, 8, 17, 40, 44, 60, 0x3f, 0x40, 0x45, 0x60, 0x7f, 0x80, 0xf0, 0xff]; // prettier-ignore

function mutate(bytes: Buffer, others: readonly Buffer[], pick: Pick): Buffer {
  let result: Buffer = Buffer.from(bytes);
  for (let round = 0, rounds = 1 + pick(4); round < rounds; round++) {
    // Mostly where headers are.
    const at = pick(pick(3) === 0 ? result.length : Math.min(result.length, 90));
    switch (pick(9)) {
      case 0:
      case 1:
        result[at] = (result[at] ?? 0) ^ (1 << pick(8));
        break;
      case 2:
      case 3:
        result[at] = values[pick(values.length)] ?? 0;
        break;
      case 4:
        result[at] = pick(256);
        break;
      case 5:
        // A little more or less, as a wrong length is.
        result[at] = ((result[at] ?? 0) + 256 + pick(9) - 4) & 0xff;
        break;
      case 6:
        result = result.subarray(0, 14 + pick(result.length));
        break;
      case 7:
        result = Buffer.concat([result, Uint8Array.from({ length: pick(64) }, () => pick(256))]);
        break;
      default: {
        const other = others[pick(others.length)] ?? result;
        const from = pick(other.length);
        const part = other.subarray(from, from + pick(48));
        result = Buffer.concat([result.subarray(0, at), part, result.subarray(at + pick(48))]);
      }
    }
  }
  // The kernel runs no program on less than an Ethernet header.
  if (result.length < 14) result = Buffer.concat([result, Buffer.alloc(14)]);
  if (pick(2) === 0) mend(result);
  return result.subarray(0, 1800);
}

/** Makes an IPv4 header's checksum right, so that more than that is looked at. */
function mend(bytes: Buffer): void {
  const header = bytes.subarray(14, 14 + ((bytes[14] ?? 0) & 0xf) * 4);
  if (bytes.length < 34 || bytes.readUInt16BE(12) !== 0x0800 || header.length < 20) return;
  header.writeUInt16BE(0, 10);
  header.writeUInt16BE(~onesSum(header) & 0xffff, 10);
}

/** What is wrong with the checksums; null when the frame is too broken to tell. */
function faults(bytes: Uint8Array): string[] | null {
  try {
    return checksumFaults(bytes);
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

/** Whether the IP packet in a frame is as long as it says, or the frame longer. */
function lengthsAgree(bytes: Buffer): boolean {
  let at = 12;
  while (bytes.readUInt16BE(at) === 0x8100 || bytes.readUInt16BE(at) === 0x88a8) at += 4;
  const packet = bytes.subarray(at + 2);
  if (bytes.readUInt16BE(at) === 0x0800) return packet.readUInt16BE(2) <= packet.length;
  return packet.readUInt16BE(4) + 40 <= packet.length;
}

interface Counted {
  readonly passed: number;
  readonly dropped: number;
  readonly sent: number;
}

function counted(service: number): Counted {
  const totals = path.totals();
  const { packets, replyPackets } = path.serviceCounters(service);
  const dropped = Object.values(path.drops()).reduce((sum, count) => sum + count, 0);
  const { sent } = path.cookies(service);
  const all = packets + replyPackets + totals.echoReplies + totals.errorsSent + sent;
  return { passed: totals.passed, dropped, sent: all };
}

function examine(service: number, bytes: Buffer): Action {
  const before = counted(service);
  const { verdict, data } = path.run(bytes);
  const after = counted(service);
  const passed = after.passed - before.passed;
  const dropped = after.dropped - before.dropped;
  const sent = after.sent - before.sent;
  switch (verdict) {
    case 'pass':
      assert.is(differences(data, bytes), '', 'a packet that is passed stays as it came');
      assert.equal({ passed, dropped, sent }, { passed: 1, dropped: 0, sent: 0 }, 'counted');
      break;
    case 'drop':
      assert.equal({ passed, dropped, sent }, { passed: 0, dropped: 1, sent: 0 }, 'counted');
      break;
    case 'tx': {
      // An answer to a packet that is dropped counts as both.
      assert.ok(
        sent >= 1 && passed === 0 && dropped <= 1,
        `counted: ${sent}, ${passed}, ${dropped}`,
      );
      const grown = data.length - bytes.length;
      assert.ok(grown <= mostAdded, `${grown} bytes longer than what came`);
      assert.ok(lengthsAgree(Buffer.from(data)), 'lengths of what is sent');
      if (faults(bytes)?.length === 0) assert.equal(faults(data), [], 'checksums of what is sent');
      break;
    }
    default:
      assert.unreachable(`verdict ${verdict}`);
  }
  return verdict;
}

/** A scene whose service has what its forwarding allows, and a flow that has begun. */
function begin(combination: Combination, pick: Pick): Scene {
  const scene = new Scene(path, combination);
  path.settings({
    natAddresses: [scene.addresses.nat],
    eventsPerSecond: 10,
    errorsPerSecond: 50_000,
  });
  path.member({
    ...scene.home,
    vlan: [[], [7], [7, 8]][pick(3)] ?? [],
    mtu: [0, 1500][pick(2)] ?? 0,
  });
  const nat = combination.forwarding.endsWith('nat');
  const flags = combination.protocol === 'udp' ? serviceFlags.quic : serviceFlags.resetDown;
  const service = {
    ...scene.service,
    mss: pick(2) * 1200,
    guePort: combination.forwarding === 'tunnel' ? pick(2) * guePort : 0,
    flags,
  };
  path.service(service);
  const { verdict } = path.run(frame(scene.request({ flags: 'S' })));
  assert.is(verdict, 'tx', 'the flow begins');
  const cookies = serviceFlags.cookies | serviceFlags.cookiesAlways;
  if (nat && combination.protocol === 'tcp' && pick(2) === 0) {
    path.service({ ...service, flags: flags | cookies });
  }
  return scene;
}

for (const [index, combination] of combinations.entries()) {
  const count = Math.ceil(runs / combinations.length);
  needs.bpf(test)(`${combination.name}: ${count} mutations (WEIR_SEED=${seed})`, () => {
    const pick = generator(seed + index);
    const met = new Set<Action>();
    let scene = begin(combination, pick);
    let seeds = seedsOf(scene);
    for (let run = 0; run < count; run++) {
      if (run % 50 === 49) {
        scene = begin(combination, pick);
        seeds = seedsOf(scene);
      }
      const bytes = mutate(seeds[pick(seeds.length)] ?? Buffer.alloc(14), seeds, pick);
      try {
        met.add(examine(scene.service.id, bytes));
      } catch (error) {
        const what = error instanceof Error ? error.message : String(error);
        throw new Error(
          `mutation ${run}, WEIR_SEED=${seed}: ${what}; drops: ${JSON.stringify(path.drops())}; the frame:\n${bytes.toString('hex')}`,
          { cause: error },
        );
      }
    }
    if (count >= 200) assert.equal([...met].sort(), ['drop', 'pass', 'tx'], 'verdicts met');
  });

  needs.bpf(test)(`${combination.name}: every frame cut at every length`, () => {
    const scene = begin(combination, generator(1));
    for (const bytes of seedsOf(scene, 1)) {
      for (let length = 14; length < Math.min(bytes.length, 120); length++) {
        try {
          examine(scene.service.id, bytes.subarray(0, length));
        } catch (error) {
          const what = error instanceof Error ? error.message : String(error);
          throw new Error(`${length} bytes: ${what}; of the frame:\n${bytes.toString('hex')}`, { cause: error }); // prettier-ignore
        }
      }
    }
  });
}

test.run();
