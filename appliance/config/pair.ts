/**
 * How the addresses of services move between the two units of a pair (VRRP, RFC 9568). Who the other
 * unit is comes from the pairing, so none of it is here.
 *
 * Invariant: the same section fits both units; what differs between them is looked up by the
 * unit's name.
 */
import { z } from 'zod';
import { interfaceName, name } from './basics.js';
import { familyOf } from './addresses.js';
import { duration, prefix, refuseRepeats, unicastAddress } from './fields.js';
import { LEAST_PRIORITY } from './least-priority.js';
import { quote } from './words.js';

/** Ids that follow first-id, itself among them. */
const OWN_IDS = 4;
const interval = () => duration({ min: '10ms', max: '40s' });
const version = () => z.literal([3, 2]);
const unitPriority = z.int().min(LEAST_PRIORITY).max(254);

export const virtualRouterSchema = z
  .strictObject({
    id: z
      .int()
      .min(1)
      .max(255)
      .describe('Virtual router identifier, the same on all units (RFC 9568 §5.2.3).'),
    interface: interfaceName()
      .optional()
      .describe(
        'Interface that the router lives on. Left out: that whose network holds the first address.',
      ),
    addresses: z
      .array(unicastAddress())
      .min(1)
      .max(255)
      .superRefine(refuseRepeats)
      .describe(
        'Addresses that the active unit holds. Those of services may be among them; they then move with this router. IPv4 and IPv6 are two routers of the same id.',
      ),
    prefer: name()
      .optional()
      .describe(
        'Unit that is active while both are well: its priority is 200, that of others 100. Left out: as for the pair.',
      ),
    priorities: z
      .record(name(), unitPriority)
      .optional()
      .describe(
        'Instead of it, the priority of each unit by its name; of those left out it is 100. Units that are unfit have less than 10.',
      ),
    group: name()
      .optional()
      .describe('Virtual routers of one group move together. Left out: this one moves alone.'),
    version: version().optional().describe('As for the pair, for this router.'),
    'advertisement-interval': interval().optional().describe('As for the pair, for this router.'),
    checksum: z
      .enum(['message', 'pseudo-header'])
      .default('message')
      .describe(
        'What version 3 over IPv4 sums up when it sends: the message alone (RFC 9568), or also a pseudo-header, as keepalived does. Both are accepted.',
      ),
    peers: z
      .array(unicastAddress())
      .max(8)
      .default([])
      .describe(
        'Addresses of the other units on that network, for advertisements by unicast: of each family that the router has addresses of. Left out: multicast.',
      ),
    password: z
      .string()
      .regex(/^[\x21-\x7e]{1,8}$/, 'has 1 to 8 printable ASCII characters, no spaces')
      .optional()
      .describe(
        'Of version 2, in clear text in each advertisement (RFC 2338 §5.3.6.2): keeps out mistakes, not attackers.',
      ),
    'virtual-mac': z.boolean().optional().describe('As for the pair, for this router.'),
  })
  .superRefine((router, context) => {
    const refuse = (path: string, message: string): void => {
      context.addIssue({ code: 'custom', path: [path], message, params: { code: 'conflict' } });
    };
    if (router.prefer !== undefined && router.priorities !== undefined) {
      refuse('prefer', 'the priorities say it already: remove one of the two');
    }
    for (const family of router.peers.length > 0 ? ([4, 6] as const) : []) {
      const has = (list: readonly string[]): boolean =>
        list.some((address) => familyOf(address) === family);
      if (has(router.addresses) && !has(router.peers)) {
        refuse(
          'peers',
          `the router has IPv${family} addresses and no peer of IPv${family}: name the IPv${family} address of each other unit too, or make a router of its own of them`,
        );
      } else if (has(router.peers) && !has(router.addresses)) {
        refuse('peers', `the router has no IPv${family} address: remove the IPv${family} peers`);
      }
    }
    if (router['virtual-mac'] === true && router.peers.length > 0) {
      refuse('virtual-mac', 'goes with multicast only: remove the peers, or virtual-mac');
    }
  })
  .describe('One group of addresses that moves between the units.');

const effect = () => z.enum(['yield', 'fault', 'ignore']);

const trackingSchema = z
  .strictObject({
    datapath: effect()
      .default('yield')
      .describe('The fast path is off an interface that it belongs on.'),
    workers: effect()
      .default('yield')
      .describe('There are proxied services, and no worker process serves them.'),
    members: effect()
      .default('yield')
      .describe(
        'Of a pool that serves, this unit reaches less than half of the members that the other one reaches: its own way to them is broken.',
      ),
    pools: effect()
      .default('ignore')
      .describe(
        'A pool that serves has members, and none of them can serve. For pools that one unit may lose alone: where both lose one, addresses move for nothing.',
      ),
    interfaces: z
      .record(interfaceName(), z.enum(['yield', 'fault']))
      .default({})
      .describe(
        "These have no link. An interface of the router's own without a link is always a fault.",
      ),
    routes: z
      .array(prefix())
      .max(16)
      .default([])
      .describe(
        'The main routing table has no such route, or its interface has no link: the unit yields. 0.0.0.0/0 and ::/0 are the default routes.',
      ),
    neighbours: z
      .array(unicastAddress())
      .max(16)
      .default([])
      .describe(
        "Addresses in networks of the unit, such as the gateway's: one that answers no ARP or neighbour discovery, asked once a second, makes the unit yield after three or four. So a switch that loses frames but keeps the link is noticed.",
      ),
  })
  .describe(
    'What makes a unit unfit: yield lets a unit that is well take over, fault gives the addresses up even if nobody does.',
  );

export const pairSchema = z
  .strictObject({
    mode: z
      .enum(['active-active', 'active-passive'])
      .default('active-active')
      .describe(
        'active-active: one unit has the service addresses whose last bit is 0 (even), the other one those whose last bit is 1 (odd), while both are well. active-passive: one has all.',
      ),
    prefer: name()
      .optional()
      .describe(
        'Unit that has the even addresses, or all of them, while both are well. Left out: the first by alphabet.',
      ),
    preempt: z
      .boolean()
      .default(true)
      .describe(
        'Whether a unit takes its addresses back when it returns. Without it, it leaves them where they are, unless the other unit is unfit.',
      ),
    'preempt-delay': duration({ min: '0s', max: '1h' })
      .prefault('5s')
      .describe(
        'How long it waits before it does, so that its monitors and neighbours are known. A unit that becomes unfit is replaced without waiting.',
      ),
    'advertisement-interval': interval()
      .optional()
      .describe(
        'Time between advertisements, in steps of 10ms; with version 2, of 1s. A dead unit is replaced after three to four of them. Left out: 30ms; with version 2, 1s.',
      ),
    version: version().default(3).describe('Of VRRP, over IPv4; IPv6 always has 3.'),
    'first-id': z
      .int()
      .min(1)
      .max(255 - OWN_IDS + 1)
      .default(201)
      .describe(
        'Virtual router id of the even addresses, or of all; that of the odd ones is the next, and the two after it are for nat-addresses.',
      ),
    'virtual-mac': z
      .boolean()
      .default(false)
      .describe(
        'Whether addresses move with a MAC address of their virtual router (00:00:5e:00:01:ID, for IPv6 00:00:5e:00:02:ID; RFC 9568 §7.3), so that hosts need not learn another. Not with peers. Needs macvlan in the kernel, and a network that lets an interface have several MAC addresses.',
      ),
    tracking: trackingSchema.prefault({}),
    'virtual-routers': z
      .record(name(), virtualRouterSchema)
      .default({})
      .describe(
        'Addresses that move by a virtual router of your own, by name. These run also without a pairing, so that the other unit may be any that speaks VRRP.',
      ),
  })
  .superRefine((pair, context) => {
    const refuse = (path: readonly PropertyKey[], code: string, message: string): void => {
      context.addIssue({ code: 'custom', path: [...path], message, params: { code } });
    };
    checkInterval(pair['advertisement-interval'], pair.version, (message) =>
      refuse(['advertisement-interval'], 'value', message),
    );
    const places = new Map<string, string>();
    const addresses = new Map<string, string>();
    const groups = new Map<string, readonly [string, VirtualRouter]>();
    const first = pair['first-id'];
    for (const [routerName, router] of Object.entries(pair['virtual-routers'])) {
      const path = ['virtual-routers', routerName];
      checkInterval(
        router['advertisement-interval'] ?? pair['advertisement-interval'],
        router.version ?? pair.version,
        (message) => {
          const own = router['advertisement-interval'] ?? router.version;
          if (own !== undefined) refuse([...path, 'advertisement-interval'], 'value', message);
        },
      );
      const on = router.interface ?? '';
      const place = `${on} ${router.id}`;
      const spoken = router.version ?? pair.version;
      if (router.password !== undefined && spoken !== 2) {
        refuse([...path, 'password'], 'conflict', 'only version 2 has passwords: remove it');
      }
      const other = places.get(place);
      if (other !== undefined) {
        refuse(
          [...path, 'id'],
          'conflict',
          `${router.id} is already the id of ${quote(other)}${on === '' ? '' : ` on ${on}`}: choose another from 1 to 255`,
        );
      } else if (router.id >= first && router.id < first + OWN_IDS) {
        refuse(
          [...path, 'id'],
          'conflict',
          `${router.id} is for the addresses that move by themselves: choose another, or change first-id`,
        );
      }
      places.set(place, routerName);
      for (const [index, address] of router.addresses.entries()) {
        const owner = addresses.get(address);
        if (owner !== undefined && owner !== routerName) {
          refuse(
            [...path, 'addresses', index],
            'conflict',
            `${address} already moves with ${quote(owner)}: remove it from one of them`,
          );
        }
        addresses.set(address, routerName);
      }
      if (router.group === undefined) continue;
      const [leader, like] = groups.get(router.group) ?? [routerName, router];
      groups.set(router.group, [leader, like]);
      if (wishes(like) !== wishes(router)) {
        refuse(
          [...path, 'group'],
          'conflict',
          `has other units in front than ${quote(leader)} of the same group: give both the same prefer or priorities`,
        );
      }
    }
  })
  .describe('How the addresses of services move between the two units of a pair.');

export type VirtualRouter = z.output<typeof virtualRouterSchema>;
export type Pair = z.output<typeof pairSchema>;
export type TrackingEffect = z.output<ReturnType<typeof effect>>;

/** Of a document that says nothing about it. */
export const usualPair: Pair = pairSchema.parse({});

function checkInterval(
  milliseconds: number | undefined,
  spoken: 2 | 3,
  refuse: (message: string) => void,
): void {
  if (milliseconds === undefined) return;
  if (spoken === 2 && milliseconds % 1000 !== 0) {
    refuse('VRRP version 2 counts in seconds: write a multiple of 1s, or use version 3');
  } else if (milliseconds % 10 !== 0) {
    refuse('VRRP counts in hundredths of a second: write a multiple of 10ms');
  }
}

/** Which unit a router wants in front, as text. */
function wishes({ prefer, priorities }: VirtualRouter): string {
  return JSON.stringify([prefer ?? null, Object.entries(priorities ?? {}).sort()]);
}
