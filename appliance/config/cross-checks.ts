/**
 * What the parts of a document must have to do with each other: references, clashes,
 * and what a forwarding mode can do to a packet.
 *
 * Invariant: linear in the size of the document; it runs for a thousand services and
 * ten thousand members within a commit.
 */
import { familyOf, memberKey } from './addresses.js';
import type { ConfigErrorCode, Path } from './errors.js';
import type { Intent } from './schema.js';
import { checkNetwork } from './network-checks.js';
import type { Pool } from './pool.js';
import { checkPoolUses } from './pool-uses.js';
import { poolReferences } from './references.js';
import { isProxied, transportOf, type Service } from './service.js';
import { quicServerId } from './quic-server-id.js';
import { nearest, quote } from './words.js';

export interface Problem {
  readonly code: ConfigErrorCode;
  readonly path: Path;
  readonly message: string;
  readonly suggestion?: string | undefined;
}

export interface CrossCheck {
  readonly errors: readonly Problem[];
  /** Allowed, and probably not what was meant. */
  readonly warnings: readonly Problem[];
}

export function crossCheck(intent: Intent): CrossCheck {
  const errors: Problem[] = [];
  const warnings: Problem[] = [];
  const used = new Set<string>();
  const usedLists = new Set<string>();

  for (const [name, pool] of Object.entries(intent.pools)) {
    errors.push(...checkMembers(name, pool), ...checkSource(name, pool));
  }
  errors.push(...checkFallbacks(intent.pools));
  for (const [name, service] of Object.entries(intent.services)) {
    for (const [path, list] of listReferences(name, service)) {
      usedLists.add(list);
      if (Object.hasOwn(intent['access-lists'], list)) continue;
      errors.push({
        code: 'reference',
        path,
        message: `there is no access list ${quote(list)}: define it under "access-lists" or name another`,
        suggestion: nearest(list, Object.keys(intent['access-lists'])),
      });
    }
    for (const [below, poolName] of poolReferences(service)) {
      const path = ['services', name, ...below];
      used.add(poolName);
      const pool = Object.hasOwn(intent.pools, poolName) ? intent.pools[poolName] : undefined;
      if (pool === undefined) {
        errors.push(unknownPool(path, poolName, Object.keys(intent.pools)));
        continue;
      }
      const standIns = fallbacksOf(intent.pools, poolName);
      for (const standIn of standIns) used.add(standIn);
      if (isProxied(service)) continue;
      for (const one of [poolName, ...standIns]) {
        const unseen = intent.pools[one] && checkPassive(name, service, one, intent.pools[one]);
        if (unseen !== undefined) errors.push(unseen);
      }
      const direct = checkReach(name, service, poolName, pool);
      if (service.quic === true) errors.push(...checkQuicIds(poolName, pool));
      errors.push(...direct, ...(direct.length > 0 ? [] : checkStandIns(name, service, intent)));
    }
  }
  errors.push(
    ...checkPoolUses(intent, (pool) => fallbacksOf(intent.pools, pool)),
    ...checkListens(intent),
    ...checkPair(intent),
    ...checkNetwork(intent),
    ...checkNatAddresses(intent),
  );

  for (const [name, pool] of Object.entries(intent.pools)) {
    if (!used.has(name)) {
      warnings.push({
        code: 'unused',
        path: ['pools', name],
        message: 'no service uses this pool: nothing is sent to its members',
      });
    } else if (!pool.members.some((member) => member.state === 'enabled' && member.weight > 0)) {
      warnings.push({
        code: 'unused',
        path: ['pools', name, 'members'],
        message: 'no member is enabled: the services that use this pool take no new flows',
      });
    }
    const minimum = pool['minimum-healthy'];
    const count = pool.members.length;
    if (minimum !== undefined && 'members' in minimum && count > 0 && minimum.members > count) {
      warnings.push({
        code: 'unused',
        path: ['pools', name, 'minimum-healthy'],
        message: `is more than the pool has members (${count}): too few serve at all times`,
      });
    }
  }
  for (const name of Object.keys(intent['access-lists'])) {
    if (usedLists.has(name)) continue;
    warnings.push({
      code: 'unused',
      path: ['access-lists', name],
      message: 'no service uses this list: it allows and denies nobody',
    });
  }
  return { errors, warnings };
}

/** Only answers that pass the unit are counted: without them, every member looks silent. */
function checkPassive(
  name: string,
  service: Service,
  poolName: string,
  pool: Pool,
): Problem | undefined {
  const { protocol } = service.listen;
  const passes = service.forwarding === 'nat' || service.forwarding === 'full-nat';
  if (pool.passive === undefined || (passes && protocol === 'tcp')) return undefined;
  const why = passes
    ? `is ${protocol.toUpperCase()}, which has no handshakes`
    : `is by ${service.forwarding}`;
  return {
    code: 'conflict',
    path: ['pools', poolName, 'passive'],
    message: `the unit must see the members' answers, and the service ${quote(name)} ${why}: use passive with TCP by nat or full-nat only, or give that service a pool of its own`,
  };
}

function* listReferences(name: string, { access }: Service): Generator<[Path, string]> {
  for (const key of ['allow', 'deny'] as const) {
    for (const [index, list] of (access?.[key] ?? []).entries()) {
      yield [['services', name, 'access', key, index], list];
    }
  }
}

/** Pool to pool, as `when-down` leads: all that stand in for one, nearest first. */
export function fallbacksOf(pools: Intent['pools'], name: string): string[] {
  const found: string[] = [];
  for (let at = fallbackOf(pools, name); at !== null; at = fallbackOf(pools, at)) {
    if (at === name || found.includes(at)) break;
    found.push(at);
  }
  return found;
}

/** The pool that stands in for this one; null when there is none. */
export function fallbackOf(pools: Intent['pools'], name: string): string | null {
  const whenDown = Object.hasOwn(pools, name) ? pools[name]?.['when-down'] : undefined;
  return typeof whenDown === 'object' && Object.hasOwn(pools, whenDown.pool) ? whenDown.pool : null;
}

function checkFallbacks(pools: Intent['pools']): Problem[] {
  const problems: Problem[] = [];
  const known = Object.keys(pools);
  /** Pools that were seen to lead to an end, or into a circle that was told. */
  const settled = new Set<string>();
  for (const [name, pool] of Object.entries(pools)) {
    const whenDown = pool['when-down'];
    if (typeof whenDown === 'object' && !Object.hasOwn(pools, whenDown.pool)) {
      problems.push(unknownPool(['pools', name, 'when-down', 'pool'], whenDown.pool, known));
    }
    const way: string[] = [];
    for (let at: string | null = name; at !== null; at = fallbackOf(pools, at)) {
      if (settled.has(at)) break;
      if (way.includes(at)) {
        const circle = [...way.slice(way.indexOf(at)), at];
        problems.push({
          code: 'conflict',
          path: ['pools', at, 'when-down', 'pool'],
          message:
            circle.length === 2
              ? 'a pool cannot stand in for itself: name another one'
              : `the pools stand in for each other in a circle (${circle.join(' → ')}): let one of them drop or reset`,
        });
        break;
      }
      way.push(at);
    }
    for (const one of way) settled.add(one);
  }
  return problems;
}

/** Whether the pools that stand in for the service's own can be reached in the same way. */
function checkStandIns(name: string, service: Service, intent: Intent): Problem[] {
  if (service.pool === undefined) return [];
  let from = service.pool;
  for (const standIn of fallbacksOf(intent.pools, from)) {
    const pool = intent.pools[standIn];
    const [problem] = pool === undefined ? [] : checkReach(name, service, standIn, pool);
    if (problem !== undefined) {
      const message = `${quote(standIn)} cannot stand in for the service ${quote(name)}: ${problem.message}`;
      return [{ ...problem, path: ['pools', from, 'when-down', 'pool'], message }];
    }
    from = standIn;
  }
  return [];
}

function unknownPool(path: Path, poolName: string, known: readonly string[]): Problem {
  return {
    code: 'reference',
    path,
    message: `there is no pool ${quote(poolName)}: define it under "pools" or name another`,
    suggestion: nearest(poolName, known),
  };
}

function checkMembers(name: string, pool: Pool): Problem[] {
  const problems: Problem[] = [];
  const seen = new Map<string, number>();
  for (const [index, member] of pool.members.entries()) {
    const key = memberKey(member);
    const first = seen.get(key);
    if (first === undefined) {
      seen.set(key, index);
    } else {
      problems.push({
        code: 'conflict',
        path: ['pools', name, 'members', index],
        message: `${key} is already member ${first + 1} of this pool: remove one of them`,
      });
    }
  }
  if (pool.members.length > 0 && pool.members.every((member) => member.weight === 0)) {
    problems.push({
      code: 'conflict',
      path: ['pools', name, 'members'],
      message:
        'every member has the weight 0, so none could take a flow: give one a weight, or use "state" to take members out',
    });
  }
  return problems;
}

/** Whether the monitor can reach each member from the address that it is told to use. */
function checkSource(name: string, pool: Pool): Problem[] {
  const source =
    pool.monitor !== undefined && 'source' in pool.monitor ? pool.monitor.source : undefined;
  if (source === undefined) return [];
  const family = familyOf(source);
  const index = pool.members.findIndex((member) => familyOf(member.address) !== family);
  if (index < 0) return [];
  return [
    {
      code: 'conflict',
      path: ['pools', name, 'monitor', 'source'],
      message:
        `${source} is IPv${family}, and pools.${name}.members[${index}] is not: ` +
        `use a pool of IPv${family} members, or leave the source out`,
    },
  ];
}

/** Whether the service's forwarding mode can bring packets to each member. */
function checkReach(name: string, service: Service, poolName: string, pool: Pool): Problem[] {
  const problems: Problem[] = [];
  const { address, port } = service.listen;
  const forwarding = service.forwarding ?? 'nat';
  const family = familyOf(address);
  const keepsFamily = forwarding === 'dsr' || forwarding === 'nat';
  const keepsPort = forwarding === 'dsr' || forwarding === 'tunnel';

  for (const [index, member] of pool.members.entries()) {
    const refer = `pools.${poolName}.members[${index}]`;
    if (member.address === address) {
      problems.push({
        code: 'conflict',
        path: ['services', name, 'listen', 'address'],
        message: `${address} is also the address of ${refer}, so packets would come back for ever: give one of them another address`,
      });
    } else if (keepsFamily && familyOf(member.address) !== family) {
      problems.push({
        code: 'conflict',
        path: ['services', name, 'pool'],
        message:
          `${refer} is IPv${familyOf(member.address)} and the service is IPv${family}, which ${forwarding} cannot translate: ` +
          `use a pool of IPv${family} members`,
      });
    } else if (keepsPort && member.port !== undefined && member.port !== port) {
      problems.push({
        code: 'conflict',
        path: ['services', name, 'forwarding'],
        message:
          `${forwarding} leaves ports as they are, but ${refer} has the port ${member.port} and the service ${port}: ` +
          `remove the member's port, make them equal, or use nat`,
      });
    } else {
      continue;
    }
    // One member tells enough: the others of the pool are usually wrong in the same way.
    break;
  }
  return problems;
}

/** Two members that connection ids cannot tell apart. */
function checkQuicIds(poolName: string, pool: Pool): Problem[] {
  const seen = new Map<number, string>();
  for (const [index, member] of pool.members.entries()) {
    const id = quicServerId(poolName, memberKey(member), member['quic-id'] ?? null);
    const other = seen.get(id);
    if (other !== undefined) {
      return [
        {
          code: 'conflict',
          path: ['pools', poolName, 'members', index],
          message: `${memberKey(member)} and ${other} have the same QUIC server id ${id}: give one of them another one by quic-id`,
        },
      ];
    }
    seen.set(id, memberKey(member));
  }
  return [];
}

/** An address that full nat speaks from is no service's. */
function checkNatAddresses(intent: Intent): Problem[] {
  const problems: Problem[] = [];
  const own = intent.unit['nat-addresses'] ?? [];
  for (const [name, { listen }] of Object.entries(intent.services)) {
    const index = own.indexOf(listen.address);
    if (index >= 0) {
      problems.push({
        code: 'conflict',
        path: ['unit', 'nat-addresses', index],
        message: `${listen.address} is the address of the service ${quote(name)}: give one of them another address`,
      });
    }
  }
  return problems;
}

function checkListens(intent: Intent): Problem[] {
  const problems: Problem[] = [];
  const seen = new Map<string, string>();
  for (const [name, { listen }] of Object.entries(intent.services)) {
    const transport = transportOf(listen.protocol);
    const place = `${memberKey(listen)} ${transport}`;
    const other = seen.get(place);
    if (other === undefined) {
      seen.set(place, name);
      continue;
    }
    problems.push({
      code: 'conflict',
      path: ['services', name, 'listen'],
      message: `${memberKey(listen)} over ${transport} is already taken by the service ${quote(other)}: change the address, port or protocol of one`,
    });
  }
  return problems;
}

/** An address that full nat speaks from has a virtual router by itself. */
function checkPair({ pair, unit }: Intent): Problem[] {
  const problems: Problem[] = [];
  const own = unit['nat-addresses'] ?? [];
  for (const [name, { addresses }] of Object.entries(pair?.['virtual-routers'] ?? {})) {
    const index = addresses.findIndex((address) => own.includes(address));
    if (index < 0) continue;
    problems.push({
      code: 'conflict',
      path: ['pair', 'virtual-routers', name, 'addresses', index],
      message: 'is in unit.nat-addresses, which move by themselves: remove it here or there',
    });
  }
  return problems;
}
