/** The network of a unit, for tests of who asks. */
import type {
  NetworkView,
  PingResult,
  ResolveResult,
  TraceResult,
} from '../../../appliance/api/contract.js';
import type { NetworkPort } from '../../../appliance/api/network-port.js';

export const NETWORK: NetworkView = {
  host: ['interfaces', 'routes', 'dns', 'ntp', 'time-zone', 'keyboard'],
  hostName: 'weir-a',
  interfaces: [
    {
      ...{ name: 'lo', kind: 'loopback', mac: null, mtu: 65_536, up: true, carrier: true },
      ...{ master: null, vlan: null, management: false, neighbours: 0, counters: null },
      addresses: [{ address: '127.0.0.1/8', by: 'other' }],
    },
    {
      ...{ name: 'eth0', kind: 'hardware', mac: '02:00:00:00:00:01', mtu: 1500, up: true },
      ...{ carrier: true, master: null, vlan: null, management: true, neighbours: 3 },
      addresses: [
        { address: '10.0.0.1/24', by: 'unit' },
        { address: '10.0.0.80/32', by: 'service' },
        { address: 'fe80::1/64', by: 'kernel' },
      ],
      counters: {
        ...{ rxPackets: 1200, txPackets: 900, rxBytes: 1_200_000, txBytes: 90_000 },
        ...{ rxErrors: 0, txErrors: 0, rxDropped: 4, txDropped: 0 },
      },
    },
    {
      ...{ name: 'eth0.7', kind: 'vlan', mac: '02:00:00:00:00:01', mtu: 1500, up: true },
      ...{ carrier: false, master: null, vlan: { link: 'eth0', id: 7 }, management: false },
      ...{ neighbours: 0, counters: null, addresses: [] },
    },
  ],
  routes: [
    { to: 'default', family: 4, via: '10.0.0.254', interface: 'eth0', metric: 0, by: 'unit' },
    { to: '10.0.0.0/24', family: 4, via: null, interface: 'eth0', metric: 0, by: 'kernel' },
  ],
  routesTotal: 2,
  dns: { servers: ['10.0.0.53'], search: ['example.org'] },
  ntp: { servers: ['10.0.0.123'], synchronised: true, maximumErrorMs: 12.5 },
  timeZone: 'Europe/Berlin',
  keyboard: 'de',
  problems: ['cannot add the route to 10.9.0.0/16 by 10.7.0.1 on eth0: EHOSTUNREACH'],
};

export const PING: PingResult = {
  ...{ address: '10.0.0.254', sent: 2, received: 1 },
  answers: [
    { from: '10.0.0.254', ms: 0.42, result: 'reply', text: 'echo reply' },
    { from: null, ms: null, result: 'silent', text: 'no answer within 2s' },
  ],
};

export const TRACE: TraceResult = {
  ...{ address: '198.51.100.7', reached: true },
  hops: [
    { from: '10.0.0.254', ms: 0.4, result: 'expired', text: 'hop limit reached' },
    { from: null, ms: null, result: 'silent', text: 'no answer within 2s' },
    { from: '198.51.100.7', ms: 8.1, result: 'reply', text: 'echo reply' },
  ],
};

export const RESOLVED: ResolveResult = {
  ...{ name: 'www.example.org', servers: ['10.0.0.53'], problems: [], ms: 1.5 },
  answers: [
    { type: 'A', value: '198.51.100.7' },
    { type: 'AAAA', value: '2001:db8::7' },
  ],
};

export class FakeNetwork implements NetworkPort {
  readonly asked: { readonly method: keyof NetworkPort; readonly argument: unknown }[] = [];
  current: NetworkView = NETWORK;
  pinged: PingResult = PING;
  resolved: ResolveResult = RESOLVED;

  async view(): Promise<NetworkView> {
    return this.current;
  }

  async ping(argument: Parameters<NetworkPort['ping']>[0]): Promise<PingResult> {
    this.asked.push({ method: 'ping', argument });
    return this.pinged;
  }

  async trace(argument: Parameters<NetworkPort['trace']>[0]): Promise<TraceResult> {
    this.asked.push({ method: 'trace', argument });
    return TRACE;
  }

  async resolve(argument: Parameters<NetworkPort['resolve']>[0]): Promise<ResolveResult> {
    this.asked.push({ method: 'resolve', argument });
    return this.resolved;
  }
}
