/** The unit itself: its name, the interfaces of the fast path, and how it is managed. */
import { z } from 'zod';
import { prefix, textField, unicastAddress } from './fields.js';
import { metricsSchema } from './metrics.js';
import { interfaceName, line, name } from './basics.js';
import { networkSchema } from './network.js';
import { parsed, refused, type Parsed } from './parsed.js';
import { sshSchema } from './ssh.js';
import { quote } from './words.js';

const workersHelp = 'write auto, or a number from 1 to 256';

/** A name of the time zone database; Node.js has its own copy of it. */
function parseTimeZone(text: string): Parsed<string> {
  const wrong = refused(`${quote(text)} is no time zone: write one such as Europe/Berlin or UTC`);
  if (!/^[A-Za-z][A-Za-z0-9_+-]*(\/[A-Za-z0-9_+-]+){0,2}$/.test(text)) return wrong;
  try {
    new Intl.DateTimeFormat('en', { timeZone: text });
    return parsed(text);
  } catch (error) {
    if (error instanceof RangeError) return wrong;
    throw error;
  }
}

function parseKeyboard(text: string): Parsed<string> {
  return /^[a-z][a-z0-9._-]{0,31}$/i.test(text)
    ? parsed(text)
    : refused(`${quote(text)} is no keyboard layout: write one such as us, de or de-latin1`);
}

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
    'nat-addresses': z
      .array(unicastAddress())
      .max(128)
      .optional()
      .describe(
        'Addresses that full-nat speaks to members from, up to 64 of each family. The unit answers for them. ' +
          'One address has room for 32,256 connections to each member.',
      ),
    'tunnel-source': prefix()
      .optional()
      .describe(
        'IPv4 prefix of the outer source addresses of tunnels; the bits behind it differ from flow to flow, ' +
          'so that receive queues of a member share the work. Left out: 198.18.0.0/15, which no host has.',
      ),
    'tunnel-source-6': prefix()
      .optional()
      .describe('The same for IPv6, at most 96 bits. Left out: 100::/64.'),
    workers: z
      .union([
        z.literal('auto'),
        z.int().min(1, { error: workersHelp }).max(256, { error: workersHelp }),
      ])
      .optional()
      .describe('How many processes serve proxied services. Left out: auto, one for each core.'),
    'worker-connections': z
      .int()
      .min(256)
      .max(1_000_000)
      .optional()
      .describe(
        'Most connections of each of them, to clients and members together: a client needs one, and mostly one to a member. Left out: 32768.',
      ),
    metrics: metricsSchema.optional(),
    'time-zone': textField('a time zone is text, such as Europe/Berlin', parseTimeZone, {
      kind: 'time zone',
      examples: ['Europe/Berlin', 'UTC'],
    })
      .optional()
      .describe('Time zone of the unit, by its IANA name. Left out: as the host has it.'),
    keyboard: textField('a keyboard layout is text, such as de', parseKeyboard, {
      kind: 'keyboard layout',
      examples: ['us', 'de'],
    })
      .optional()
      .describe('Layout of the keyboard at the console. Left out: as the host has it.'),
    network: networkSchema.optional(),
    ssh: sshSchema.optional(),
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
    const refuse = (key: string, message: string): void => {
      context.addIssue({ code: 'custom', path: [key], message, params: { code: 'value' } });
    };
    if (unit['tunnel-source']?.includes(':') === true) {
      refuse('tunnel-source', 'must be an IPv4 prefix, such as 198.18.0.0/15');
    }
    const source6 = unit['tunnel-source-6'];
    if (source6 !== undefined && !(source6.includes(':') && Number(source6.split('/')[1]) <= 96)) {
      refuse('tunnel-source-6', 'must be an IPv6 prefix of at most 96 bits, such as 100::/64');
    }
    for (const six of [false, true]) {
      const count = (unit['nat-addresses'] ?? []).filter((a) => a.includes(':') === six).length;
      if (count > 64)
        refuse('nat-addresses', `has ${count} IPv${six ? 6 : 4} addresses: at most 64`);
    }
  })
  .describe('This box.');

export type Unit = z.output<typeof unitSchema>;
