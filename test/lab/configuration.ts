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

function service(address: string, port: number, protocol: string, pools: string): object {
  const forwarding = pools.startsWith('direct') ? 'dsr' : 'nat';
  return { listen: { address, port, protocol }, forwarding, pool: pools };
}

/** A JSON document, which is YAML too. */
export const everyPath = JSON.stringify({
  version: 1,
  // The client comes in by another interface than the members are at: both are named.
  unit: { name: 'weir-a', interfaces: ['eth0', 'eth1'] },
  pools: {
    direct4: pool(4, null, 'http'),
    direct6: pool(6, null, 'tcp'),
    tcp4: pool(4, 9000, 'tcp'),
    tcp6: pool(6, 9000, 'http'),
    udp4: pool(4, 5353, 'http'),
    udp6: pool(6, 5353, 'tcp'),
  },
  services: {
    'dsr-tcp4': service('10.77.0.81', 9000, 'tcp', 'direct4'),
    'dsr-tcp6': service('fd77::81', 9000, 'tcp', 'direct6'),
    'dsr-udp4': service('10.77.0.53', 5353, 'udp', 'direct4'),
    'dsr-udp6': service('fd77::53', 5353, 'udp', 'direct6'),
    'nat-tcp4': service('10.77.0.80', 90, 'tcp', 'tcp4'),
    'nat-tcp6': service('fd77::80', 90, 'tcp', 'tcp6'),
    'nat-udp4': service('10.77.0.54', 5354, 'udp', 'udp4'),
    'nat-udp6': service('fd77::54', 5354, 'udp', 'udp6'),
  },
});
