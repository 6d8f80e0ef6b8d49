/**
 * The configuration of the lab tests: each forwarding mode in each family, over TCP and
 * UDP, all on the same three members.
 */
import { memberNames } from './topology.js';
import { addressesOf } from './lab.js';

const memberWeights = [3, 2, 1];

function pool(family: 4 | 6, port: number | null, monitor: 'tcp' | 'http'): object {
  return {
    algorithm: 'maglev',
    members: memberNames.map((name, index) => ({
      address: addressesOf(name)[family === 4 ? 0 : 1],
      ...(port === null ? {} : { port }),
      weight: memberWeights[index],
    })),
    monitor: {
      ...(monitor === 'tcp' ? { type: 'tcp' } : { type: 'http', path: '/healthz' }),
      port: 8080,
      ...{ interval: '500ms', timeout: '400ms', rise: 2, fall: 3 },
    },
  };
}

export const modes = ['dsr', 'tunnel', 'nat', 'full-nat'] as const;
export type Mode = (typeof modes)[number];

/**
 * Addresses and ports of each mode's services: TCP over both families, UDP over both. Where
 * members keep the port, it is theirs.
 */
const places: Readonly<Record<Mode, readonly [string, number, string, number]>> = {
  dsr: ['81', 9000, '53', 5353],
  tunnel: ['82', 9000, '55', 5353],
  nat: ['80', 90, '54', 5354],
  'full-nat': ['83', 91, '56', 5355],
};

/** A pool for each of the four; tunnels cross from one family to the other too. */
const pools: Readonly<Record<'dsr' | 'tunnel' | 'other', readonly [string, string][]>> = {
  dsr: [
    ['tcp4', 'direct4'],
    ['tcp6', 'direct6'],
    ['udp4', 'direct4'],
    ['udp6', 'direct6'],
  ],
  tunnel: [
    ['tcp4', 'direct4'],
    ['tcp6', 'direct6'],
    ['udp4', 'direct6'],
    ['udp6', 'direct4'],
  ],
  other: ['tcp4', 'tcp6', 'udp4', 'udp6'].map((name) => [name, name]),
};

/** IP in IP and GUE, each with the inside and the outside of one family and of two. */
const encapsulations: Readonly<Record<string, 'ip' | 'gue'>> = {
  ...{ tcp4: 'ip', tcp6: 'gue', udp4: 'gue', udp6: 'ip' },
};

function servicesOf(mode: Mode): [string, object][] {
  const [tcpHost, tcpPort, udpHost, udpPort] = places[mode];
  return pools[mode === 'dsr' || mode === 'tunnel' ? mode : 'other'].map(([path, pool]) => {
    const protocol = path.slice(0, 3);
    const host = protocol === 'tcp' ? tcpHost : udpHost;
    const listen = {
      address: `${path.endsWith('4') ? '10.77.0.' : 'fd77::'}${host}`,
      port: protocol === 'tcp' ? tcpPort : udpPort,
      protocol,
    };
    const tunnel = mode === 'tunnel' ? { tunnel: { encapsulation: encapsulations[path] } } : {};
    return [`${mode}-${path}`, { listen, forwarding: mode, pool, ...tunnel }];
  });
}

/** A JSON document, which is YAML too: services of these forwarding modes. */
export function pathsOf(...chosen: readonly Mode[]): string {
  return JSON.stringify({
    version: 1,
    unit: {
      name: 'weir-a',
      // The client comes in by another interface than the members are at: both are named.
      interfaces: ['eth0', 'eth1'],
      'nat-addresses': ['10.77.0.101', '10.77.0.102', 'fd77::101', 'fd77::102'],
    },
    pools: {
      direct4: pool(4, null, 'http'),
      direct6: pool(6, null, 'tcp'),
      tcp4: pool(4, 9000, 'tcp'),
      tcp6: pool(6, 9000, 'http'),
      udp4: pool(4, 5353, 'http'),
      udp6: pool(6, 5353, 'tcp'),
    },
    services: Object.fromEntries(chosen.flatMap(servicesOf)),
  });
}

/** Both modes that need nothing of the unit but its tables. */
export const everyPath = pathsOf('dsr', 'nat');
