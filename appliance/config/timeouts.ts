/**
 * How long a proxied service waits for what.
 *
 * Invariant: the defaults stand here once, for the reference and for the compiler.
 */
import { z } from 'zod';
import { byteRate, duration } from './fields.js';
import { parseByteRate, parseDuration } from './units-of-measure.js';

const defaults = {
  'request-head': '10s',
  idle: '30s',
  'keep-alive': '60s',
  'slowest-body': '500B/s',
  connect: '5s',
  response: '60s',
  tunnel: '1h',
} as const;

type Key = keyof typeof defaults;
export type Timeouts = Readonly<Record<Key, number>>;

/** Milliseconds; `slowest-body` in bytes per second. */
export const timeoutDefaults: Timeouts = {
  'request-head': milliseconds('request-head'),
  idle: milliseconds('idle'),
  'keep-alive': milliseconds('keep-alive'),
  'slowest-body': bytesPerSecond('slowest-body'),
  connect: milliseconds('connect'),
  response: milliseconds('response'),
  tunnel: milliseconds('tunnel'),
};

function milliseconds(key: Key): number {
  const result = parseDuration(defaults[key]);
  if (!result.ok) throw new RangeError(result.message);
  return result.value;
}

function bytesPerSecond(key: Key): number {
  const result = parseByteRate(defaults[key]);
  if (!result.ok) throw new RangeError(result.message);
  return result.value;
}

function timeout(key: Key, max: string, text: string) {
  return duration({ min: '100ms', max }).optional().describe(`${text} Left out: ${defaults[key]}.`);
}

export const timeoutsSchema = z
  .strictObject({
    'request-head': timeout(
      'request-head',
      '1h',
      'For the head of a request, from its first byte or, on a new connection, from its beginning; with tls, for the name that the client asks for. Over it: 408.',
    ),
    idle: timeout(
      'idle',
      '1h',
      'Between two bytes of a body, in either direction (http and https).',
    ),
    'keep-alive': timeout(
      'keep-alive',
      '1d',
      'Between two requests of a connection (http and https).',
    ),
    'slowest-body': byteRate({ min: '1B/s', max: '1GB/s' })
      .optional()
      .describe(
        `The slowest that the body of a request may come as a whole, against clients that send drop by drop (http and https). Left out: ${defaults['slowest-body']}.`,
      ),
    connect: timeout('connect', '5m', 'To connect to a member.'),
    response: timeout(
      'response',
      '1d',
      'For the head of the answer of a member (http and https). Over it: 504.',
    ),
    tunnel: timeout(
      'tunnel',
      '7d',
      'Of a WebSocket, another tunnel, or a connection of tls and tcp, without a byte in either direction.',
    ),
  })
  .describe('How long a proxied service waits for what.');
