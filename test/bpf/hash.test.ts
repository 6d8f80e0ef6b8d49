/**
 * The daemon's hash and the program's are the same, and share flows out by weight.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hashFlow, slotOf, type FlowTuple } from '../../appliance/balance/flow-hash.js';
import { buildLookup } from '../../appliance/balance/maglev.js';
import { needs } from '../support/needs.js';
import { Datapath } from './datapath.js';
import { addressBytes, frame, mappedBytes } from './packets.js';

const test = suite('bpf hash');

/** Mulberry32: the same tuples every time. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}

needs.bpf(test)('hashFlow picks what the program picks, for 10,000 random tuples', () => {
  const slots = 4096;
  const path = Datapath.open();
  try {
    path.reset();
    const next = random(1);
    const table = Array.from({ length: slots }, (_, slot) => slot + 1);
    for (const row of table) {
      // The MAC address says which row it was.
      const hex = row.toString(16).padStart(4, '0');
      const mac = `02:00:00:00:${hex.slice(0, 2)}:${hex.slice(2)}`;
      path.member({ row, address: '10.0.0.1', mac, sourceMac: '02:00:00:00:00:02' });
    }
    const places = [
      { address: '10.1.2.3', port: 443, protocol: 'tcp' },
      { address: '203.0.113.250', port: 53, protocol: 'udp' },
      { address: 'fd00:1:2:3:4:5:6:7', port: 8443, protocol: 'tcp' },
      { address: '2001:db8::1', port: 65_535, protocol: 'udp' },
    ] as const;
    places.forEach((place, index) => {
      path.service({ id: index + 1, ...place, forwarding: 'dsr', table });
    });
    for (let round = 0; round < 10_000; round++) {
      if (round % 500 === 0) path.settings({ seed: next(), eventsPerSecond: 0 });
      const seed = new DataView(
        path.map('settings').lookup(new Uint8Array(4))?.buffer ?? new ArrayBuffer(16),
      ).getUint32(8, true);
      const place = places[round % places.length];
      if (place === undefined) throw new Error('no place');
      const bytes = Uint8Array.from(
        { length: addressBytes(place.address).length },
        () => next() & 0xff,
      );
      const source =
        bytes.length === 4
          ? bytes.join('.')
          : (Buffer.from(bytes).toString('hex').match(/.{4}/g) ?? []).join(':');
      const sourcePort = next() & 0xffff;
      const flow: FlowTuple = {
        source: mappedBytes(source),
        destination: mappedBytes(place.address),
        sourcePort,
        destinationPort: place.port,
        protocol: place.protocol === 'tcp' ? 6 : 17,
      };
      const expected = slotOf(hashFlow(flow, seed), slots) + 1;
      const result = path.run(
        frame({
          source,
          destination: place.address,
          protocol: place.protocol,
          sourcePort,
          destinationPort: place.port,
        }),
      );
      assert.is(result.verdict, 'tx');
      const seen = ((result.data[4] ?? 0) << 8) | (result.data[5] ?? 0);
      assert.is(seen, expected, `row for ${source}:${sourcePort} → ${place.address}, seed ${seed}`);
    }
  } finally {
    path.close();
  }
});

test('slotOf is exact where a product exceeds what a number holds', () => {
  const next = random(2);
  for (let round = 0; round < 100_000; round++) {
    const hash = next();
    const slots = 1 + (next() % (1 << 23));
    const exact = Number((BigInt(hash) * BigInt(slots)) >> 32n);
    assert.is(slotOf(hash, slots), exact, `hash ${hash}, slots ${slots}`);
  }
  assert.is(slotOf(0xffffffff, 65_536), 65_535);
  assert.is(slotOf(0, 65_536), 0);
});

test('flipping any bit of a tuple flips each bit of the hash about half the time', () => {
  const next = random(3);
  const rounds = 400;
  const bits = (16 + 16 + 4) * 8;
  for (let bit = 0; bit < bits; bit++) {
    const flips = new Uint32Array(32);
    for (let round = 0; round < rounds; round++) {
      const bytes = Uint8Array.from({ length: 36 }, () => next() & 0xff);
      const hash = (from: Uint8Array): number =>
        hashFlow(
          {
            source: from.subarray(0, 16),
            destination: from.subarray(16, 32),
            sourcePort: ((from[32] ?? 0) << 8) | (from[33] ?? 0),
            destinationPort: ((from[34] ?? 0) << 8) | (from[35] ?? 0),
            protocol: 6,
          },
          0x5eed,
        );
      const before = hash(bytes);
      const at = bit >> 3;
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7));
      const changed = before ^ hash(bytes);
      for (let one = 0; one < 32; one++) flips[one] = (flips[one] ?? 0) + ((changed >>> one) & 1);
    }
    // Six standard deviations of a fair coin tossed `rounds` times.
    const tolerance = 6 * Math.sqrt(rounds / 4);
    for (let one = 0; one < 32; one++) {
      const count = flips[one] ?? 0;
      assert.ok(
        Math.abs(count - rounds / 2) <= tolerance,
        `input bit ${bit} flipped output bit ${one} ${count} times of ${rounds}`,
      );
    }
  }
});

/** A million flows as clients make them: nearby addresses, ports in order. */
function* clients(kind: 'ipv4' | 'ipv6'): Generator<FlowTuple> {
  const destination = mappedBytes(kind === 'ipv4' ? '10.0.0.53' : 'fd00::53');
  const source = mappedBytes(kind === 'ipv4' ? '10.64.0.0' : '2001:db8::');
  for (let host = 0; host < 1000; host++) {
    source[14] = host >> 8;
    source[15] = host & 0xff;
    for (let port = 0; port < 1000; port++) {
      yield {
        source,
        destination,
        sourcePort: 32_768 + port * 7,
        destinationPort: 443,
        protocol: 6,
      };
    }
  }
}

for (const kind of ['ipv4', 'ipv6'] as const) {
  test(`a million ${kind} flows spread within 1 % of the weights`, () => {
    const members = [
      { key: '10.0.1.11:8080', weight: 3 },
      { key: '10.0.1.12:8080', weight: 2 },
      { key: '10.0.1.13:8080', weight: 1 },
      { key: '10.0.1.14:8080', weight: 4 },
    ];
    const slots = 65_536;
    const lookup = buildLookup(members, slots);
    const seen = new Array<number>(members.length).fill(0);
    let total = 0;
    for (const flow of clients(kind)) {
      const member = lookup[slotOf(hashFlow(flow, 0x5eed), slots)] ?? -1;
      seen[member] = (seen[member] ?? 0) + 1;
      total++;
    }
    assert.is(total, 1_000_000);
    const weights = members.reduce((sum, member) => sum + member.weight, 0);
    members.forEach((member, index) => {
      const share = (seen[index] ?? 0) / total;
      const wanted = member.weight / weights;
      assert.ok(
        Math.abs(share / wanted - 1) <= 0.01,
        `${member.key}: share ${share.toFixed(4)}, expected ${wanted.toFixed(4)} within 1 %`,
      );
    });
  });
}

test.run();
