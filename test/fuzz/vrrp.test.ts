/**
 * Mutated VRRP messages: the reader never throws, and what it accepts is what the writer writes.
 *
 * The seeds in test/fuzz/vrrp-seeds/ are one message of each kind and those that once failed.
 * WEIR_SEED repeats a run, WEIR_FUZZ_RUNS makes it longer.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { projectRoot } from '../../appliance/paths.js';
import {
  decodeAdvertisement,
  encodeAdvertisement,
  vrrpGroups,
  type Ends,
} from '../../appliance/ha/vrrp/packet.js';
import { rejections } from '../../appliance/ha/vrrp/rejections.js';
import { VrrpEngine } from '../../appliance/ha/vrrp/engine.js';
import { usualAnnouncements } from '../../appliance/ha/vrrp/settings.js';
import { groupOf, linkOf, routerOf } from '../support/vrrp-network.js';
import { onesSum } from '../bpf/packets.js';
import { generator } from '../support/random.js';

const runs = Number(process.env['WEIR_FUZZ_RUNS'] ?? 60_000);
const seed = Number(process.env['WEIR_SEED'] ?? Date.now() % 2 ** 32);
const folder = join(projectRoot, 'test/fuzz/vrrp-seeds');
const seeds = readdirSync(folder).map((name) => ({
  name,
  bytes: readFileSync(join(folder, name)),
}));

const test = suite('fuzz VRRP');

const ipv4: Ends = { source: Uint8Array.of(10, 0, 0, 1), destination: vrrpGroups[4] };
const ipv6: Ends = {
  source: Buffer.from('fe800000000000000000000000000001', 'hex'),
  destination: vrrpGroups[6],
};

/** What must be ignored, as the writer leaves it, and without the sum. */
function essence(message: Buffer): string {
  const copy = Buffer.from(message);
  copy.writeUInt16BE(0, 6);
  const version = copy.readUInt8(0) >> 4;
  if (version === 3) copy.writeUInt8(copy.readUInt8(4) & 0x0f, 4);
  else if (copy.readUInt8(4) === 0) copy.fill(0, copy.length - 8);
  return copy.toString('hex');
}

/** Whether it was accepted. */
function check(message: Buffer, ends: Ends, why: string): boolean {
  const read = decodeAdvertisement(message, ends);
  if (typeof read === 'string') {
    assert.ok(Object.hasOwn(rejections, read), `${why}: refused for "${read}"`);
    return false;
  }
  assert.is(essence(encodeAdvertisement(read, ends)), essence(message), why);
  return true;
}

/** An engine with the routers that the seeds are for. It says nothing to anybody. */
function listening(): VrrpEngine {
  const engine = new VrrpEngine(
    { transmit: () => undefined, changed: () => undefined, announce: () => undefined },
    usualAnnouncements,
  );
  const ipv6Router = routerOf({ name: 'six', vrid: 7, family: 6, addresses: [ipv6.source] });
  engine.configure([groupOf(), groupOf({ name: 'six', priority: 10, routers: [ipv6Router] })], 0);
  engine.link('eth0', linkOf(8), 0);
  return engine;
}

test('every seed is a message in its family', () => {
  assert.ok(seeds.length >= 5, `${seeds.length} seeds in ${folder}`);
  for (const { name, bytes } of seeds) {
    assert.ok(check(bytes, name.includes('ipv6') ? ipv6 : ipv4, name), `${name} was refused`);
  }
});

test(`mutated messages (WEIR_SEED=${seed})`, () => {
  const random = generator(seed);
  let accepted = 0;
  const engine = listening();
  for (let run = 0; run < runs; run += 1) {
    let message: Buffer = Buffer.from(seeds[random(seeds.length)]?.bytes ?? []);
    for (let change = random(4); change > 0; change -= 1) {
      const at = random(message.length + 1);
      switch (random(4)) {
        case 0:
          if (at < message.length) message[at] = random(256);
          break;
        case 1:
          message = message.subarray(0, at);
          break;
        case 2:
          message = Buffer.concat([
            message.subarray(0, at),
            Buffer.alloc(random(20), random(256)),
            message.subarray(at),
          ]);
          break;
        default:
          if (message.length >= 4) message.writeUInt8(random(8), 3);
      }
    }
    // Else hardly any change would get past the sum.
    if (message.length >= 8 && random(4) > 0) {
      message.writeUInt16BE(0, 6);
      message.writeUInt16BE(~onesSum(message) & 0xffff, 6);
    }
    const why = `run ${run}, WEIR_SEED=${seed}: ${message.toString('hex').slice(0, 600)}`;
    for (const ends of [ipv4, ipv6]) {
      if (check(message, ends, why)) accepted += 1;
      const family = ends === ipv4 ? 4 : 6;
      const hopLimit = random(20) === 0 ? random(256) : 255;
      engine.turn(run, [{ interface: 'eth0', family, ...ends, hopLimit, message }]);
      assert.ok(engine.deadline > run, `${why}: nothing is left to be done at once`);
    }
  }
  const counts = [engine.rejected(), ...engine.status().map(({ rejected }) => rejected)];
  const heard = engine.status().reduce((sum, { received }) => sum + received, 0);
  const refused = counts.flatMap((all) => Object.values(all)).reduce((sum, n) => sum + n, 0);
  assert.is(heard + refused, 2 * runs, 'every message counts once');
  assert.ok(heard > 0, 'some were believed');
  assert.ok(accepted > runs / 100, `only ${accepted} of ${runs} mutated messages were accepted`);
});

test.run();
