/** The unit as an upgrade compares it: what carries, what is held, who is heard, from what the API says. */
import type { DaemonPort } from '../api/port.js';
import type { Network } from '../net/network.js';
import type { Picture } from '../system/slots/judge.js';

export async function unitPicture(
  daemon: Pick<DaemonPort, 'services' | 'routers' | 'tiers' | 'workers' | 'pools' | 'pair'>,
  network: Pick<Network, 'links' | 'addresses'>,
): Promise<Picture> {
  const [services, routers, tiers, workers, pools, pair] = await Promise.all([
    daemon.services(),
    daemon.routers(),
    daemon.tiers(),
    daemon.workers(),
    daemon.pools(),
    daemon.pair.view(),
  ]);
  // What virtual routers move may be with the other unit, before as well as after.
  const moved = new Set(routers.flatMap(({ addresses }) => addresses));
  const held = new Set(network.addresses().map(({ address }) => address));
  const addresses = services.map(({ address }) => address).filter((one) => !moved.has(one));
  return {
    links: network
      .links()
      .flatMap(({ name, running }) => (running ? [name] : []))
      .sort(),
    addresses: [...new Set(addresses.filter((one) => held.has(one)))].sort(),
    routers: routers.flatMap(({ router, role }) => (role === 'down' ? [] : [router])).sort(),
    datapath: [
      ...new Set(tiers.flatMap(({ interface: on, mode }) => (mode === null ? [] : [on]))),
    ].sort(),
    workers: workers.some(({ state }) => state === 'serving'),
    pair: pair.together,
    pools: Object.fromEntries(pools.map(({ name, membersUp }) => [name, membersUp])),
  };
}
