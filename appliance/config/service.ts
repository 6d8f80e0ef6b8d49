/**
 * Services: the addresses and ports that clients connect to, and what happens then.
 *
 * Layer-4 protocols (tcp, udp) are forwarded packet by packet; http, https, tls, and tcp with
 * `tier: proxy`, are served by the proxy, the layer-7 tier. Invariant: after parsing, a layer-4
 * service always has `forwarding` and `pool`, and a layer-7 service never has `forwarding`.
 */
import { z } from 'zod';
import { accessLogSchema } from './access-log.js';
import { accessSchema } from './access.js';
import { line, name, port } from './basics.js';
import { compressionSchema } from './compression.js';
import { refuseRepeats, unicastAddress } from './fields.js';
import { proxyHeadersSchema, upgradeWords } from './http.js';
import { limitsSchema } from './limits.js';
import { persistenceSchema } from './persistence.js';
import { forwardings, isProxied, protocols, tierNames } from './protocols.js';
import { routeSchema } from './routes.js';
import { checkService } from './service-checks.js';
import { timeoutsSchema } from './timeouts.js';
import { serviceTlsSchema } from './tls.js';

export {
  isLayer4,
  isProxied,
  transportOf,
  type Forwarding,
  type Protocol,
  type TierName,
} from './protocols.js';
export type { Limits } from './limits.js';
export type { Persistence, PersistenceType } from './persistence.js';

export const synCookieModes = ['auto', 'always', 'off'] as const;
export type SynCookies = (typeof synCookieModes)[number];

export const listenSchema = z
  .strictObject({
    address: unicastAddress().describe('Address that clients connect to. The unit answers for it.'),
    port: port().describe('Port that clients connect to.'),
    protocol: z
      .enum(protocols)
      .describe(
        'tcp and udp are forwarded as they are; http, https and tls are served by the proxy (layer 7). ' +
          'tls without certificates is passed through to members by the name that the client asks for; ' +
          'with certificates it ends here, and what is inside goes to members.',
      ),
    'proxy-protocol': z
      .enum(['off', 'accept'])
      .optional()
      .describe(
        'accept: every connection must begin with a PROXY header, version 1 or 2, which says who the client is (proxied services). ' +
          'Whoever may connect can claim any address, so let only other proxies in. Left out: off.',
      ),
  })
  .describe('Where clients connect.');

export const encapsulations = ['ip', 'gue'] as const;

export const tunnelSchema = z
  .strictObject({
    encapsulation: z
      .enum(encapsulations)
      .default('ip')
      .describe('ip: IP in IP, of any two families. gue: IP in UDP (GUE variant 1).'),
    port: port().default(6080).describe('UDP port of GUE on the members.'),
  })
  .describe('How packets travel inside of others, with the forwarding tunnel.');

const serviceKeys = z.strictObject({
  description: line(200).optional().describe('A note for people.'),
  listen: listenSchema,
  forwarding: z
    .enum(forwardings)
    .optional()
    .describe(
      'How packets reach a member (tcp and udp). nat, the default: the destination is rewritten and the unit is the ' +
        "members' gateway. dsr: only the MAC address is rewritten, the member owns the service address too and answers " +
        'the client directly. tunnel: like dsr through IP-in-IP. full-nat: source and destination are rewritten.',
    ),
  tunnel: tunnelSchema.optional(),
  mss: z
    .int()
    .min(536)
    .max(65495)
    .optional()
    .describe(
      'Largest TCP segment, in bytes, that a handshake through the unit may announce: a larger one is lowered. ' +
        'Left out: none is.',
    ),
  'syn-cookies': z
    .enum(synCookieModes)
    .optional()
    .describe(
      'Whether a flood of SYNs is answered by SYN cookies (tcp by nat or full-nat). auto, the default: while more ' +
        'handshakes are left open than the flow table can hold. always: every handshake. off: never.',
    ),
  quic: z
    .boolean()
    .optional()
    .describe(
      'Whether connection ids of QUIC name the member (udp), so that a client keeps it when its address changes.',
    ),
  pool: name()
    .optional()
    .describe(
      'Pool that serves. Needed unless there are routes; with routes it takes what no route took. ' +
        'Without it that is answered with 404, and a connection of tls closed.',
    ),
  tier: z
    .enum(tierNames, {
      error: (issue) =>
        issue.input === 'l7' || issue.input === 'layer-7'
          ? 'the layer-7 tier is called proxy here: write tier: proxy'
          : undefined,
    })
    .optional()
    .describe(
      'Pins the service to one tier. proxy is layer 7: for tcp, connections then end at the unit, which opens others to members. ' +
        'Left out: the fastest that can serve it.',
    ),
  routes: z
    .array(routeSchema)
    .min(1)
    .max(1024)
    .optional()
    .describe(
      'Where requests go (http and https; tls: by host only). The first route that fits decides.',
    ),
  certificates: z
    .array(name())
    .min(1)
    .max(1024)
    .superRefine(refuseRepeats)
    .optional()
    .describe(
      'Names of the certificates to serve (https and tls); the first is for clients that name no host. ' +
        'They are those of the certificates section or of the certificate store.',
    ),
  tls: serviceTlsSchema.optional(),
  persistence: persistenceSchema.optional(),
  limits: limitsSchema.optional(),
  access: accessSchema.optional(),
  timeouts: timeoutsSchema.optional(),
  'proxy-headers': proxyHeadersSchema.optional(),
  upgrade: z
    .enum(upgradeWords)
    .optional()
    .describe(
      'Protocols that a client may switch to by Upgrade (http and https). Left out: websocket.',
    ),
  compression: compressionSchema.optional(),
  'access-log': accessLogSchema.optional(),
  'server-timing': z
    .boolean()
    .optional()
    .describe(
      'Whether answers tell in Server-Timing how long the unit and the member took (http and https). Left out: false.',
    ),
});

/** The keys of a service, before they are checked against each other. */
export type ServiceKeys = z.output<typeof serviceKeys>;

export const serviceSchema = serviceKeys
  .superRefine((service, context) => {
    checkService(service, (code, path, message) => {
      context.addIssue({ code: 'custom', path, message, params: { code } });
    });
  })
  .transform((service) =>
    isProxied(service)
      ? service
      : { ...service, forwarding: service.forwarding ?? ('nat' as const) },
  )
  .describe('A virtual server: an address, port and protocol that clients connect to.');

export type Listen = z.output<typeof listenSchema>;
export type Service = z.output<typeof serviceSchema>;
