/**
 * What a build can execute. The language covers the whole product; whatever no tier of
 * this build can execute is refused with a sentence when it is applied, never ignored.
 *
 * Invariant: every key of the language that changes what happens to traffic is either
 * asked about here or executed by every build.
 */
import { familyOf } from './addresses.js';
import { fallbacksOf } from './cross-checks.js';
import { formatPath, type ConfigError, type Path } from './errors.js';
import { algorithms, type Algorithm } from './pool.js';
import type { MonitorSettings, MonitorType } from './monitor.js';
import type { Intent } from './schema.js';
import {
  isLayer4,
  isProxied,
  type Forwarding,
  type PersistenceType,
  type Protocol,
  type Service,
  type TierName,
} from './service.js';
import { persistenceTypes } from './persistence.js';
import { poolsOf } from './references.js';
import { alternatives, quote } from './words.js';

export interface Capabilities {
  /** Protocols of services, those of the proxy included. */
  readonly protocols: readonly Protocol[];
  readonly forwardings: readonly Forwarding[];
  readonly algorithms: readonly Algorithm[];
  /** Monitor types, each with the keys that it honours besides those that all have. */
  readonly monitors: Readonly<Partial<Record<MonitorType, readonly string[]>>>;
  /** Whether pools may have `passive`: the fast path must count what it asks for. */
  readonly passive: boolean;
  readonly persistence: readonly PersistenceType[];
  /** Keys of `limits` of services whose packets are forwarded. */
  readonly limits: readonly string[];
  /** And of those that the proxy serves. */
  readonly proxyLimits: readonly string[];
  /** Tiers that a service may be pinned to. */
  readonly tiers: readonly TierName[];
  readonly l7: boolean;
  /** Whether TLS ends here and begins anew towards members: https, tls with certificates. */
  readonly termination: boolean;
  readonly pair: boolean;
  /** What of the host below is Weir's to set. */
  readonly host: readonly HostKey[];
  readonly telemetry: boolean;
}

/** Keys of the document about the host below, with the option of the daemon that lets it set them. */
const hostKeys = {
  interfaces: ['--own-network', 'the network of its host', ['unit', 'network', 'interfaces']],
  routes: ['--own-network', 'the network of its host', ['unit', 'network', 'routes']],
  dns: ['--system-files', 'the files of its host', ['unit', 'network', 'dns']],
  ntp: ['--system-files', 'the files of its host', ['unit', 'network', 'ntp']],
  'time-zone': ['--system-files', 'the files of its host', ['unit', 'time-zone']],
  keyboard: ['--system-files', 'the files of its host', ['unit', 'keyboard']],
  ssh: ['--system-files', 'the files of its host', ['unit', 'ssh']],
} as const;
export type HostKey = keyof typeof hostKeys;

export const networkKeys: readonly HostKey[] = ['interfaces', 'routes'];
export const fileKeys: readonly HostKey[] = ['dns', 'ntp', 'time-zone', 'keyboard', 'ssh'];

/** Layer 4 in XDP with every algorithm, and the proxy; the host is left alone. */
export const firstSliceCapabilities: Capabilities = {
  protocols: ['tcp', 'udp', 'http', 'https', 'tls'],
  forwardings: ['dsr', 'tunnel', 'nat', 'full-nat'],
  algorithms,
  monitors: everyMonitor(),
  passive: true,
  persistence: persistenceTypes,
  limits: ['connections', 'connections-per-client', 'new-connections', 'flood-guard'],
  proxyLimits: [
    'connections',
    'connections-per-client',
    'flood-guard',
    'requests',
    'client-prefix',
    'client-prefix6',
    'request-body',
    'request-head',
    'request-fields',
  ],
  tiers: ['xdp', 'proxy'],
  l7: true,
  termination: true,
  pair: true,
  host: [],
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

  checkHost(intent, capabilities, refuse);
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
    if (pool.tls !== undefined && !capabilities.termination) {
      refuse(['pools', name, 'tls'], section('TLS towards members'));
    }
    if (pool.passive !== undefined && !capabilities.passive) {
      refuse(['pools', name, 'passive'], section('passive health'));
    }
  }
  for (const [name, service] of Object.entries(intent.services)) {
    checkService(['services', name], service, capabilities, refuse);
    if (service.forwarding === 'full-nat')
      checkFullNat(['services', name], service, intent, refuse);
    if (isProxied(service)) checkProxiedMembers(name, service, intent, refuse);
  }
  if (intent.pair !== undefined && !capabilities.pair) refuse(['pair'], section('pairs'));
  if (intent.telemetry !== undefined && !capabilities.telemetry) {
    refuse(['telemetry'], section('telemetry settings'));
  }
  return errors;
}

type Refuse = (path: Path, message: string) => void;

function checkHost({ unit }: Intent, { host }: Capabilities, refuse: Refuse): void {
  const { network } = unit;
  const asked: Readonly<Record<HostKey, boolean>> = {
    interfaces: Object.keys(network?.interfaces ?? {}).length > 0,
    routes: (network?.routes ?? []).length > 0,
    dns: network?.dns !== undefined,
    ntp: network?.ntp !== undefined,
    'time-zone': unit['time-zone'] !== undefined,
    keyboard: unit.keyboard !== undefined,
    ssh: unit.ssh !== undefined,
  };
  for (const key of [...networkKeys, ...fileKeys]) {
    if (!asked[key] || host.includes(key)) continue;
    const [option, what, path] = hostKeys[key];
    refuse(path, `this daemon leaves ${what} alone: start it with ${option}, or remove this part`);
  }
}

function checkService(
  path: Path,
  service: Service,
  capabilities: Capabilities,
  refuse: Refuse,
): void {
  const { protocol } = service.listen;
  const proxied = isProxied(service);
  const able = capabilities.protocols.filter((one) => executes(one, capabilities));
  if (!able.includes(protocol)) {
    const needed = capabilities.l7 ? 'TLS in the layer-7 tier' : 'the layer-7 tier';
    refuse(
      [...path, 'listen', 'protocol'],
      isLayer4(protocol)
        ? instead(`the protocol "${protocol}"`, able)
        : `"${protocol}" needs ${needed}, which this build does not have yet; use ${alternatives(able)}, or remove the service`,
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
  if (
    service.tier !== undefined &&
    (!capabilities.tiers.includes(service.tier) || (proxied && !capabilities.l7))
  ) {
    const able = capabilities.tiers.filter((tier) => tier !== service.tier);
    const other = isLayer4(protocol) && able.length > 0 ? ` or use ${alternatives(able)}` : '';
    refuse(
      [...path, 'tier'],
      `this build does not have the tier "${service.tier}" yet; remove the key${other}`,
    );
  }
  checkTermination(path, service, capabilities, refuse);
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
    if (value === undefined || limitsOf(service, capabilities).includes(key)) continue;
    refuse(
      [...path, 'limits', key],
      key === 'new-connections' && proxied
        ? `this build does not limit how fast connections of ${protocol} begin yet; use requests`
        : 'this build does not limit this yet; remove the key',
    );
  }
}

function executes(protocol: Protocol, { l7, termination }: Capabilities): boolean {
  return isLayer4(protocol) || (l7 && (protocol !== 'https' || termination));
}

/** Of tls with certificates; https is asked about with the protocols. */
function checkTermination(
  path: Path,
  { certificates, tls }: Service,
  { termination }: Capabilities,
  refuse: Refuse,
): void {
  if (termination) return;
  if (certificates !== undefined) {
    refuse(
      [...path, 'certificates'],
      'this build does not end TLS yet; remove them, and tls is passed through to the members',
    );
  }
  if (tls !== undefined) refuse([...path, 'tls'], 'this build does not end TLS yet; remove it');
}

/** The proxy counts what begins: connections of tcp and tls, requests of http and https. */
function limitsOf(service: Service, { limits, proxyLimits }: Capabilities): readonly string[] {
  if (!isProxied(service)) return limits;
  const { protocol } = service.listen;
  const requests = protocol === 'http' || protocol === 'https';
  return requests ? proxyLimits : [...proxyLimits, 'new-connections'];
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

/** The proxy holds members to what they have at one time, not to how fast it comes. */
function checkProxiedMembers(
  name: string,
  service: Service,
  { pools }: Intent,
  refuse: Refuse,
): void {
  for (const pool of poolsOf(service)) {
    for (const one of [pool, ...fallbacksOf(pools, pool)]) {
      const index = pools[one]?.members.findIndex(
        (member) => member['new-connections'] !== undefined,
      );
      if (index === undefined || index < 0) continue;
      refuse(
        ['pools', one, 'members', index, 'new-connections'],
        `this build does not limit this for proxied services such as ${quote(name)} yet; remove it, or use max-connections`,
      );
      return;
    }
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
