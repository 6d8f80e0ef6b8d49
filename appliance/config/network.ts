/**
 * The unit's own network: links, addresses, routes, resolvers and time. It belongs to `unit`, so it is
 * never replicated to the other unit of a pair.
 */
import { z } from 'zod';
import { anyAddress, duration, prefix, refuseRepeats, unicastAddress } from './fields.js';
import { hostName, interfaceName, line } from './basics.js';
import { parsePrefix } from './addresses.js';
import { parsed } from './parsed.js';
import { textField } from './fields.js';

const bondModes = ['active-backup', '802.3ad', 'balance-xor'] as const;
export type BondMode = (typeof bondModes)[number];
const hashPolicies = ['layer2', 'layer2+3', 'layer3+4'] as const;
export type BondHashPolicy = (typeof hashPolicies)[number];

const bondSchema = z
  .strictObject({
    members: z
      .array(interfaceName())
      .min(1)
      .max(16)
      .superRefine(refuseRepeats)
      .describe('Its ports, at least one.'),
    mode: z
      .enum(bondModes)
      .default('active-backup')
      .describe('802.3ad needs LACP at the switch; balance-xor a static trunk there.'),
    'monitor-interval': duration({ min: '10ms', max: '10s' })
      .default(100)
      .describe('How often the link state of each port is looked at.'),
    'hash-policy': z
      .enum(hashPolicies)
      .optional()
      .describe('What chooses the port of a packet; not of active-backup. Left out: layer2.'),
    'lacp-rate': z
      .enum(['slow', 'fast'])
      .optional()
      .describe('How often the switch is asked to speak, 30s or 1s; 802.3ad only. Left out: slow.'),
    primary: interfaceName()
      .optional()
      .describe('The port preferred while it works; active-backup only.'),
  })
  .superRefine((bond, context) => {
    const refuse = (key: string, message: string): void => {
      context.addIssue({ code: 'custom', path: [key], message, params: { code: 'conflict' } });
    };
    const { mode, members, primary } = bond;
    if (bond['lacp-rate'] !== undefined && mode !== '802.3ad')
      refuse('lacp-rate', `means nothing with mode ${mode}: remove it or use 802.3ad`);
    if (bond['hash-policy'] !== undefined && mode === 'active-backup')
      refuse('hash-policy', 'means nothing with mode active-backup: remove it');
    if (primary === undefined) return;
    if (mode !== 'active-backup')
      refuse('primary', `means nothing with mode ${mode}: remove it or use active-backup`);
    else if (!members.includes(primary))
      refuse('primary', `is none of the bond's members (${members.join(', ')}): name one of them`);
  })
  .describe('Makes this interface a bond of others.');

const interfaceSchema = z
  .strictObject({
    description: line(200).optional().describe('A note for people.'),
    addresses: z
      .array(prefix())
      .max(64)
      .optional()
      .describe('Addresses of the unit there, each with the prefix length of its network.'),
    mtu: z
      .int()
      .min(576)
      .max(65_535)
      .optional()
      .describe('Longest packet in bytes; IPv6 needs 1280. Left out: as it is.'),
    bond: bondSchema.optional(),
    vlan: z
      .strictObject({
        link: interfaceName().describe('The interface that carries the tagged frames.'),
        id: z.int().min(1).max(4094).describe('VLAN identifier (IEEE 802.1Q).'),
      })
      .optional()
      .describe('Makes this interface a VLAN of another one.'),
  })
  .describe('One interface, by its name. It is set up; bonds and VLANs are made.');

/** `default`, or a prefix whose host bits are zero. */
function routeTarget() {
  return textField(
    'a destination is text: default, or a prefix such as 10.0.0.0/8',
    (text) => {
      if (text === 'default') return parsed(text);
      const result = parsePrefix(text);
      return result.ok ? parsed(result.value.text) : result;
    },
    { kind: '`default` or prefix', examples: ['default', '10.0.0.0/8'] },
  );
}

const routeSchema = z
  .strictObject({
    to: routeTarget().describe('Where to: default, or a network.'),
    via: anyAddress()
      .optional()
      .describe('The router, in a network of this unit. Left out: hosts there are on the link.'),
    device: interfaceName()
      .optional()
      .describe('Interface to leave by. Left out: the one whose network holds the router.'),
    metric: z
      .int()
      .min(1)
      .max(4_294_967_295)
      .optional()
      .describe('Of routes to the same destination the lowest is taken. Left out: the kernel’s.'),
  })
  .describe('One route of the main table.');

export const networkSchema = z
  .strictObject({
    interfaces: z
      .record(interfaceName(), interfaceSchema)
      .default({})
      .describe('Interfaces of the unit by name; those left out are not touched.'),
    routes: z.array(routeSchema).max(1024).optional().describe('Routes of the unit.'),
    management: interfaceName()
      .optional()
      .describe(
        'Interface that the unit is managed by; it carries no service traffic, so it is not in unit.interfaces.',
      ),
    dns: z
      .strictObject({
        servers: z
          .array(anyAddress())
          .min(1)
          .max(3)
          .superRefine(refuseRepeats)
          .describe('Resolvers, asked in this order.'),
        search: z
          .array(hostName())
          .max(6)
          .optional()
          .describe('Domains that short names are looked for in.'),
      })
      .optional()
      .describe('How the unit looks up names. Left out: as the operating system has it.'),
    ntp: z
      .strictObject({
        servers: z
          .array(z.union([unicastAddress(), hostName()]))
          .min(1)
          .max(8)
          .superRefine(refuseRepeats)
          .describe('Time servers, by address or name.'),
      })
      .optional()
      .describe('Where the unit has its time from. Left out: as the operating system has it.'),
  })
  .describe(
    'The network of the unit itself. What Weir makes of it carries its mark; what others made is left alone. Left out: the host’s network is not touched.',
  );

export type UnitNetworkIntent = z.output<typeof networkSchema>;
export type NetworkInterface = UnitNetworkIntent['interfaces'][string];
export type BondSettings = z.output<typeof bondSchema>;
export type NetworkRoute = NonNullable<UnitNetworkIntent['routes']>[number];
