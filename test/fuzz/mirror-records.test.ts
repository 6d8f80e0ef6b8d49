/**
 * Records of flows as another unit might send them, mutated. Whatever comes, each record has one
 * outcome, and what stands in the flow table afterwards is what the program could have put there:
 * rows, generations and services of this unit, no count of active flows, at most one pair of entries
 * for each record; and flows of this unit's own are as they were.
 *
 * WEIR_SEED repeats a run, WEIR_FUZZ_RUNS makes it longer.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MIRROR_KIND, flow as flowLayout, flowKey } from '../../appliance/l4/layouts.js';
import { AT, RECORD_BYTES } from '../../appliance/l4/mirror-record.js';
import type { Forwarding } from '../bpf/datapath.js';
import { request, TwoTiers, type Setting } from '../bpf/two-tiers.js';
import { lacking, needs } from '../support/needs.js';
import { generator } from '../support/random.js';

const runs = Number(process.env['WEIR_FUZZ_RUNS'] ?? 1_600);
const seed = Number(process.env['WEIR_SEED'] ?? Date.now() % 2 ** 32);

const test = suite('mutated records of flows');
let two: TwoTiers;
test.before(() => {
  if (lacking('bpf') === null) two = new TwoTiers();
});
test.after(async () => {
  if (lacking('bpf') === null) await two.close();
});

const forwardings: readonly Forwarding[] = ['dsr', 'tunnel', 'nat', 'full-nat'];
const settings = (['ipv4', 'ipv6'] as const).flatMap((family) =>
  (['tcp', 'udp'] as const).flatMap((protocol) =>
    forwardings.map((forwarding): Setting => {
      const persistence = { seconds: 600, prefix: family === 'ipv4' ? 24 : 56 };
      return {
        ...{ family, protocol, forwarding, algorithm: 'round-robin', weights: [1, 1, 1] },
        ...(forwarding === 'nat' ? { persistence } : {}),
      };
    }),
  ),
);

type Pick = (below: number) => number;

function mutated(record: Buffer, pick: Pick): Buffer {
  const bytes = Buffer.from(record);
  for (let change = pick(4); change >= 0; change--) {
    const at = pick(bytes.length);
    const kind = pick(3);
    bytes[at] = kind === 0 ? pick(256) : kind === 1 ? (bytes[at] ?? 0) ^ (1 << pick(8)) : 0xff;
  }
  return bytes;
}

/** What entries say that no packet may change by itself. */
function judge(setting: Setting, own: ReadonlySet<string>): void {
  const map = two.b.tier.datapath.map('flows');
  const members = two.b.tier.datapath.map('members');
  const { count, keys, values } = map.readAll();
  for (let index = 0; index < count; index++) {
    const key = flowKey.decode(keys, index * map.keySize);
    const entry = flowLayout.decode(values, index * map.valueSize);
    const name = `${key.source} ${key.source_port}`;
    if (own.has(name)) continue;
    const row = members.lookup(new Uint8Array(Uint32Array.of(entry.member).buffer));
    assert.ok(row !== null && entry.member > 0, `row ${entry.member}`);
    assert.ok(entry.direction <= 1 && entry.closing <= 3, 'direction and closing');
    assert.is((entry.flags & 0xea) === 0, true, `flags ${entry.flags}`);
    if (entry.direction === 0) {
      assert.is(key.destination, setting.family === 'ipv4' ? '10.0.0.53' : 'fd00:0:0:a::53');
      assert.ok(entry.mirror > 0x80, 'is marked as the other unit’s');
    }
  }
}

needs.bpf(test)(`${runs} batches of records, seed ${seed}`, async () => {
  const pick = generator(seed);
  for (const setting of settings) {
    two.begin(setting);
    for (let client = 0; client < 8; client++) {
      two.a.run(request(setting, client, { flags: 'S' }));
      two.a.run(request(setting, client));
    }
    two.a.patch(({ flags }) => ({ flags: flags | 1, mirror: 0x7f }));
    two.a.tier.mirror.drain(1000);
    two.b.run(request(setting, 50, { flags: 'S' }));
    const own = request(setting, 50);
    const ours = new Set([`${own.source} ${own.sourcePort}`]);
    const active = two.b.active();
    const told = await seeds();
    for (let run = 0; run < runs / settings.length; run++) {
      const records = Buffer.concat(
        Array.from({ length: 1 + pick(20) }, () => {
          const record = told[pick(told.length)] ?? Buffer.alloc(RECORD_BYTES);
          return pick(4) === 0 ? record : mutated(record, pick);
        }),
      );
      const before = two.b.entries;
      const outcomes = two.b.tier.mirror.take(records);
      const judged = Object.values(outcomes).reduce((sum, count) => sum + count, 0);
      assert.is(judged, records.length / RECORD_BYTES, JSON.stringify(outcomes));
      const stored = outcomes['stored'] ?? 0;
      assert.ok(two.b.entries <= before + 2 * stored, 'entries for what was stored alone');
    }
    assert.is(two.b.active(), active, 'nothing of it is counted');
    judge(setting, ours);
    for (let client = 0; client < 8; client++) two.b.run(request(setting, client));
  }
});

/** Records of flows that A has, one of an end and some of sources. */
async function seeds(): Promise<Buffer[]> {
  const { mirror } = two.a.tier;
  mirror.tell(2);
  two.a.patch(() => ({ mirror: 1, seen_ns: process.hrtime.bigint() }));
  await mirror.walk({ most: 1000, reset: false });
  const told = mirror.drain(1000);
  const found: Buffer[] = [];
  for (let at = 0; at < told.length; at += RECORD_BYTES) {
    found.push(told.subarray(at, at + RECORD_BYTES));
  }
  const [first] = found;
  if (first === undefined) throw new Error('expected records, seen none');
  const gone = Buffer.from(first);
  gone[AT.kind] = MIRROR_KIND.gone;
  return [...found, gone];
}

test.run();
