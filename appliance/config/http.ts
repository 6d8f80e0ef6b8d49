/**
 * What a layer-7 service tells members of the client and of itself: X-Forwarded-*, Forwarded
 * (RFC 7239), Via (RFC 9110 §7.6.3), a request id.
 *
 * Invariant: every text that passes here can be written into a head as it stands.
 */
import { z } from 'zod';
import { editFault, viaFault } from '../l7/http1/edits.js';
import { idFormatFault } from '../l7/http1/request-id.js';
import { textField } from './fields.js';
import { asClause, headerName, isHeaderName } from './http-words.js';
import { parsed, refused, type Parsed } from './parsed.js';

export const upgradeWords = ['none', 'websocket', 'any'] as const;

/** A parser out of a function that says what is wrong. */
function unless(fault: (text: string) => string | null): (text: string) => Parsed<string> {
  return (text) => {
    const wrong = fault(text);
    return wrong === null ? parsed(text) : refused(asClause(wrong));
  };
}

const chain = z.enum(['append', 'set', 'keep', 'remove']);

export const proxyHeadersSchema = z
  .strictObject({
    'x-forwarded-for': chain
      .default('append')
      .describe(
        "X-Forwarded-For: append the client's address to what it sent, set it to that address alone, keep what it sent, or remove it.",
      ),
    'x-forwarded': z
      .enum(['set', 'keep', 'remove'])
      .default('set')
      .describe(
        'X-Forwarded-Proto, -Host and -Port: set them to those of the connection here, keep what the client sent, or remove them.',
      ),
    forwarded: chain.default('remove').describe('Forwarded (RFC 7239), in the same words.'),
    'client-certificate': z
      .enum(['keep', 'remove'])
      .optional()
      .describe(
        'Client-Cert, Client-Cert-Chain and the X-SSL-Client- fields that tell of a certificate, when a client sends them: remove them, or keep them, which is for http behind another proxy that makes them. Left out: remove.',
      ),
    via: textField('a name in Via is text', unless(viaFault), {
      kind: 'name in Via',
      examples: ['weir'],
    })
      .optional()
      .describe('Name of this proxy in Via. Left out: none is written.'),
    'request-id': z
      .strictObject({
        header: headerName()
          .superRefine((field, context) => {
            const fault = isHeaderName(field)
              ? editFault({ action: 'set', name: field, value: '' })
              : null;
            if (fault === null) return;
            const message = asClause(fault);
            context.addIssue({ code: 'custom', message, params: { code: 'value' } });
          })
          .default('X-Request-Id')
          .describe('Header field that has the id.'),
        client: z
          .enum(['keep', 'replace'])
          .default('replace')
          .describe('What becomes of an id that the client sent.'),
        format: textField('a format is text', unless(idFormatFault), {
          kind: 'format of ids',
          examples: ['{unit}-{time}-{counter}'],
        })
          .prefault('{uuid}')
          .describe(
            'What an id looks like; {uuid}, {random}, {counter}, {time}, {unit} and {worker} stand for what they say.',
          ),
      })
      .optional()
      .describe('Gives each request an id, which members and the access log see. Left out: none.'),
  })
  .describe('What members are told of the client and of this proxy.');

export type ProxyHeaders = z.output<typeof proxyHeadersSchema>;

/** What holds for a service without the section. */
export const proxyHeaderDefaults: ProxyHeaders = proxyHeadersSchema.parse({});
