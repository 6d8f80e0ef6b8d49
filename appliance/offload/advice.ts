/**
 * What an interface has and what its hardware profile wants, side by side, with the command that
 * brings the one to the other. Pure. Source: ethtool(8), ip-link(8).
 *
 * Invariant: a check that says `change` either names the command, or says in its reason why only
 * somebody else can do it.
 */
import type { FlowType } from '../../native/ffi/ethtool.js';
import type { HardwareCheck } from '../api/contract.js';
import type { Examination } from './hardware.js';
import type { Profile } from './profiles.js';

export interface Situation {
  readonly mtu: number;
  readonly cpus: number;
  /** Whether the fast path meets VLAN tags here. */
  readonly vlan: boolean;
}

type Found = Omit<HardwareCheck, 'subject'>;

export function adviseHardware(
  profile: Profile,
  seen: Examination,
  situation: Situation,
): HardwareCheck[] {
  const name = seen.interfaceName;
  return [
    ...named('mtu', mtu(profile, name, situation)),
    ...named('queues', queues(profile, seen, situation)),
    ...named('rings', rings(profile, seen)),
    ...named('rss', rss(profile, seen)),
    ...offloads(profile, seen, situation),
  ];
}

function named(subject: string, found: readonly Found[]): HardwareCheck[] {
  return found.map((one) => ({ subject, ...one }));
}

function ok(now: string, wanted: string, why: string): Found {
  return { state: 'ok', now, wanted, why, command: null };
}

function change(now: string, wanted: string, why: string, command: string | null): Found {
  return { state: 'change', now, wanted, why, command };
}

function unknown(wanted: string, why: string): Found {
  return { state: 'unknown', now: 'the driver does not say', wanted, why, command: null };
}

function mtu(profile: Profile, name: string, situation: Situation): Found[] {
  const most = profile.xdp['native-mtu'];
  if (most === null) return [];
  const now = String(situation.mtu);
  const wanted = `at most ${most}`;
  const why = 'A frame must fit into one buffer of the driver for native XDP.';
  if (situation.mtu <= most) return [ok(now, wanted, why)];
  return [change(now, wanted, why, `ip link set dev ${name} mtu ${most}`)];
}

function queues(profile: Profile, seen: Examination, { cpus }: Situation): Found[] {
  const rules = profile.queues;
  const { channels, interfaceName: name } = seen;
  if (rules.want === 'none') return [];
  if (channels === null) return [unknown('one per CPU', rules.advice)];
  const { combined, maxCombined, rx, maxRx, tx } = channels;
  const separate = maxCombined === 0 || (rx > 0 && combined === 0);
  const now = separate
    ? `${rx} receive and ${tx} transmit of ${maxRx}`
    : `${combined} combined of ${maxCombined}`;
  if (separate && !(rules['combined-only'] && maxCombined > 0)) {
    const wanted = Math.max(1, Math.min(cpus, Math.floor(maxRx * rules['max-share'])));
    if (maxRx === 0 || rx === wanted) return [ok(now, String(wanted), rules.advice)];
    return [change(now, `${wanted} receive`, rules.advice, `ethtool -L ${name} rx ${wanted}`)];
  }
  const most = Math.max(1, Math.floor(maxCombined * rules['max-share']));
  const wanted = Math.min(cpus, most);
  const found: Found[] = [];
  if (separate) {
    const command = `ethtool -L ${name} rx 0 tx 0 combined ${wanted}`;
    found.push(change(now, `${wanted} combined`, rules.advice, command));
  } else if (combined > most || combined < wanted) {
    const command = `ethtool -L ${name} combined ${wanted}`;
    const target = combined > most ? `at most ${most} combined` : `${wanted} combined`;
    found.push(change(now, target, rules.advice, command));
  } else found.push(ok(now, `${wanted} combined`, rules.advice));
  if (rules.required && most < cpus) {
    const why = `The card has fewer queues than the machine has CPUs, and a CPU without one loses what it redirects: keep the card's interrupts on the first ${most} CPUs (/proc/irq/N/smp_affinity).`;
    found.push(change(`${most} queues, ${cpus} CPUs`, `${cpus} queues`, why, null));
  }
  if (rules['spare-per-cpu'] && maxCombined - combined < cpus) {
    const pairs = 2 * cpus;
    const why = `Without a spare queue for each CPU XDP sends under a lock. Only the host can give more: ${pairs} queue pairs (queues=${pairs} of QEMU's netdev, with vectors=${2 * pairs + 2} of its device).`;
    found.push(change(`${maxCombined - combined} spare`, `${cpus} spare`, why, null));
  }
  return found;
}

function rings(profile: Profile, seen: Examination): Found[] {
  const { advice, receive } = profile.rings;
  const { interfaceName: name } = seen;
  if (receive === null) return [];
  if (seen.rings === null) return [unknown(`${receive} for receiving`, advice)];
  const { rx, maxRx } = seen.rings;
  const wanted = Math.min(receive, maxRx);
  const now = `${rx} for receiving of ${maxRx}`;
  if (rx >= wanted) return [ok(now, `${wanted} for receiving`, advice)];
  return [change(now, `${wanted} for receiving`, advice, `ethtool -G ${name} rx ${wanted}`)];
}

function rss(profile: Profile, seen: Examination): Found[] {
  const { advice, 'hash-ports': wants } = profile.rss;
  const { interfaceName: name, channels } = seen;
  const receiving = channels === null ? 0 : channels.combined + channels.rx;
  // With one queue there is nothing to spread over.
  if (!wants || receiving < 2) return [];
  const entries = Object.entries(seen.hashes) as [FlowType, Examination['hashes'][FlowType]][];
  // Neither addresses nor ports: the driver has no hash that it could set.
  const known = entries.filter(([, hash]) => hash?.addresses === true || hash?.ports === true);
  if (known.length === 0) return [unknown('addresses and ports', advice)];
  const short = known.filter(([, hash]) => hash?.ports !== true).map(([type]) => type);
  const words = known.map(
    ([type, hash]) => `${type} by ${hash?.ports === true ? 'ports' : 'addresses'}`,
  );
  if (short.length === 0) return [ok('addresses and ports', 'addresses and ports', advice)];
  const command = short.map((type) => `ethtool -N ${name} rx-flow-hash ${type} sdfn`).join(' && ');
  return [change(words.join(', '), 'addresses and ports', advice, command)];
}

/** Names that ethtool -k prints where the kernel has another one. */
const KERNEL_NAMES: Readonly<Record<string, string>> = {
  'large-receive-offload': 'rx-lro',
  'generic-receive-offload': 'rx-gro',
  'rx-vlan-offload': 'rx-vlan-hw-parse',
  'tx-vlan-offload': 'tx-vlan-hw-insert',
  'rx-checksumming': 'rx-checksum',
};

function offloads(profile: Profile, seen: Examination, situation: Situation): HardwareCheck[] {
  const { interfaceName: name } = seen;
  const checks: HardwareCheck[] = [];
  for (const { feature, side, when, why } of profile.offloads) {
    if (when === 'vlan' && !situation.vlan) continue;
    if (side === 'peer') {
      const subject = `peer's ${feature}`;
      const command = `ethtool -K PEER ${short(feature)} off`;
      checks.push({
        subject,
        state: 'unknown',
        now: 'not seen from here',
        wanted: 'off',
        why,
        command,
      });
      continue;
    }
    const kernelName = KERNEL_NAMES[feature] ?? feature;
    const known = seen.features?.get(kernelName);
    // A kernel or driver that does not know it cannot have it on.
    if (known === undefined || !known.on) {
      checks.push({ subject: feature, ...ok('off', 'off', why) });
    } else if (known.changeable) {
      const command = `ethtool -K ${name} ${kernelName} off`;
      checks.push({ subject: feature, ...change('on', 'off', why, command) });
    } else {
      const reason = `${why} The driver does not let it be changed here.`;
      checks.push({ subject: feature, ...change('on, fixed', 'off', reason, null) });
    }
  }
  return checks;
}

/** What ethtool -K calls groups of features that have no name in the kernel. */
const GROUPS: Readonly<Record<string, string>> = {
  'tx-checksumming': 'tx',
  'tcp-segmentation-offload': 'tso',
  'tx-vlan-offload': 'txvlan',
};

function short(feature: string): string {
  return GROUPS[feature] ?? KERNEL_NAMES[feature] ?? feature;
}
