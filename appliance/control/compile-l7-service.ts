/**
 * One proxied service of the intent as workers execute it: routes, persistence, limits, and
 * everything that the document left out. Pure.
 *
 * Invariant: what comes out names pools that serve, and nothing in it waits for a default.
 */
import { familyOf } from '../config/addresses.js';
import { proxyHeaderDefaults } from '../config/http.js';
import { isSecure } from '../config/persistence.js';
import type { FieldTest, Persistence, RequestLimit, Service, When } from '../config/schema.js';
import { timeoutDefaults } from '../config/timeouts.js';
import { serviceTlsSchema } from '../config/tls.js';
import type {
  L7AccessLog,
  L7Conditions,
  L7FieldTest,
  L7Forward,
  L7Persistence,
  L7Protocol,
  L7RateLimit,
  L7Service,
  L7Timeouts,
  L7Tls,
} from '../l7/tables.js';
import { compileRoutes } from './compile-l7-routes.js';

export interface ServiceSurroundings {
  readonly name: string;
  readonly protocol: L7Protocol;
  readonly servedBy: (pool: string) => string;
  /** Milliseconds; the longest of its pools. */
  readonly queueTimeout: number;
  /** Base64 of 32 bytes. */
  readonly cookieKey: () => string;
}

const DEFAULTS = {
  clientPrefix: 32,
  clientPrefix6: 64,
  maxHead: 16_384,
  maxFields: 100,
} as const;

export function compileL7Service(service: Service, around: ServiceSurroundings): L7Service {
  const { listen, limits } = service;
  const compression = service.compression;
  return {
    name: around.name,
    address: listen.address,
    port: listen.port,
    protocol: around.protocol,
    routes: compileRoutes(service, around.servedBy),
    persistence: persistenceOf(service.persistence, listen, around),
    limits: serviceLimits(service),
    connections: limits?.connections ?? 0,
    connectionsPerClient: limits?.['connections-per-client'] ?? 0,
    clientPrefix: limits?.['client-prefix'] ?? DEFAULTS.clientPrefix,
    clientPrefix6: limits?.['client-prefix6'] ?? DEFAULTS.clientPrefix6,
    timeouts: timeoutsOf(service, around.queueTimeout),
    maxBody: limits?.['request-body'] ?? 0,
    maxHead: limits?.['request-head'] ?? DEFAULTS.maxHead,
    maxFields: limits?.['request-fields'] ?? DEFAULTS.maxFields,
    proxyProtocol: listen['proxy-protocol'] ?? 'off',
    forward: forwardOf(service),
    compression:
      compression === undefined
        ? null
        : {
            codings: compression.codings,
            minimumSize: compression['minimum-size'],
            types: compression.types,
          },
    accessLog: accessLogOf(service),
    serverTiming: service['server-timing'] ?? false,
    tls: tlsOf(service),
  };
}

function timeoutsOf({ timeouts }: Service, queue: number): L7Timeouts {
  const of = (key: keyof typeof timeoutDefaults): number => timeouts?.[key] ?? timeoutDefaults[key];
  return {
    head: of('request-head'),
    idle: of('idle'),
    keepAlive: of('keep-alive'),
    slowestBody: of('slowest-body'),
    connect: of('connect'),
    response: of('response'),
    queue,
    tunnel: of('tunnel'),
  };
}

function forwardOf(service: Service): L7Forward {
  const headers = service['proxy-headers'] ?? proxyHeaderDefaults;
  const id = headers['request-id'];
  return {
    forwardedFor: headers['x-forwarded-for'],
    forwardedOthers: headers['x-forwarded'],
    forwarded: headers.forwarded,
    via: headers.via ?? null,
    certificate: headers['client-certificate'] ?? 'remove',
    requestId: id === undefined ? null : { name: id.header, client: id.client, format: id.format },
    upgrade: service.upgrade ?? 'websocket',
  };
}

/** What the keys come to where the document has none of them. */
const tlsDefaults = serviceTlsSchema.parse({});

function tlsOf({ listen, certificates, tls = tlsDefaults }: Service): L7Tls | null {
  // Without certificates there is none of ours: tls is then passed through.
  if (certificates === undefined) return null;
  const clients = tls['client-certificates'];
  return {
    policy: tls.policy,
    certificates,
    alpn: listen.protocol === 'https' ? ['http/1.1'] : (tls.alpn ?? []),
    tickets: tls.tickets,
    earlyData: tls['early-data'],
    unknownNames: tls['unknown-names'],
    clients: clients === undefined ? null : { ...clients, headers: clients.headers ?? [] },
  };
}

function accessLogOf(service: Service): L7AccessLog | null {
  const log = service['access-log'];
  if (log === undefined) return null;
  return {
    format: log.format,
    to: log.file ?? `syslog:${log.syslog ?? ''}`,
    sample: log.sample,
    rotateSize: log.rotate.size,
    rotateKeep: log.rotate.keep,
  };
}

function persistenceOf(
  persistence: Persistence | undefined,
  { address, protocol }: Service['listen'],
  { cookieKey }: ServiceSurroundings,
): L7Persistence | null {
  if (persistence === undefined) return null;
  switch (persistence.type) {
    case 'cookie':
      return {
        kind: 'cookie',
        name: persistence.name,
        protection: persistence.protection,
        key: persistence.protection === 'plain' ? '' : cookieKey(),
        maxAge: persistence.timeout === undefined ? null : seconds(persistence.timeout),
        path: persistence.path,
        domain: persistence.domain ?? null,
        secure: isSecure(persistence, protocol),
        httpOnly: persistence['http-only'],
        sameSite: persistence['same-site'] ?? null,
      };
    case 'application-cookie':
    case 'header':
    case 'query':
      return { kind: persistence.type, name: persistence.name, timeout: persistence.timeout };
    case 'source-address': {
      // The document's number is for the family of the service; PROXY headers may tell of the other.
      const own = persistence.prefix;
      const four = familyOf(address) === 4;
      return {
        kind: 'source-address',
        timeout: persistence.timeout,
        prefix: four ? (own ?? 32) : 32,
        prefix6: four ? 128 : (own ?? 128),
      };
    }
  }
}

function serviceLimits({ limits }: Service): L7RateLimit[] {
  const found = compileLimits(limits?.requests ?? [], '');
  const fresh = limits?.['new-connections'];
  if (fresh === undefined) return found;
  // Of a service of tcp or tls, whose connections are what the limits of the proxy count.
  const { rate, burst, per } = fresh;
  return [
    ...found,
    { name: 'new-connections', ...rateOf({ rate, burst }), per: { kind: per }, when: null },
  ];
}

/** @param prefix tells limits of routes from those of the service, as in `ROUTE/LIMIT` */
export function compileLimits(limits: readonly RequestLimit[], prefix: string): L7RateLimit[] {
  return limits.map((limit, index) => ({
    name: `${prefix}${limit.name ?? index + 1}`,
    ...rateOf(limit),
    per:
      typeof limit.per === 'object'
        ? { kind: 'header', name: limit.per.header.toLowerCase() }
        : { kind: limit.per },
    when: compileConditions(limit.when),
  }));
}

function rateOf({
  rate,
  burst,
}: Pick<RequestLimit, 'rate' | 'burst'>): Pick<L7RateLimit, 'perSecond' | 'burst'> {
  return { perSecond: (rate.count * 1000) / rate.per, burst: burst ?? rate.count };
}

/** Null when every request fits. */
export function compileConditions(when: When | undefined): L7Conditions | null {
  if (when === undefined) return null;
  const patterns = when.path?.map((value) => ({ kind: 'pattern' as const, value }));
  const expressions = when['path-regex']?.map((value) => ({ kind: 'regex' as const, value }));
  return {
    hosts: when.host ?? null,
    paths: patterns ?? expressions ?? null,
    methods: when.method ?? null,
    // Names of fields are compared without case, those of parameters and cookies are not.
    headers: fieldTests(when.headers, (name) => name.toLowerCase()),
    query: fieldTests(when.query),
    cookies: fieldTests(when.cookies),
    sources: when['client-address'] ?? null,
  };
}

function fieldTests(
  tests: Readonly<Record<string, FieldTest>> | undefined,
  nameOf: (name: string) => string = (name) => name,
): L7FieldTest[] {
  return Object.entries(tests ?? {}).map(([written, test]): L7FieldTest => {
    const name = nameOf(written);
    if (typeof test === 'string') return { name, kind: 'exact', value: test };
    if (test.exact !== undefined) return { name, kind: 'exact', value: test.exact };
    if (test.prefix !== undefined) return { name, kind: 'prefix', value: test.prefix };
    if (test.regex !== undefined) return { name, kind: 'regex', value: test.regex };
    return { name, kind: test.present === false ? 'absent' : 'present' };
  });
}

/** Whole seconds, as HTTP counts; never fewer than asked for. */
export function seconds(milliseconds: number): number {
  return Math.ceil(milliseconds / 1000);
}
