/** Addresses that move with the MAC address of their virtual router (RFC 9568 §7.3). */
import { spawnSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../support/needs.js';
import type { SeenClaim, SeenVrrp } from './vrrp-frames.js';
import { groupText, macs, VrrpStage, type UnitName } from './vrrp-stage.js';

const test = suite('VRRP with virtual MAC addresses');
const lab = needs.macvlan(test);
const cases = [
  {
    name: 'IPv4',
    router: { virtualMac: true },
    address: '10.9.0.80',
    bytes: '0a090050',
    mac: '00005e000133',
  },
  {
    name: 'IPv6',
    router: { virtualMac: true, family: 6, addresses: ['fd09::80'] },
    address: 'fd09::80',
    bytes: 'fd090000000000000000000000000080',
    mac: '00005e000233',
  },
] as const;

/** Devices with virtual MAC addresses of a unit, and whether each is up. */
function devices(stage: VrrpStage, unit: UnitName): boolean[] {
  const words = ['-j', '-n', stage.namespace(unit), 'link', 'show', 'type', 'macvlan'];
  const { stdout } = spawnSync('ip', words, { encoding: 'utf8' });
  const all = JSON.parse(stdout || '[]') as { ifname?: string; flags: string[] }[];
  return all.filter(({ ifname }) => ifname !== undefined).map(({ flags }) => flags.includes('UP'));
}

function arpSettings(stage: VrrpStage, unit: UnitName): string[] {
  const path = '/proc/sys/net/ipv4/conf/eth0';
  const words = [`--net=/run/netns/${stage.namespace(unit)}`, 'cat'];
  words.push(`${path}/arp_ignore`, `${path}/arp_announce`);
  return spawnSync('nsenter', words, { encoding: 'utf8' }).stdout.trim().split('\n');
}

for (const { name, router, address, bytes, mac } of cases) {
  lab(`${name}: the MAC address moves with the address, by every kind of failover`, () =>
    VrrpStage.run(async (stage) => {
      const from =
        <K extends 'vrrp' | 'claim'>(kind: K) =>
        (frame: SeenVrrp | SeenClaim): frame is Extract<SeenVrrp | SeenClaim, { kind: K }> =>
          frame.kind === kind && frame.from === mac;
      const [a, b] = [stage.weir('a'), stage.weir('b')];
      await a.configure([groupText(router, { priority: 200 })]);
      await a.becomes('master');
      await b.configure([groupText(router)]);
      await b.becomes('backup');
      const seen = await stage.frame('an advertisement from it', from('vrrp'));
      assert.is(seen.fields['hops'], 255);
      assert.is.not(seen.sum, 'none');
      assert.is((await stage.frame('a claim from it', from('claim'))).address, bytes);
      assert.is(stage.reached(address, 5), mac);
      assert.equal([devices(stage, 'a'), devices(stage, 'b')], [[true], [false]]);

      const skip = stage.frames.length;
      let told = b.messages.length;
      await a.signal('SIGKILL');
      await b.becomes('master', told);
      await stage.frame('a claim of the other unit', from('claim'), skip);
      assert.is(stage.reached(address, 5), mac);
      assert.equal(devices(stage, 'b'), [true]);

      // The next speaker uses what the killed one left, and takes it away in the end.
      const next = stage.weir('a');
      told = b.messages.length;
      await next.configure([groupText(router, { priority: 200 })]);
      await next.becomes('master');
      await b.becomes('backup', told);
      assert.is(stage.reached(address, 5), mac);

      told = b.messages.length;
      assert.is(await next.stop(), 'ended with status 0');
      await b.becomes('master', told);
      assert.is(stage.reached(address, 5), mac);
      assert.equal(devices(stage, 'a'), []);
      const stray = stage.frames.find(
        (frame) =>
          (frame.kind === 'vrrp' || frame.address === bytes) &&
          Object.values(macs).includes(frame.from),
      );
      assert.is(stray, undefined, 'nothing came from the MAC addresses of the interfaces');
    }),
  );
}

lab('the settings of an interface come back when its last virtual MAC address goes', () =>
  VrrpStage.run(async (stage) => {
    const a = stage.weir('a');
    const before = arpSettings(stage, 'a');
    await a.configure([groupText({ virtualMac: true })]);
    await a.becomes('master');
    assert.equal(arpSettings(stage, 'a'), ['1', '2']);
    await a.configure([groupText({})]);
    assert.is(
      stage.reached('10.9.0.80', 5),
      macs.a,
      'the address stays, at the MAC of the interface',
    );
    await a.stop();
    assert.equal(arpSettings(stage, 'a'), before);
    assert.equal(devices(stage, 'a'), []);
  }),
);

test.run();
