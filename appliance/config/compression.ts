/**
 * Compression of answers (RFC 9110 §8.4, §12.5.3), as far as the client and the member allow it.
 *
 * Invariant: an answer that has a coding already, or forbids changes, is left as it is.
 */
import { z } from 'zod';
import { refuseRepeats, size, textField } from './fields.js';
import { parsed, refused, type Parsed } from './parsed.js';
import { quote } from './words.js';

export const codings = ['zstd', 'br', 'gzip'] as const;

function parseMediaType(text: string): Parsed<string> {
  const lower = text.toLowerCase();
  const token = "[a-z0-9!#$&^_.+'-]+";
  return lower.length <= 128 && new RegExp(`^${token}/(?:\\*|${token})$`).test(lower)
    ? parsed(lower)
    : refused(`${quote(text)} is no media type: write one such as text/html or text/*`);
}

const mediaType = () =>
  textField('a media type is text', parseMediaType, {
    kind: 'media type',
    examples: ['text/*', 'application/json'],
  });

export const compressionSchema = z
  .strictObject({
    codings: z
      .array(z.enum(codings))
      .min(1)
      .max(codings.length)
      .superRefine(refuseRepeats)
      .default([...codings])
      .describe(
        'Which ones, the preferred first where the client has no preference. One that the Node.js of the unit does not have (zstd before 22.15) is left out.',
      ),
    'minimum-size': size({ min: '0B', max: '1GiB' })
      .prefault('1KiB')
      .describe('Smaller answers are left as they are; those of unknown length are not.'),
    types: z
      .array(mediaType())
      .min(1)
      .max(64)
      .prefault([
        'text/*',
        'application/json',
        'application/javascript',
        'application/xml',
        'application/xhtml+xml',
        'application/wasm',
        'image/svg+xml',
      ])
      .describe('Media types of answers that are compressed.'),
  })
  .describe('Compresses answers for clients that take it (http and https). Left out: none.');

export type Compression = z.output<typeof compressionSchema>;
