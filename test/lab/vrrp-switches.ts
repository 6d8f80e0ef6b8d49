/**
 * A second switch on the stage of vrrp-stage.ts, unit A and a client of its own (10.9.0.8, fd09::8)
 * behind it, and a cable between the units; every way in which these fall apart and come together.
 *
 *     host 10.9.0.9 ── br0 ══ br1 ── client 10.9.0.8
 *                       │      │
 *                       B ──── A
 */
import { ip, sysctl, type VrrpStage } from './vrrp-stage.js';

/** How a network falls apart: lines for `ip -n` of the switches' namespace, and what undoes them. */
export interface Split {
  readonly name: string;
  readonly cut: readonly string[];
  readonly heal: readonly string[];
}

const JOIN = ['join0', 'join1'] as const;
const port = (name: string, ...words: string[]): string =>
  `link set dev ${name} type bridge_slave ${words.join(' ')}`;
/** Frames come in by it, and none leave. */
const mute = (name: string): string[] => [
  port(name, 'flood', 'off', 'mcast_flood', 'off', 'bcast_flood', 'off'),
  port(name, 'learning', 'off', 'fdb_flush'),
];
const unmute = (name: string): string[] => [
  port(name, 'flood', 'on', 'mcast_flood', 'on', 'bcast_flood', 'on', 'learning', 'on'),
];
const silently = (name: string): string => `link set ${name} nomaster`;
/** A port of a bridge has its settings anew when it comes back. */
const back = (name: string, bridge: string): string => `link set ${name} master ${bridge}`;

const joinCut = [silently(JOIN[0])];
const joinHealed = [back(JOIN[0], 'br0')];
const cableCut = [silently('cable-a')];
const cableHealed = [back('cable-a', 'cable')];

export const splits: readonly Split[] = [
  { name: 'the switches lose each other', cut: joinCut, heal: joinHealed },
  {
    name: 'the switches lose each other, and the cable is lost',
    cut: [...cableCut, ...joinCut],
    heal: [...joinHealed, ...cableHealed],
  },
  {
    name: 'the same, and the cable is back first',
    cut: [...joinCut, ...cableCut],
    heal: [...cableHealed, ...joinHealed],
  },
  {
    name: 'the link between the switches is down',
    cut: [`link set ${JOIN[0]} down`],
    heal: [`link set ${JOIN[0]} up`],
  },
  { name: "nothing comes to A's switch", cut: mute(JOIN[0]), heal: unmute(JOIN[0]) },
  { name: "nothing comes from A's switch", cut: mute(JOIN[1]), heal: unmute(JOIN[1]) },
  {
    name: "nothing comes from A's switch, and the cable is lost",
    cut: [...cableCut, ...mute(JOIN[1])],
    heal: [...unmute(JOIN[1]), ...cableHealed],
  },
  {
    name: 'multicast is lost between the switches',
    cut: JOIN.map((name) => port(name, 'mcast_flood', 'off')),
    heal: JOIN.map((name) => port(name, 'mcast_flood', 'on')),
  },
  { name: 'A hears nothing', cut: mute('port-a'), heal: unmute('port-a') },
  {
    name: 'A is cut off and cannot see it',
    cut: [silently('port-a')],
    heal: [back('port-a', 'br1')],
  },
  {
    name: 'A is cut off from everything',
    cut: [silently('port-a'), ...cableCut],
    heal: [back('port-a', 'br1'), ...cableHealed],
  },
  { name: 'the link of A is down', cut: ['link set port-a down'], heal: ['link set port-a up'] },
  {
    name: 'B is cut off from everything',
    cut: [silently('port-b'), ...cableCut],
    heal: [back('port-b', 'br0'), ...cableHealed],
  },
  { name: 'the cable loses everything', cut: cableCut, heal: cableHealed },
  { name: 'the cable is down', cut: ['link set cable-a down'], heal: ['link set cable-a up'] },
];

/**
 * Lines of `ip`, one after the other in one run. In real time: both units share the kernel's lock for
 * network settings with it, and would wait for one that has it and does not run.
 */
export function change(stage: VrrpStage, lines: readonly string[]): void {
  const text = lines.map((line) => `${line}\n`).join('');
  ip(`-n ${stage.namespace('lan')} -batch -`, text, 'chrt', '-f', '30');
}

/** Lays the second switch, the client behind it, and the cable: 10.9.9.1 and 10.9.9.2, pair0. */
export function laySwitches(stage: VrrpStage): void {
  const far = stage.host('far');
  change(stage, [
    'link add br1 type bridge mcast_snooping 0',
    'link set br1 up',
    `link add ${JOIN[0]} type veth peer name ${JOIN[1]}`,
    `link set ${JOIN[0]} master br0 up`,
    `link set ${JOIN[1]} master br1 up`,
    'link set port-a master br1',
    `link add port-far type veth peer name eth0 netns ${far}`,
    'link set port-far master br1 up',
    'link add cable type bridge mcast_snooping 0',
    'link set cable up',
    ...(['a', 'b'] as const).flatMap((unit) => [
      `link add cable-${unit} type veth peer name pair0 netns ${stage.namespace(unit)}`,
      `link set cable-${unit} master cable up`,
    ]),
  ]);
  // The host is at the first switch alone: its kernel would answer for it at the second one too.
  sysctl(stage.namespace('lan'), 'net.ipv4.conf.all.arp_ignore=1');
  ip(`-n ${far} address add 10.9.0.8/24 dev eth0`);
  ip(`-n ${far} address add fd09::8/64 dev eth0 nodad`);
  ip(`-n ${far} link set eth0 up`);
  for (const [unit, number] of [
    ['a', 1],
    ['b', 2],
  ] as const) {
    ip(`-n ${stage.namespace(unit)} address add 10.9.9.${number}/24 dev pair0`);
    ip(`-n ${stage.namespace(unit)} link set pair0 up`);
  }
}
