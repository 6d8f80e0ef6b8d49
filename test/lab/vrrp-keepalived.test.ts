/**
 * Weir and keepalived as each other's peer, in every version and family: who is master, what both
 * send, field by field, and who takes over when one of them is gone.
 *
 * keepalived 2.2.7 sums version 3 over IPv4 with a pseudo-header and accepts nothing else.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { RouterText } from '../../appliance/ha/vrrp/speaker/messages.js';
import { needs } from '../support/needs.js';
import { groupText, macs, sysctl, VrrpStage } from './vrrp-stage.js';
import type { SeenVrrp } from './vrrp-frames.js';

const test = suite('VRRP and keepalived');
const lab = needs.keepalived(test);

const ENTERS_MASTER = 'Entering MASTER STATE';
const ENTERS_BACKUP = 'Entering BACKUP STATE';

interface Case {
  readonly name: string;
  readonly router: Partial<RouterText>;
  /** What of keepalived's configuration is not the same for all. */
  readonly lines: string;
  /** An address that the host asks. */
  readonly address: string;
  /** All of them, in hexadecimal. */
  readonly bytes: readonly string[];
  readonly sum: SeenVrrp['sum'];
}

const cases: readonly Case[] = [
  {
    name: 'version 3, IPv4',
    router: { checksum: 'pseudo-header', addresses: ['10.9.0.80', '10.9.0.81'] },
    lines: 'version 3\n advert_int 0.1\n virtual_ipaddress {\n 10.9.0.80/32\n 10.9.0.81/32\n }',
    address: '10.9.0.81',
    bytes: ['0a090050', '0a090051'],
    sum: 'pseudo-header',
  },
  {
    name: 'version 3, IPv6',
    router: { family: 6, addresses: ['fd09::80', 'fe80::80'] },
    lines: 'version 3\n advert_int 0.1\n virtual_ipaddress {\n fe80::80/128\n fd09::80/128\n }',
    address: 'fd09::80',
    bytes: ['fe800000000000000000000000000080', 'fd090000000000000000000000000080'],
    sum: 'pseudo-header',
  },
  {
    name: 'version 2',
    router: { version: 2, interval: 1000 },
    lines: 'version 2\n advert_int 1\n virtual_ipaddress {\n 10.9.0.80/32\n }',
    address: '10.9.0.80',
    bytes: ['0a090050'],
    sum: 'bare',
  },
  {
    name: 'version 2 with a password',
    router: { version: 2, interval: 1000, password: 'secret' },
    lines:
      'version 2\n advert_int 1\n authentication {\n auth_type PASS\n auth_pass secret\n }\n virtual_ipaddress {\n 10.9.0.80/32\n }',
    address: '10.9.0.80',
    bytes: ['0a090050'],
    sum: 'bare',
  },
];

function configuration(lines: string, priority: number): string {
  return `vrrp_instance web {\n state BACKUP\n interface eth0\n virtual_router_id 51\n priority ${priority}\n ${lines}\n}\n`;
}

for (const { name, router, lines, address, bytes, sum } of cases) {
  const [first = ''] = bytes;

  lab(`${name}: Weir is master, keepalived follows; both send the same`, () =>
    VrrpStage.run(async (stage) => {
      const weir = stage.weir('a');
      await weir.configure([groupText(router, { priority: 150 })]);
      await weir.becomes('master');
      const keepalived = stage.keepalived('b', configuration(lines, 100));
      await keepalived.says(ENTERS_BACKUP);
      const ours = await stage.advertisement('a');
      for (const one of bytes) await stage.claim('a', one);
      assert.is(stage.reached(address), macs.a);
      // Three more of ours came, and keepalived did not take over.
      for (let count = 0; count < 4; count += 1) {
        await stage.advertisement('a', stage.frames.length);
      }
      assert.not.match(keepalived.output, ENTERS_MASTER);
      assert.not(stage.addresses('b').includes(address));

      let seen = stage.frames.length;
      await weir.signal('SIGKILL');
      await keepalived.says(ENTERS_MASTER);
      const theirs = await stage.advertisement('b', seen);
      assert.equal(ours.fields, theirs.fields);
      assert.equal([ours.sum, theirs.sum], [sum, sum]);
      assert.is(ours.priority, 150);
      const [claimed, theirClaim] = [
        await stage.claim('a', first),
        await stage.claim('b', first, seen),
      ];
      assert.equal(claimed.fields, theirClaim.fields);
      for (const one of bytes) await stage.claim('b', one, seen);
      assert.is(stage.reached(address), macs.b);

      // The better one comes back: keepalived gives up, and hosts are told.
      seen = stage.frames.length;
      const told = keepalived.output.length;
      const next = stage.weir('a');
      await next.configure([groupText(router, { priority: 150 })]);
      await next.becomes('master');
      await keepalived.says(ENTERS_BACKUP, told);
      for (const one of bytes) await stage.claim('a', one, seen);
      assert.is(stage.reached(address), macs.a);
      const said = keepalived.output.length;
      assert.is(await next.stop(), 'ended with status 0');
      await keepalived.says(ENTERS_MASTER, said);
    }),
  );

  // The same as without, besides what the test below looks at.
  if (router.password !== undefined) continue;

  lab(`${name}: keepalived is master, Weir follows, and takes over when its link is gone`, () =>
    VrrpStage.run(async (stage) => {
      const keepalived = stage.keepalived('b', configuration(lines, 150));
      await keepalived.says(ENTERS_MASTER);
      const weir = stage.weir('a');
      await weir.configure([groupText(router, { priority: 100 })]);
      await weir.becomes('backup');
      for (let count = 0; count < 5; count += 1) {
        await stage.advertisement('b', stage.frames.length);
      }
      const [status] = (await weir.status()).routers;
      assert.is(status?.role, 'backup');
      assert.ok((status?.received ?? 0) >= 4, `${status?.received} were received`);
      assert.equal(status?.rejected, {});
      assert.is(stage.reached(address), macs.b);

      let [seen, told] = [stage.frames.length, weir.messages.length];
      stage.port('b', 'down');
      await weir.becomes('master', told);
      for (const one of bytes) await stage.claim('a', one, seen);
      assert.is(stage.reached(address), macs.a);

      [seen, told] = [stage.frames.length, weir.messages.length];
      stage.port('b', 'up');
      await weir.becomes('backup', told);
      for (const one of bytes) await stage.claim('b', one, seen);
      assert.is(stage.reached(address), macs.b);
      assert.not(stage.addresses('a').includes(address));

      [seen, told] = [stage.frames.length, weir.messages.length];
      await keepalived.end();
      await weir.becomes('master', told);
      for (const one of bytes) await stage.claim('a', one, seen);
      assert.is(stage.reached(address), macs.a);
    }),
  );
}

for (const { name, router, own, peer, address, bytes } of [
  {
    ...{ name: 'IPv4', router: {}, own: '10.9.0.1', peer: '10.9.0.2', address: '10.9.0.80/32' },
    bytes: ['0a090001', '0a090002'],
  },
  {
    name: 'IPv6',
    router: { family: 6, addresses: ['fd09::80'] },
    ...{ own: 'fd09::1', peer: 'fd09::2', address: 'fd09::80/128' },
    bytes: ['fd090000000000000000000000000001', 'fd090000000000000000000000000002'],
  },
] as const) {
  lab(`unicast, version 3, ${name}: each hears the other`, () =>
    VrrpStage.run(async (stage) => {
      const lines = `version 3\n advert_int 0.1\n unicast_src_ip ${peer}\n unicast_peer {\n ${own}\n }\n virtual_ipaddress {\n ${address}\n }`;
      const settings = { ...router, checksum: 'pseudo-header', peers: [peer] } as const;
      const keepalived = stage.keepalived('b', configuration(lines, 100));
      await keepalived.says(ENTERS_MASTER);
      let told = keepalived.output.length;
      const weir = stage.weir('a');
      await weir.configure([groupText(settings, { priority: 150 })]);
      await weir.becomes('master');
      await keepalived.says(ENTERS_BACKUP, told);
      const [ours, theirs] = [await stage.advertisement('a'), await stage.advertisement('b')];
      // For IPv6 it leaves the hop limit of unicast to the kernel.
      const addressed = { destination: '', group: '', ...(name === 'IPv6' ? { hops: 255 } : {}) };
      assert.equal({ ...ours.fields, ...addressed }, { ...theirs.fields, ...addressed });
      assert.equal([theirs.fields['group'], ours.fields['group']], bytes);
      told = keepalived.output.length;
      await weir.stop();
      await keepalived.says(ENTERS_MASTER, told);
    }),
  );
}

needs['keepalived-macvlan'](test)(
  'both at the MAC address of the virtual router: it stays, whoever has it',
  () =>
    VrrpStage.run(async (stage) => {
      const MAC = '00005e000133';
      const lines =
        'version 3\n advert_int 0.1\n use_vmac\n virtual_ipaddress {\n 10.9.0.80/32\n }';
      const router = { checksum: 'pseudo-header', virtualMac: true } as const;
      // What keepalived leaves to the administrator: else its kernel asks for the host as this address,
      // from the MAC address of eth0.
      sysctl(stage.namespace('b'), 'net.ipv4.conf.all.arp_announce=2');
      const keepalived = stage.keepalived('b', configuration(lines, 100));
      await keepalived.says(ENTERS_MASTER);
      assert.is(stage.reached('10.9.0.80', 5), MAC, 'keepalived');
      let told = keepalived.output.length;
      const weir = stage.weir('a');
      await weir.configure([groupText(router, { priority: 150 })]);
      await weir.becomes('master');
      await keepalived.says(ENTERS_BACKUP, told);
      assert.is(stage.reached('10.9.0.80', 5), MAC, 'Weir');
      told = keepalived.output.length;
      await weir.signal('SIGKILL');
      await keepalived.says(ENTERS_MASTER, told);
      assert.is(stage.reached('10.9.0.80', 5), MAC, 'keepalived again');
    }),
);

const STRANGE = `version 2
 advert_int 1
 authentication {
 auth_type PASS
 auth_pass other
 }
 virtual_ipaddress {
 10.9.0.81/32
 }`;
const version2 = { version: 2, interval: 1000 } as const;

for (const [reason, router] of [
  ['authentication', { password: 'secret', otherAddresses: 'accept' }],
  ['addresses', { password: 'other', otherAddresses: 'refuse' }],
] as const) {
  lab(`refused for ${reason}, keepalived is no master for Weir`, () =>
    VrrpStage.run(async (stage) => {
      const keepalived = stage.keepalived('b', configuration(STRANGE, 150));
      await keepalived.says(ENTERS_MASTER);
      const weir = stage.weir('a');
      await weir.configure([groupText({ ...version2, ...router })]);
      await weir.becomes('master');
      const [status] = (await weir.status()).routers;
      assert.ok((status?.rejected[reason] ?? 0) >= 3, JSON.stringify(status));
      assert.is(status?.received, 0);
    }),
  );
}

lab('other addresses are no hindrance where they are accepted', () =>
  VrrpStage.run(async (stage) => {
    const keepalived = stage.keepalived('b', configuration(STRANGE, 150));
    await keepalived.says(ENTERS_MASTER);
    const weir = stage.weir('a');
    const router = { ...version2, password: 'other', otherAddresses: 'accept' } as const;
    await weir.configure([groupText(router)]);
    for (let count = 0; count < 6; count += 1) {
      await stage.advertisement('b', stage.frames.length);
    }
    const [status] = (await weir.status()).routers;
    assert.is(status?.role, 'backup');
    assert.ok((status?.otherAddresses ?? 0) >= 5, JSON.stringify(status));
  }),
);

test.run();
