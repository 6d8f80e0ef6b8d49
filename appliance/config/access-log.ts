/**
 * Where a layer-7 service writes what it served: a file, or syslog (RFC 5424).
 *
 * Invariant: one service has one target, and no path is relative.
 */
import { isAbsolute, normalize } from 'node:path';
import { z } from 'zod';
import { parseEndpoint } from './addresses.js';
import { size, textField } from './fields.js';
import { parsed, refused, type Parsed } from './parsed.js';
import { fineShare } from './share.js';
import { quote } from './words.js';

function isPath(text: string): boolean {
  return (
    isAbsolute(text) &&
    normalize(text) === text &&
    !text.endsWith('/') &&
    text.length <= 1024 &&
    !/[\p{Cc}]/u.test(text)
  );
}

function parseFile(text: string): Parsed<string> {
  return isPath(text)
    ? parsed(text)
    : refused(`${quote(text)} is no full path of a file: write one such as /var/log/weir/shop.log`);
}

function parseSyslog(text: string): Parsed<string> {
  if (text.startsWith('/') && isPath(text)) return parsed(text);
  const endpoint = parseEndpoint(text);
  return endpoint.ok && endpoint.value.port !== 0
    ? parsed(text)
    : refused(
        `${quote(text)} is nowhere that syslog listens: write a socket such as /dev/log, or 192.0.2.7:514`,
      );
}

export const accessLogSchema = z
  .strictObject({
    format: z
      .enum(['json', 'combined'])
      .default('json')
      .describe('json: one object a line. combined: as Apache and nginx write it.'),
    file: textField('a path is text', parseFile, {
      kind: 'full path of a file',
      examples: ['/var/log/weir/shop.log'],
    })
      .optional()
      .describe('File to write to.'),
    syslog: textField('an address is text', parseSyslog, {
      kind: 'path of a socket, or address and port',
      examples: ['/dev/log', '192.0.2.7:514'],
    })
      .optional()
      .describe('Where syslog listens, in place of a file: a Unix socket, or UDP.'),
    sample: fineShare()
      .prefault('100%')
      .describe('Share of the requests that is logged, picked at random.'),
    rotate: z
      .strictObject({
        size: size({ min: '1MiB', max: '1TiB' })
          .prefault('100MiB')
          .describe('Size from which on a file gives way to a new one.'),
        keep: z.int().min(0).max(1000).default(5).describe('How many old files stay.'),
      })
      .prefault({})
      .describe('When files give way to new ones.'),
  })
  .superRefine((log, context) => {
    if ((log.file === undefined) !== (log.syslog === undefined)) return;
    context.addIssue({
      code: 'custom',
      message:
        log.file === undefined
          ? 'says not where to write: add "file" or "syslog"'
          : 'has file and syslog, only one can be written to: keep one',
      params: { code: log.file === undefined ? 'missing' : 'conflict' },
    });
  })
  .describe(
    'Writes down what was served (proxied services). Never holds up a request. Left out: nothing.',
  );

export type AccessLog = z.output<typeof accessLogSchema>;
