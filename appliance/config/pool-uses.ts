/**
 * Whether each pool fits the kind of service that leads to it: some keys are for packets that are
 * forwarded, others for the proxy.
 *
 * Invariant: linear in the size of the document, as the other checks across it.
 */
import { memberKey } from './addresses.js';
import type { Problem } from './cross-checks.js';
import { isProxied } from './protocols.js';
import { poolsOf } from './references.js';
import type { Intent } from './schema.js';
import type { Pool } from './pool.js';
import type { Service } from './service.js';
import { quote } from './words.js';

const proxyKeys = ['queue', 'keep-alive', 'retries', 'proxy-protocol', 'ejection', 'tls'] as const;

/** What every connection to a member has or none, so that members can expect it. */
const ofEveryConnection: readonly string[] = ['proxy-protocol', 'tls'];

interface Use {
  /** The first service whose packets go there. */
  packets?: string;
  /** The first proxied service. */
  proxied?: string;
  /** The first whose TLS is passed through. */
  passed?: string;
}

/** @param standIns the pools that may stand in for one */
export function checkPoolUses(
  intent: Intent,
  standIns: (pool: string) => readonly string[],
): Problem[] {
  const uses = new Map<string, Use>();
  const problems: Problem[] = [];
  for (const [name, service] of Object.entries(intent.services)) {
    const kind = isProxied(service) ? 'proxied' : 'packets';
    const led = new Set(poolsOf(service).flatMap((pool) => [pool, ...standIns(pool)]));
    for (const pool of led) {
      const use = uses.get(pool) ?? {};
      use[kind] ??= name;
      if (service.listen.protocol === 'tls' && service.certificates === undefined) {
        use.passed ??= name;
      }
      uses.set(pool, use);
      const members = intent.pools[pool];
      if (kind === 'packets' || members === undefined) continue;
      const loop = checkLoop(name, service, pool, members);
      if (loop !== undefined) problems.push(loop);
    }
  }
  for (const [name, pool] of Object.entries(intent.pools)) {
    problems.push(...checkKeys(name, pool, uses.get(name) ?? {}));
  }
  return problems;
}

function checkKeys(name: string, pool: Pool, { packets, proxied, passed }: Use): Problem[] {
  const problems: Problem[] = [];
  const refuse = (key: string, message: string): void => {
    problems.push({ code: 'conflict', path: ['pools', name, key], message });
  };
  if (packets !== undefined) {
    for (const key of proxyKeys) {
      const value = pool[key];
      if (value === undefined || value === 'off') continue;
      if (proxied !== undefined && !ofEveryConnection.includes(key)) continue;
      refuse(
        key,
        `is for proxied services, but the packets of the service ${quote(packets)} are forwarded: remove it, or give that service a pool of its own`,
      );
    }
  }
  if (passed !== undefined && pool.tls !== undefined) {
    refuse(
      'tls',
      `would be TLS around TLS, because the service ${quote(passed)} passes that of clients through: remove it, or give that service certificates or a pool of its own`,
    );
  }
  if (proxied !== undefined && pool.passive !== undefined) {
    refuse(
      'passive',
      `is for tcp by nat or full-nat, but the service ${quote(proxied)} is proxied: use ejection, or give that service a pool of its own`,
    );
  }
  return problems;
}

/** A member that is the service itself. */
function checkLoop(
  name: string,
  { listen }: Service,
  poolName: string,
  pool: Pool,
): Problem | undefined {
  const index = pool.members.findIndex(
    ({ address, port = listen.port }) => address === listen.address && port === listen.port,
  );
  if (index < 0) return undefined;
  return {
    code: 'conflict',
    path: ['services', name, 'listen', 'address'],
    message: `${memberKey(listen)} is also pools.${poolName}.members[${index}], so requests would come back for ever: give one of them another address or port`,
  };
}
