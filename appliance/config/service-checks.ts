/**
 * What the keys of one service must have to do with each other: with its protocol, its tier, and
 * its routes.
 *
 * Invariant: a key that would do nothing for a service is refused, never ignored.
 */
import { isCertificateField } from '../l7/http1/names.js';
import { familyOf } from './addresses.js';
import { checkCookie } from './persistence.js';
import { isLayer4, isProxied } from './protocols.js';
import type { Refuse } from './route-checks.js';
import type { Route } from './routes.js';
import type { ServiceKeys } from './service.js';

/** `packets` are forwarded by layer 4; the others by the proxy. */
type Kind = 'packets' | 'http' | 'tls' | 'stream';

function kindOf(service: ServiceKeys): Kind {
  const { protocol } = service.listen;
  if (!isProxied(service)) return 'packets';
  if (protocol === 'tls') return 'tls';
  return isLayer4(protocol) ? 'stream' : 'http';
}

const kindWords: Readonly<Record<Kind, string>> = {
  packets: 'tcp and udp',
  http: 'http and https',
  tls: 'tls',
  stream: 'tcp with tier: proxy',
};

export function checkService(service: ServiceKeys, refuse: Refuse): void {
  const kind = kindOf(service);
  checkTier(service, refuse);
  checkPool(service, kind, refuse);
  if (kind === 'packets') checkPackets(service, refuse);
  else checkForwardingKeys(service, kind, refuse);
  checkProxyKeys(service, kind, refuse);
  checkCertificates(service, refuse);
  checkTls(service, refuse);
  checkPersistence(service, kind, refuse);
  checkLimits(service, kind, refuse);
  checkRoutes(service, kind, refuse);
}

function checkTier({ tier, listen: { protocol } }: ServiceKeys, refuse: Refuse): void {
  if (tier === 'proxy' && protocol === 'udp') {
    refuse('conflict', ['tier'], 'the proxy serves no udp: remove it');
  }
  if (tier !== undefined && tier !== 'proxy' && !isLayer4(protocol)) {
    refuse(
      'conflict',
      ['tier'],
      `${protocol} is served by the proxy (layer 7) only: remove it, or write proxy`,
    );
  }
}

function checkPool(service: ServiceKeys, kind: Kind, refuse: Refuse): void {
  const { protocol } = service.listen;
  const layer4 = isLayer4(protocol);
  if (layer4 && service.routes !== undefined) {
    refuse(
      'conflict',
      ['routes'],
      `routes need http, https or tls, but the protocol is ${protocol}: write "pool" instead`,
    );
  }
  if (service.pool !== undefined || service.routes !== undefined) return;
  refuse(
    'missing',
    ['pool'],
    kind === 'packets' || kind === 'stream'
      ? 'is missing: name the pool that serves'
      : 'is missing: name the pool that serves, or write routes',
  );
}

/** What only the forwarding of packets has. */
function checkPackets(service: ServiceKeys, refuse: Refuse): void {
  const { protocol } = service.listen;
  if (service.tunnel !== undefined && service.forwarding !== 'tunnel') {
    refuse(
      'conflict',
      ['tunnel'],
      `is for the forwarding tunnel, but the forwarding is ${service.forwarding ?? 'nat'}: remove one of them`,
    );
  }
  if (service.mss !== undefined && protocol !== 'tcp') {
    refuse('conflict', ['mss'], `is for tcp, but the protocol is ${protocol}: remove it`);
  }
  const cookies = service['syn-cookies'];
  if (cookies !== undefined && protocol !== 'tcp') {
    refuse('conflict', ['syn-cookies'], `are for tcp, but the protocol is ${protocol}: remove it`);
  } else if (
    cookies !== undefined &&
    cookies !== 'off' &&
    (service.forwarding === 'dsr' || service.forwarding === 'tunnel')
  ) {
    refuse(
      'conflict',
      ['syn-cookies'],
      `need answers to pass through the unit, which they do not by ${service.forwarding}: remove it or use nat or full-nat`,
    );
  }
  if (service.quic !== undefined && protocol !== 'udp') {
    refuse('conflict', ['quic'], `is for udp, but the protocol is ${protocol}: remove it`);
  }
}

const packetKeys = [
  ['forwarding', 'is for tcp and udp'],
  ['tunnel', 'is for tcp and udp'],
  ['mss', 'is for tcp'],
  ['syn-cookies', 'are for tcp'],
  ['quic', 'is for udp'],
  ['access', 'is for tcp and udp'],
] as const;

function checkForwardingKeys(service: ServiceKeys, kind: Kind, refuse: Refuse): void {
  for (const [key, what] of packetKeys) {
    if (service[key] === undefined) continue;
    const because =
      kind === 'stream'
        ? `${what} whose packets are forwarded, but the tier is proxy`
        : `${what}, but the protocol is ${service.listen.protocol}`;
    const otherwise =
      key === 'access' && kind !== 'stream' ? ', or use client-address in a route' : '';
    refuse('conflict', [key], `${because}: remove it${otherwise}`);
  }
}

/** Keys of proxied services, and the kinds that have them. */
const proxyKeys: readonly (readonly [
  'timeouts' | 'proxy-headers' | 'upgrade' | 'compression' | 'access-log' | 'server-timing',
  readonly Kind[],
])[] = [
  ['timeouts', ['http', 'tls', 'stream']],
  ['proxy-headers', ['http']],
  ['upgrade', ['http']],
  ['compression', ['http']],
  ['access-log', ['http', 'tls', 'stream']],
  ['server-timing', ['http']],
];

function checkProxyKeys(service: ServiceKeys, kind: Kind, refuse: Refuse): void {
  for (const [key, kinds] of proxyKeys) {
    if (service[key] === undefined || kinds.includes(kind)) continue;
    refuse('conflict', [key], needs(service, kind, kinds));
  }
  if (service.listen['proxy-protocol'] === 'accept' && kind === 'packets') {
    refuse(
      'conflict',
      ['listen', 'proxy-protocol'],
      needs(service, kind, ['http', 'tls', 'stream']),
    );
  }
  if (keepsCertificate(service) && service.listen.protocol === 'https') {
    refuse(
      'conflict',
      ['proxy-headers', 'client-certificate'],
      'lets clients say whose certificate they have, but the protocol is https, where they show it: remove it',
    );
  }
  if (kind === 'packets' || kind === 'http') return;
  for (const key of ['idle', 'keep-alive', 'slowest-body', 'response'] as const) {
    if (service.timeouts?.[key] === undefined) continue;
    refuse('conflict', ['timeouts', key], needs(service, kind, ['http']));
  }
  if (kind === 'stream' && service.timeouts?.['request-head'] !== undefined) {
    refuse('conflict', ['timeouts', 'request-head'], needs(service, kind, ['http', 'tls']));
  }
}

function keepsCertificate(service: ServiceKeys): boolean {
  return service['proxy-headers']?.['client-certificate'] === 'keep';
}

/** `needs http or https, but the protocol is tcp: remove it`. */
function needs({ listen: { protocol } }: ServiceKeys, kind: Kind, kinds: readonly Kind[]): string {
  const words = kinds.flatMap((one) => (one === 'http' ? ['http', 'https'] : [kindWords[one]]));
  const last = words.pop() ?? '';
  const wanted = words.length === 0 ? last : `${words.join(', ')} or ${last}`;
  const is = kind === 'stream' ? 'the service is tcp by the proxy' : `the protocol is ${protocol}`;
  return `needs ${wanted}, but ${is}: remove it`;
}

function checkCertificates(
  { listen: { protocol }, certificates }: ServiceKeys,
  refuse: Refuse,
): void {
  if (protocol === 'https' && certificates === undefined) {
    refuse(
      'missing',
      ['certificates'],
      'is missing: an https service needs at least one certificate',
    );
  }
  if (protocol !== 'https' && protocol !== 'tls' && certificates !== undefined) {
    refuse(
      'conflict',
      ['certificates'],
      `are for https and tls, but the protocol is ${protocol}: remove them or change the protocol`,
    );
  }
}

function checkTls({ listen: { protocol }, certificates, tls }: ServiceKeys, refuse: Refuse): void {
  if (tls === undefined) return;
  if (protocol !== 'https' && protocol !== 'tls') {
    refuse(
      'conflict',
      ['tls'],
      `is for https and tls, but the protocol is ${protocol}: remove it or change the protocol`,
    );
  } else if (protocol === 'tls' && certificates === undefined) {
    refuse(
      'conflict',
      ['tls'],
      'is for TLS that ends here, but without certificates it is passed through to members: add certificates, or remove it',
    );
  }
  if (protocol === 'https' && tls.alpn !== undefined) {
    refuse(
      'conflict',
      ['tls', 'alpn'],
      'is for tls, and https offers what it speaks by itself: remove it',
    );
  }
  if (protocol === 'tls' && tls['client-certificates']?.headers !== undefined) {
    refuse(
      'conflict',
      ['tls', 'client-certificates', 'headers'],
      'are of HTTP, but the protocol is tls: remove them, or use the protocol https',
    );
  }
  if (tls['early-data'] && protocol === 'tls') {
    refuse(
      'conflict',
      ['tls', 'early-data'],
      'is for https: early data can be repeated by anybody who sees it, and of other protocols it is not known what may be: remove it',
    );
  } else if (tls['early-data'] && !tls.tickets) {
    refuse(
      'conflict',
      ['tls', 'early-data'],
      'needs tickets, by which clients come back, but tickets is false: remove one of them',
    );
  } else if (tls['early-data'] && tls['client-certificates'] !== undefined) {
    refuse(
      'conflict',
      ['tls', 'early-data'],
      'is not for clients that are known by their certificates: whoever repeats what they said would say it in their name; remove one of them',
    );
  }
}

function checkPersistence({ persistence, listen }: ServiceKeys, kind: Kind, refuse: Refuse): void {
  if (persistence === undefined) return;
  if (persistence.type !== 'source-address' && kind !== 'http') {
    const what = persistence.type === 'cookie' ? 'cookies' : `persistence by ${persistence.type}`;
    refuse(
      'conflict',
      ['persistence', 'type'],
      `${what} ${what === 'cookies' ? 'need' : 'needs'} http or https, but the protocol is ${listen.protocol}: use source-address`,
    );
  }
  if (persistence.type === 'cookie' && kind === 'http') {
    checkCookie(persistence, listen.protocol, (key, message) => {
      refuse('conflict', ['persistence', key], message);
    });
  }
  if (
    persistence.type === 'source-address' &&
    familyOf(listen.address) === 4 &&
    (persistence.prefix ?? 0) > 32
  ) {
    refuse(
      'range',
      ['persistence', 'prefix'],
      `must be at most 32, because ${listen.address} is an IPv4 address`,
    );
  }
}

function checkLimits(service: ServiceKeys, kind: Kind, refuse: Refuse): void {
  const { limits } = service;
  if (limits === undefined) return;
  for (const key of ['requests', 'request-body', 'request-head', 'request-fields'] as const) {
    if (kind !== 'http' && limits[key] !== undefined) {
      refuse('conflict', ['limits', key], needs(service, kind, ['http']));
    }
  }
  for (const key of ['client-prefix', 'client-prefix6'] as const) {
    if (kind === 'packets' && limits[key] !== undefined) {
      const own = key === 'client-prefix' ? 'prefix' : 'prefix6';
      refuse(
        'conflict',
        ['limits', key],
        `is for proxied services, but the protocol is ${service.listen.protocol}: write ${own} in new-connections`,
      );
    }
  }
  if (kind === 'packets') return;
  for (const key of ['prefix', 'prefix6'] as const) {
    if (limits['new-connections']?.[key] === undefined) continue;
    refuse(
      'conflict',
      ['limits', 'new-connections', key],
      `what one client of a proxied service is, limits.client-${key} says: move it there`,
    );
  }
  if (limits['flood-guard'] === 'off') {
    refuse(
      'conflict',
      ['limits', 'flood-guard'],
      'is for packets that are forwarded, and the proxy has no such guard: remove it',
    );
  }
  checkNames(limits.requests ?? [], ['limits', 'requests'], refuse);
}

/** Two of a name could not be told apart in counters and logs. */
function checkNames(
  list: readonly { readonly name?: string | undefined }[],
  path: readonly (string | number)[],
  refuse: Refuse,
): void {
  const seen = new Set<string>();
  for (const [index, { name }] of list.entries()) {
    if (name === undefined) continue;
    if (/^[0-9]+$/.test(name)) {
      const message = 'is a number, as those without a name have: put a letter into it';
      refuse('value', [...path, index, 'name'], message);
    }
    if (seen.has(name)) {
      refuse('conflict', [...path, index, 'name'], 'is taken already: give it another name');
    }
    seen.add(name);
  }
}

const hiddenByTls = [
  'redirect',
  'respond',
  'maintenance',
  'rewrite',
  'request-headers',
  'response-headers',
  'mirror',
  'limits',
] as const;

function checkRoutes(service: ServiceKeys, kind: Kind, refuse: Refuse): void {
  const { routes } = service;
  if (routes === undefined) return;
  routes.forEach((route, index) => {
    if (route.when === undefined && index < routes.length - 1) {
      refuse(
        'conflict',
        ['routes', index],
        'takes every request, so the routes after it are never reached: move it to the end or add "when"',
      );
    }
    if (service.listen.protocol === 'tls') checkTlsRoute(route, index, refuse);
    for (const name of Object.keys(route.when?.headers ?? {})) {
      if (!isCertificateField(name) || keepsCertificate(service)) continue;
      refuse(
        'conflict',
        ['routes', index, 'when', 'headers', name],
        'is what the client says itself of its certificate, which nobody is told: remove it',
      );
    }
    checkNames(route.limits?.requests ?? [], ['routes', index, 'limits', 'requests'], refuse);
  });
  checkNames(routes, ['routes'], refuse);
  if (kind !== 'packets' && service.pool !== undefined && routes.at(-1)?.when === undefined) {
    refuse(
      'conflict',
      ['pool'],
      'is never used, because the last route takes every request: remove one of them',
    );
  }
}

function checkTlsRoute(route: Route, index: number, refuse: Refuse): void {
  for (const key of Object.keys(route.when ?? {})) {
    if (key === 'host' || key === 'client-address') continue;
    refuse(
      'conflict',
      ['routes', index, 'when', key],
      'cannot be seen inside TLS: use host or client-address, or the protocol https',
    );
  }
  for (const key of hiddenByTls) {
    if (route[key] === undefined) continue;
    refuse(
      'conflict',
      ['routes', index, key],
      'cannot be done inside TLS: remove it, or use the protocol https',
    );
  }
}
