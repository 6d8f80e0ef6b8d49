/**
 * Joins the flow mirror (ha/flows) to the fast path, the network and the pair.
 *
 * Invariant: which half of full nat's ports a unit takes follows from who invited whom, so the two of a
 * pair never take the same port of one address.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import { FlowMirror, type FlowMirrorNews, type Remembered } from '../ha/flows/flow-mirror.js';
import type { Pair } from '../ha/pair/pair.js';
import type { OwnWay } from '../l4/mirror-ways.js';
import type { L4Tier } from '../l4/tier.js';
import { carrierOf } from '../net/carriers.js';
import { networkText } from '../net/prefix.js';
import type { InterfaceAddress, Link } from '../net/wire.js';
import type { NewEvent } from '../telemetry/event-log.js';

export interface FlowMirroringOptions {
  readonly tier: L4Tier;
  readonly network: {
    links(): readonly Link[];
    addresses(): readonly InterfaceAddress[];
  };
  readonly pair: Pair;
  /** Keeps what stays known of the other unit; lives as long as the kernel does. */
  readonly file: string;
  readonly onEvent: (event: NewEvent) => void;
  /** The other unit's addresses of full nat are others, or all its flows are known. */
  readonly onChange: () => void;
  readonly onError: (error: unknown) => void;
}

/** Goes by the pair from now on. `close` it before the tier. */
export function mirrorFlows(options: FlowMirroringOptions): FlowMirror {
  const { tier, network, pair, file, onEvent, onChange, onError } = options;
  tier.mirror.waysFrom(() => waysOf(network.links(), network.addresses()));
  const mirror = new FlowMirror({
    table: tier.mirror,
    remembered: rememberedIn(file, onError),
    onNews: (news) => {
      if (news.what === 'addresses' || news.what === 'complete') onChange();
      if (news.what === 'addresses') return;
      onEvent(flowEvent(news, pair.state().peer?.name ?? 'the other unit'));
    },
    onError,
  });
  pair.onSession((session) => {
    tier.setPortHalf(pair.state().peer?.role === 'joiner' ? 1 : 0);
    mirror.attach(session);
  });
  return mirror;
}

/** Where frames of each network are met, and where they may leave. */
export function waysOf(links: readonly Link[], addresses: readonly InterfaceAddress[]): OwnWay[] {
  const byIndex = new Map(links.map((link) => [link.index, link]));
  const found = new Map<string, { way: Omit<OwnWay, 'networks'>; networks: Set<string> }>();
  for (const { interfaceIndex, bytes, prefixLength } of addresses) {
    const link = byIndex.get(interfaceIndex);
    if (link === undefined || link.loopback || !isNetwork(bytes, prefixLength)) continue;
    const carrier = carrierOf(link, (index) => byIndex.get(index));
    if ('unresolved' in carrier || carrier.device.mac.length !== 6) continue;
    const { device, vlan } = carrier;
    // A frame for a bond is met at one of its ports.
    const ports = links.filter(({ master }) => device.bond !== null && master === device.index);
    for (const { index } of [device, ...ports]) {
      const key = `${index} ${vlan.join(' ')}`;
      const before = found.get(key) ?? {
        way: { interface: index, vlan, mac: device.mac },
        networks: new Set<string>(),
      };
      before.networks.add(networkText(bytes, prefixLength));
      found.set(key, before);
    }
  }
  return [...found.values()].map(({ way, networks }) => ({ ...way, networks: [...networks] }));
}

/** Not one address alone, and not what every link has. */
function isNetwork(bytes: Uint8Array, prefixLength: number): boolean {
  const linkLocal = bytes.length === 16 && bytes[0] === 0xfe && ((bytes[1] ?? 0) & 0xc0) === 0x80;
  return prefixLength > 0 && prefixLength < bytes.length * 8 && !linkLocal;
}

function flowEvent(news: Exclude<FlowMirrorNews, { what: 'addresses' }>, peer: string): NewEvent {
  const messages: Readonly<Record<typeof news.what, string>> = {
    synchronised: `${peer} knows all flows of this unit`,
    complete: `this unit knows all flows of ${peer}`,
    adopted: `${peer} had lost its flows: ${'count' in news ? news.count : 0} are this unit’s now`,
  };
  return { kind: 'pair', severity: 'info', message: messages[news.what], subject: { peer } };
}

const remembered = z.strictObject({ table: z.string(), natAddresses: z.array(z.string()) });

function rememberedIn(
  file: string,
  onError: (error: unknown) => void,
): { get(): Remembered | null; set(other: Remembered): void } {
  let known: Remembered | null = null;
  try {
    known = remembered.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') onError(error);
  }
  return {
    get: () => known,
    set: (other) => {
      known = other;
      try {
        writeFileSync(file, JSON.stringify(other), { mode: 0o600 });
      } catch (error) {
        // Should this daemon be restarted and the other unit lose its tables meanwhile, idle flows of it are dropped.
        onError(error);
      }
    },
  };
}
