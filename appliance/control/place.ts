/**
 * Where a service lands: on which tier, and as which row of its tables. Pure.
 */
import { familyOf } from '../config/addresses.js';
import type { Intent, Service } from '../config/schema.js';
import { isProxied } from '../config/protocols.js';
import type { L7Protocol } from '../l7/tables.js';
import type { L4Persistence, L4Service, L4Unit, Placement } from './tables.js';

/** Sources of tunnels where the document names none: ranges that no host has (RFC 2544, RFC 6666). */
const TUNNEL_SOURCE = '198.18.0.0/15';
const TUNNEL_SOURCE_6 = '100::/64';

export function placeService(
  name: string,
  service: Service,
): { l4: L4Service | null; l7: L7Protocol | null; placement: Placement } {
  const { address, port, protocol } = service.listen;
  const nowhere = (reason: string): ReturnType<typeof placeService> => ({
    ...{ l4: null, l7: null },
    placement: { service: name, tier: 'none', reason },
  });
  if (isProxied(service)) {
    const proxied = placeProxied(service);
    return 'needs' in proxied
      ? nowhere(proxied.needs)
      : {
          ...{ l4: null, l7: proxied.protocol },
          placement: { service: name, tier: 'l7', reason: proxied.reason },
        };
  }
  if (protocol !== 'tcp' && protocol !== 'udp') return nowhere(`${protocol} needs the proxy`);
  if (service.pool === undefined) return nowhere('no pool');
  const forwarding = service.forwarding ?? 'nat';
  const tunnel = service.tunnel;
  return {
    l7: null,
    l4: {
      name,
      address,
      port,
      protocol,
      forwarding,
      pool: service.pool,
      persistence: persistenceOf(service),
      mss: service.mss ?? 0,
      synCookies:
        protocol === 'tcp' && (forwarding === 'nat' || forwarding === 'full-nat')
          ? (service['syn-cookies'] ?? 'auto')
          : 'off',
      quic: service.quic ?? false,
      guePort: tunnel?.encapsulation === 'gue' ? tunnel.port : 0,
    },
    placement: {
      service: name,
      tier: 'xdp',
      reason: `${protocol} with ${forwarding} needs nothing above layer 4`,
    },
  };
}

function placeProxied({
  listen,
  certificates,
}: Service):
  { readonly protocol: L7Protocol; readonly reason: string } | { readonly needs: string } {
  switch (listen.protocol) {
    case 'http':
      return { protocol: 'http', reason: 'http is served request by request' };
    case 'https':
      return { protocol: 'http', reason: 'https ends here and is served request by request' };
    case 'tls':
      if (certificates !== undefined) {
        return { protocol: 'tcp', reason: 'tls ends here, and what is inside goes to a member' };
      }
      return { protocol: 'tls', reason: 'tls is passed through by the name that clients ask for' };
    case 'tcp':
      return { protocol: 'tcp', reason: 'the document asks for tier: proxy' };
    case 'udp':
      return { needs: 'the proxy serves no udp' };
  }
}

function persistenceOf(service: Service): L4Persistence | null {
  const { persistence, listen } = service;
  if (persistence?.type !== 'source-address') return null;
  return {
    seconds: Math.ceil(persistence.timeout / 1000),
    prefix: persistence.prefix ?? (familyOf(listen.address) === 4 ? 32 : 128),
  };
}

export function placeUnit({ unit }: Intent): L4Unit {
  return {
    tunnelSource4: unit['tunnel-source'] ?? TUNNEL_SOURCE,
    tunnelSource6: unit['tunnel-source-6'] ?? TUNNEL_SOURCE_6,
    natAddresses: unit['nat-addresses'] ?? [],
  };
}

export function sameService(a: L4Service, b: L4Service): boolean {
  return (
    a.address === b.address &&
    a.port === b.port &&
    a.protocol === b.protocol &&
    a.forwarding === b.forwarding &&
    a.pool === b.pool &&
    a.persistence?.seconds === b.persistence?.seconds &&
    a.persistence?.prefix === b.persistence?.prefix &&
    a.mss === b.mss &&
    a.synCookies === b.synCookies &&
    a.quic === b.quic &&
    a.guePort === b.guePort
  );
}

export function sameUnit(a: L4Unit, b: L4Unit): boolean {
  return (
    a.tunnelSource4 === b.tunnelSource4 &&
    a.tunnelSource6 === b.tunnelSource6 &&
    a.natAddresses.length === b.natAddresses.length &&
    a.natAddresses.every((address, index) => address === b.natAddresses[index])
  );
}
