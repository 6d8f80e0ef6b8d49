/** The unit itself: its name, the interfaces of the fast path, and how it is managed. */
import { z } from 'zod';
import { anyAddress, prefix, unicastAddress } from './fields.js';
import { hostName, interfaceName, line, name } from './basics.js';

export const unitSchema = z
  .strictObject({
    name: name().describe('Name of this unit, unique within a pair.'),
    description: line(200).optional().describe('A note for people.'),
    interfaces: z
      .array(interfaceName())
      .max(64)
      .optional()
      .describe(
        'Interfaces that carry service traffic; a VLAN device stands for the one below it, a port of a bond for the bond. Left out: those whose network holds a service or member address.',
      ),
    management: z
      .strictObject({
        interface: interfaceName().describe(
          'Interface for management; it carries no service traffic.',
        ),
        addresses: z
          .array(prefix())
          .min(1)
          .max(16)
          .optional()
          .describe('Addresses with prefix length. Left out: by DHCP and router advertisements.'),
        gateway: unicastAddress().optional().describe('Default router for management.'),
        'name-servers': z.array(anyAddress()).max(8).optional().describe('DNS resolvers.'),
        'time-servers': z.array(hostName()).max(8).optional().describe('NTP servers.'),
      })
      .optional()
      .describe('How the unit itself is reached. Left out: as the operating system has it.'),
  })
  .superRefine((unit, context) => {
    const index = unit.interfaces?.findIndex((item, at, all) => all.indexOf(item) !== at) ?? -1;
    if (index >= 0) {
      context.addIssue({
        code: 'custom',
        path: ['interfaces', index],
        message: 'is already in the list: remove it',
        params: { code: 'conflict' },
      });
    }
  })
  .describe('This box.');

export type Unit = z.output<typeof unitSchema>;
