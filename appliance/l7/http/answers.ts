/**
 * Answers of Weir's own that no route asks for: 404, 502, 503, 504 and the like (RFC 9110 §15).
 *
 * Invariant: whole before a request needs them. Those that end the connection say so.
 */
import { octets } from '../http1/octets.js';

export interface Answer {
  readonly status: number;
  /** Heads with their empty line, for a connection that goes on and for one that ends. */
  readonly keep: Uint8Array;
  readonly close: Uint8Array;
  /** Left out for HEAD. */
  readonly body: Uint8Array;
}

export function answer(
  status: number,
  reason: string,
  text: string,
  fields: readonly string[] = [],
): Answer {
  return answerOf(status, reason, 'text/plain', octets(`${text}\n`), fields);
}

export function answerOf(
  status: number,
  reason: string,
  type: string,
  body: Uint8Array,
  fields: readonly string[] = [],
): Answer {
  const head = (connection: readonly string[]): Uint8Array =>
    octets(
      [
        `HTTP/1.1 ${status} ${reason}`,
        `Content-Type: ${type}`,
        `Content-Length: ${body.length}`,
        'Cache-Control: no-store',
        ...fields,
        ...connection,
        '',
        '',
      ].join('\r\n'),
    );
  return { status, keep: head([]), close: head(['Connection: close']), body };
}

export const answers = {
  noRoute: answer(404, 'Not Found', 'No route of this service takes the request.'),
  badGateway: answer(502, 'Bad Gateway', 'The server could not be reached or gave no answer.'),
  badResponse: answer(502, 'Bad Gateway', 'The answer of the server could not be understood.'),
  noMember: answer(503, 'Service Unavailable', 'No server can take the request now.', [
    'Retry-After: 1',
  ]),
  busy: answer(503, 'Service Unavailable', 'All servers are busy.', ['Retry-After: 1']),
  overloaded: answer(503, 'Service Unavailable', 'The load balancer is out of memory.', [
    'Retry-After: 1',
  ]),
  gatewayTimeout: answer(504, 'Gateway Timeout', 'The server did not answer in time.'),
} as const;
