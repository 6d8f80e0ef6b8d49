/**
 * The pair: two units, one of which holds each virtual router's addresses (VRRPv3,
 * RFC 9568).
 *
 * Invariant: the same pair section fits both units; what differs between them is
 * looked up by the unit's name.
 */
import { z } from 'zod';
import { duration, unicastAddress } from './fields.js';
import { interfaceName, name } from './basics.js';

export const virtualRouterSchema = z
  .strictObject({
    id: z
      .int()
      .min(1)
      .max(255)
      .describe('Virtual router identifier; one on each link (RFC 9568 §5.2.3).'),
    interface: interfaceName().describe('Interface that the router lives on.'),
    addresses: z
      .array(unicastAddress())
      .min(1)
      .max(255)
      .describe('Addresses that the active unit holds, besides those of the services.'),
    priorities: z
      .record(name(), z.int().min(1).max(254))
      .describe('Priority of each unit by its name; the higher one is active while both are well.'),
  })
  .describe('One group of addresses that moves between the units.');

export const pairSchema = z
  .strictObject({
    peer: name().describe('Name of the other unit.'),
    links: z
      .array(
        z
          .strictObject({
            interface: interfaceName().describe('Interface of this unit.'),
            address: unicastAddress().describe("This unit's address on the link."),
            peer: unicastAddress().describe("The other unit's address on the link."),
          })
          .describe('One cable or network between the units.'),
      )
      .min(1)
      .max(8)
      .describe(
        'Links between the units, for replication and to tell a dead unit from a cut cable.',
      ),
    preempt: z
      .boolean()
      .default(true)
      .describe('Whether the unit of higher priority takes over again when it comes back.'),
    'preempt-delay': duration({ min: '0s', max: '1h' })
      .prefault('0s')
      .describe('How long it waits before it does.'),
    'advertisement-interval': duration({ min: '10ms', max: '40s' })
      .prefault('1s')
      .describe(
        'Time between advertisements, in steps of 10ms (RFC 9568 §5.2.7). A takeover takes about three of them.',
      ),
    'virtual-routers': z
      .record(name(), virtualRouterSchema)
      .describe('Groups of addresses that move between the units, by name.'),
  })
  .superRefine((pair, context) => {
    if (pair['advertisement-interval'] % 10 !== 0) {
      context.addIssue({
        code: 'custom',
        path: ['advertisement-interval'],
        message: 'VRRP counts in hundredths of a second: write a multiple of 10ms',
        params: { code: 'value' },
      });
    }
    const seen = new Map<string, string>();
    for (const [routerName, router] of Object.entries(pair['virtual-routers'])) {
      const place = `${router.interface} ${router.id}`;
      const other = seen.get(place);
      if (other !== undefined) {
        context.addIssue({
          code: 'custom',
          path: ['virtual-routers', routerName, 'id'],
          message: `${router.id} is already the id of "${other}" on ${router.interface}: choose another from 1 to 255`,
          params: { code: 'conflict' },
        });
      }
      seen.set(place, routerName);
    }
  })
  .describe('The other unit, and which addresses move between the two.');

export type VirtualRouter = z.output<typeof virtualRouterSchema>;
export type Pair = z.output<typeof pairSchema>;
