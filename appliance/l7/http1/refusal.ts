/**
 * Answers that Weir gives itself: to refused requests, and 100 Continue. RFC 9110 §15.
 *
 * Invariant: made when the module loads, from constants alone: nothing of a request is in
 * an answer. Every refusal ends the connection, since where the next request begins is
 * in doubt.
 */
import { faults, type Fault } from './faults.js';
import { octets } from './octets.js';
import { pathFaults } from './path.js';

const reasons: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  413: 'Content Too Large',
  414: 'URI Too Long',
  417: 'Expectation Failed',
  431: 'Request Header Fields Too Large',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  505: 'HTTP Version Not Supported',
};

export interface Refusal {
  readonly head: Uint8Array;
  /** Left out when the request was HEAD. */
  readonly body: Uint8Array;
}

function refusal(status: number, text: string): Refusal {
  const body = octets(`${text}\n`);
  const head = octets(
    [
      `HTTP/1.1 ${status} ${reasons[status] ?? 'Error'}`,
      'Content-Type: text/plain',
      `Content-Length: ${body.length}`,
      'Cache-Control: no-store',
      'Connection: close',
      '',
      '',
    ].join('\r\n'),
  );
  return { head, body };
}

const all = new Map<Fault, Refusal>();
for (const fault of [...Object.values(faults), ...Object.values(pathFaults)]) {
  all.set(fault, refusal(fault.status, fault.sentence));
}

/** To a client whose request, or its path, was refused. */
export function refusalOf(fault: Fault): Refusal {
  return all.get(fault) ?? badGateway;
}

/** To a client when the response of a member was refused; why is for the log only. */
export const badGateway = refusal(502, 'The answer of the server could not be understood.');

/** To a client that waits before it sends its body. */
export const continueAnswer = octets('HTTP/1.1 100 Continue\r\n\r\n');
