/**
 * Access lists: who may use a service. A list is written in the document, read from a file, or
 * both; a service names the lists that it allows and those that it denies. The longest prefix
 * that holds the client decides; of equal ones deny wins.
 *
 * Invariant: after parsing, prefixes are packed (control/access-sets.ts reads them as they are),
 * so no tier reads the text again.
 */
import { z } from 'zod';
import { line, name } from './basics.js';
import { textField } from './fields.js';
import { parsePrefixKey } from './prefix-key.js';
import { parseTime } from './time.js';

/** A time such as `2026-12-31T00:00:00Z`, read as milliseconds since 1970. */
export function time() {
  return textField('a time is text, such as "2026-12-31T00:00:00Z"', parseTime, {
    kind: 'time',
    examples: ['2026-12-31T00:00:00Z'],
  });
}

export const accessListSchema = z
  .strictObject({
    description: line(200).optional().describe('A note for people.'),
    prefixes: z
      .array(
        textField('a prefix is text, such as 10.0.0.0/8', parsePrefixKey, {
          kind: 'prefix, or an address alone',
          examples: ['10.0.0.0/8', '2001:db8::/32', '192.0.2.7'],
        }),
      )
      .max(10_000)
      .default([])
      .describe('Prefixes of the list. For more than 10,000 use a file.'),
    file: z
      .string()
      .max(4096)
      .regex(/^\/[^\0]+$/, { error: 'write the absolute path of a file' })
      .optional()
      .describe(
        'Absolute path of a file with more: one prefix a line, comments after "#" or ";", and optionally ' +
          '"expires=TIME" after the prefix. At most 500,000 prefixes and 32 MiB. It is read again when it changes; ' +
          'while it has an error the last good content counts, and an alarm names the line.',
      ),
    expires: time().optional().describe('From then on the list holds nothing. Left out: it stays.'),
  })
  .superRefine((list, context) => {
    if (list.prefixes.length > 0 || list.file !== undefined) return;
    context.addIssue({
      code: 'custom',
      path: [],
      message: 'the list is empty: write "prefixes", "file" or both',
      params: { code: 'missing' },
    });
  })
  .describe('Prefixes of clients, for services to allow or to deny.');

export const accessSchema = z
  .strictObject({
    allow: z
      .array(name())
      .min(1)
      .max(64)
      .optional()
      .describe('Access lists whose clients may come. When any is named, nobody else may.'),
    deny: z
      .array(name())
      .min(1)
      .max(64)
      .optional()
      .describe('Access lists whose clients may not come.'),
  })
  .superRefine((access, context) => {
    if (access.allow !== undefined || access.deny !== undefined) return;
    context.addIssue({
      code: 'custom',
      path: [],
      message: 'names no list: write "allow", "deny" or both, or remove it',
      params: { code: 'missing' },
    });
  })
  .describe(
    'Who may use the service (tcp and udp). The longest prefix that holds the client decides, of all lists ' +
      'together; of equal prefixes deny wins.',
  );

export type AccessList = z.output<typeof accessListSchema>;
export type Access = z.output<typeof accessSchema>;
