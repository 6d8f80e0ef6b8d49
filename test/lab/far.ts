/**
 * A client further away: a host behind the lab's client, which is its router, over a link that
 * takes less than the others do.
 *
 *     far (10.79.0.N, fd79::N) ── 1,280 bytes ── client ── outside …
 *
 * Only the router's end of the link says so. The host itself announces segments as long as
 * usual, so that members have to learn of the link from the router's errors.
 */
import { run, within } from './commands.js';
import type { Lab } from './lab.js';
import { addressOf, memberNames } from './topology.js';

export const farMtu = 1280;

export function farAddress(family: 4 | 6, host: number): string {
  return `${family === 4 ? '10.79.0.' : 'fd79::'}${host}`;
}

/** With addresses that end in `numbers`. Goes when the lab does. */
export async function addFar({ topology }: Lab, numbers: readonly number[]): Promise<void> {
  const far = topology.namespace('far');
  const client = topology.namespace('client');
  const batch = (namespace: string, family: 4 | 6, lines: readonly string[]): Promise<string> =>
    run('ip', [`-${family}`, '-n', namespace, '-batch', '-'], { input: `${lines.join('\n')}\n` });
  const shell = async (namespace: string, ...args: string[]): Promise<void> => {
    const line = within(namespace, args);
    await run(line[0] ?? '', line.slice(1));
  };
  await run('ip', ['netns', 'add', far]);
  await batch(client, 4, [
    `link add far0 mtu ${farMtu} type veth peer name eth0 netns ${far}`,
    'link set far0 up',
    'addr add 10.79.0.1/24 dev far0',
  ]);
  await batch(client, 6, ['addr add fd79::1/64 dev far0 nodad']);
  await shell(client, 'sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
  await batch(far, 4, [
    'link set lo up',
    'link set eth0 mtu 1500 up',
    ...numbers.map((number) => `addr add ${farAddress(4, number)}/24 dev eth0`),
    'route add default via 10.79.0.1',
  ]);
  await batch(far, 6, [
    ...numbers.map((number) => `addr add ${farAddress(6, number)}/64 dev eth0 nodad`),
    'route add default via fd79::1',
  ]);
  // Who is behind a router computes checksums like everybody else in the lab (topology.ts).
  await shell(far, 'ethtool', '-K', 'eth0', 'tx', 'off');
  for (const family of [4, 6] as const) {
    const route = `route add ${family === 4 ? '10.79.0.0/24' : 'fd79::/64'} via ${addressOf('client', family, 'outside')}`;
    await batch(topology.namespace('unit-a'), family, [route]);
    for (const member of memberNames) {
      // The table for what they send from a service address.
      await batch(topology.namespace(member), family, [`${route} dev eth1 table 100`]);
    }
  }
}
