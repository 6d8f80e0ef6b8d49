/**
 * What a build can execute. The language covers the whole product; whatever no tier of
 * this build can execute is refused with a sentence when it is applied, never ignored.
 *
 * Invariant: every key of the language that changes what happens to traffic is either
 * asked about here or executed by every build.
 */
import { familyOf } from './addresses.js';
import { formatPath, type ConfigError, type Path } from './errors.js';
import { algorithms, type Algorithm } from './pool.js';
import type { MonitorSettings, MonitorType } from './monitor.js';
import type { Intent } from './schema.js';
import {
  isLayer4,
  type Forwarding,
  type PersistenceType,
  type Protocol,
  type Service,
  type TierName,
} from './service.js';
import { alternatives } from './words.js';

export interface Capabilities {
  /** Protocols of services, those of layer 7 included once there is a tier for them. */
  readonly protocols: readonly Protocol[];
  readonly forwardings: readonly Forwarding[];
  readonly algorithms: readonly Algorithm[];
  /** Monitor types, each with the keys that it honours besides those that all have. */
  readonly monitors: Readonly<Partial<Record<MonitorType, readonly string[]>>>;
  /** Whether pools may have `passive`: the fast path must count what it asks for. */
  readonly passive: boolean;
  readonly persistence: readonly PersistenceType[];
  /** Keys of `limits`. */
  readonly limits: readonly string[];
  /** Tiers that a service may be pinned to. */
  readonly tiers: readonly TierName[];
  readonly l7: boolean;
  readonly pair: boolean;
  readonly certificates: boolean;
  readonly management: boolean;
  readonly alerts: boolean;
  readonly telemetry: boolean;
}

/** Layer 4 in XDP, with every algorithm. */
export const firstSliceCapabilities: Capabilities = {
  protocols: ['tcp', 'udp'],
  forwardings: ['dsr', 'tunnel', 'nat', 'full-nat'],
  algorithms,
  monitors: everyMonitor(),
  passive: true,
  persistence: ['source-address'],
  limits: ['connections', 'connections-per-client', 'new-connections', 'flood-guard'],
  tiers: ['xdp'],
  l7: false,
  pair: false,
  certificates: false,
  management: false,
  alerts: false,
  telemetry: false,
};

const everyMonitorsKeys = ['type', 'interval', 'timeout', 'rise', 'fall', 'damping'] as const;

function everyMonitor(): Capabilities['monitors'] {
  const http = ['port', 'source', 'path', 'method', 'host', 'expect', 'headers', 'body'];
  const secure = ['server-name', 'verify'];
  return {
    tcp: ['port', 'source', 'send', 'receive'],
    http,
    https: [...http, ...secure],
    tls: ['port', 'source', ...secure],
    icmp: ['source'],
    udp: ['port', 'source', 'send', 'receive'],
    dns: ['port', 'source', 'name', 'record', 'transport', 'answer'],
    agent: ['port', 'source', 'send'],
    external: ['port', 'command', 'user'],
  };
}

/** What of the intent this build cannot execute; empty when it can execute all of it. */
export function unsupported(intent: Intent, capabilities: Capabilities): ConfigError[] {
  const errors: ConfigError[] = [];
  const refuse: Refuse = (path, message) => {
    errors.push({ code: 'unsupported', path: formatPath(path), message });
  };

  if (intent.unit.management !== undefined && !capabilities.management) {
    refuse(['unit', 'management'], section('management settings'));
  }
  for (const [name, pool] of Object.entries(intent.pools)) {
    if (!capabilities.algorithms.includes(pool.algorithm)) {
      refuse(
        ['pools', name, 'algorithm'],
        instead(`the algorithm "${pool.algorithm}"`, capabilities.algorithms),
      );
    }
    if (pool.monitor !== undefined) {
      checkMonitor(['pools', name, 'monitor'], pool.monitor, capabilities, refuse);
    }
    if (pool.passive !== undefined && !capabilities.passive) {
      refuse(['pools', name, 'passive'], section('passive health'));
    }
  }
  for (const [name, service] of Object.entries(intent.services)) {
    checkService(['services', name], service, capabilities, refuse);
    if (service.forwarding === 'full-nat')
      checkFullNat(['services', name], service, intent, refuse);
  }
  if (intent.pair !== undefined && !capabilities.pair) refuse(['pair'], section('pairs'));
  for (const [key, able] of [
    ['certificates', capabilities.certificates],
    ['alerts', capabilities.alerts],
  ] as const) {
    for (const name of able ? [] : Object.keys(intent[key])) refuse([key, name], section(key));
  }
  if (intent.telemetry !== undefined && !capabilities.telemetry) {
    refuse(['telemetry'], section('telemetry settings'));
  }
  return errors;
}

type Refuse = (path: Path, message: string) => void;

function checkService(
  path: Path,
  service: Service,
  capabilities: Capabilities,
  refuse: Refuse,
): void {
  const { protocol } = service.listen;
  if (!capabilities.protocols.includes(protocol) || (!isLayer4(protocol) && !capabilities.l7)) {
    const able = capabilities.protocols.filter((one) => capabilities.l7 || isLayer4(one));
    refuse(
      [...path, 'listen', 'protocol'],
      isLayer4(protocol)
        ? instead(`the protocol "${protocol}"`, able)
        : `"${protocol}" needs the layer-7 tier, which this build does not have yet; use ${alternatives(able)}, or remove the service`,
    );
    // The rest of a layer-7 service would only say the same again.
    if (!isLayer4(protocol)) return;
  }
  if (service.forwarding !== undefined && !capabilities.forwardings.includes(service.forwarding)) {
    refuse(
      [...path, 'forwarding'],
      instead(`the forwarding "${service.forwarding}"`, capabilities.forwardings),
    );
  }
  if (service.tier !== undefined && !capabilities.tiers.includes(service.tier)) {
    refuse(
      [...path, 'tier'],
      `this build does not have the tier "${service.tier}" yet; remove the key${capabilities.tiers.length === 0 ? '' : ` or use ${alternatives(capabilities.tiers)}`}`,
    );
  } else if (service.tier === 'l7' && isLayer4(protocol) && !capabilities.l7) {
    refuse([...path, 'tier'], 'this build does not have the layer-7 tier yet; remove the key');
  }
  if (
    service.persistence !== undefined &&
    !capabilities.persistence.includes(service.persistence.type)
  ) {
    refuse(
      [...path, 'persistence', 'type'],
      instead(`persistence by ${service.persistence.type}`, capabilities.persistence),
    );
  }
  for (const [key, value] of Object.entries(service.limits ?? {})) {
    if (value !== undefined && !capabilities.limits.includes(key)) {
      refuse([...path, 'limits', key], 'this build does not limit this yet; remove the key');
    }
  }
}

/** The fast path rewrites addresses within a family, and speaks from those that it is given. */
function checkFullNat(path: Path, service: Service, intent: Intent, refuse: Refuse): void {
  const family = familyOf(service.listen.address);
  const own = intent.unit['nat-addresses'] ?? [];
  if (!own.some((address) => familyOf(address) === family)) {
    refuse(
      [...path, 'forwarding'],
      `full-nat needs an IPv${family} address of this unit to speak to members from; name one in unit.nat-addresses, or use nat`,
    );
  }
  const pool = service.pool === undefined ? undefined : intent.pools[service.pool];
  if (pool?.members.some(({ address }) => familyOf(address) !== family) === true) {
    refuse(
      [...path, 'forwarding'],
      'this build does not translate between IPv4 and IPv6 by full-nat yet; use tunnel, or members of one family',
    );
  }
}

function checkMonitor(
  path: Path,
  monitor: MonitorSettings,
  capabilities: Capabilities,
  refuse: Refuse,
): void {
  const keys = capabilities.monitors[monitor.type];
  if (keys === undefined) {
    refuse(
      [...path, 'type'],
      instead(`the monitor "${monitor.type}"`, Object.keys(capabilities.monitors)),
    );
    return;
  }
  const honoured = new Set([...everyMonitorsKeys, ...keys]);
  for (const [key, value] of Object.entries(monitor)) {
    if (value !== undefined && !honoured.has(key)) {
      refuse(
        [...path, key],
        `this build does not have this key of the monitor "${monitor.type}" yet; remove it`,
      );
    }
  }
}

function instead(what: string, able: readonly string[]): string {
  return `this build does not have ${what} yet; ${able.length === 0 ? 'remove it' : `use ${alternatives(able)}`}`;
}

function section(what: string): string {
  return `this build does not have ${what} yet; remove this part`;
}
