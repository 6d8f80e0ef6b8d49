/**
 * The words for what a service speaks and which tier serves it, and what follows from them.
 *
 * Invariant: a service is either forwarded packet by packet (layer 4) or served by the proxy
 * (layer 7), and `isProxied` alone says which.
 */
export const protocols = ['tcp', 'udp', 'http', 'https', 'tls'] as const;
export type Protocol = (typeof protocols)[number];

export const forwardings = ['dsr', 'tunnel', 'nat', 'full-nat'] as const;
export type Forwarding = (typeof forwardings)[number];

export const tierNames = ['nic', 'xdp', 'proxy'] as const;
export type TierName = (typeof tierNames)[number];

export function isLayer4(protocol: Protocol): protocol is 'tcp' | 'udp' {
  return protocol === 'tcp' || protocol === 'udp';
}

/** What is on the wire: https and its like are TCP. */
export function transportOf(protocol: Protocol): 'tcp' | 'udp' {
  return protocol === 'udp' ? 'udp' : 'tcp';
}

interface Served {
  readonly listen: { readonly protocol: Protocol };
  readonly tier?: TierName | undefined;
}

/** Whether the layer-7 tier serves it: http, https, tls, and tcp with `tier: proxy`. */
export function isProxied({ listen, tier }: Served): boolean {
  return !isLayer4(listen.protocol) || (listen.protocol === 'tcp' && tier === 'proxy');
}
