/**
 * What a client gets that a limit holds back: 429 (RFC 6585 §4) where its own requests are too
 * many, 503 (RFC 9110 §15.6.4) where the service has no room, both with Retry-After in seconds,
 * rounded up (RFC 9110 §10.2.3).
 *
 * Invariant: nothing of a request is in an answer, and nothing is allocated for one.
 */
import { octets } from '../http1/octets.js';
import type { Writer } from '../http1/writer.js';

interface ReadyAnswer {
  /** Up to the digits of Retry-After. */
  readonly start: Uint8Array;
  readonly body: Uint8Array;
}

function ready(status: string, sentence: string): ReadyAnswer {
  const body = octets(`${sentence}\n`);
  const lines = [
    `HTTP/1.1 ${status}`,
    'Content-Type: text/plain',
    `Content-Length: ${body.length}`,
    'Cache-Control: no-store',
    'Retry-After: ',
  ];
  return { start: octets(lines.join('\r\n')), body };
}

const tooMany = ready('429 Too Many Requests', 'Too many requests: try again later.');
const unavailable = ready(
  '503 Service Unavailable',
  'The service has no room at the moment: try again later.',
);

const close = octets('\r\nConnection: close');
const keepAlive = octets('\r\nConnection: keep-alive');
const end = octets('\r\n\r\n');

export interface AnswerTo {
  /** Of the request: 1 for HTTP/1.1. */
  readonly minor: number;
}

/** Whole seconds, at least one: "at once" would be wrong in any case. */
export function retrySeconds(milliseconds: number): number {
  return milliseconds <= 1000 ? 1 : Math.ceil(milliseconds / 1000);
}

/** 429: `wait` is what Limiter.take said. `persistent`: the client's connection goes on. */
export function writeTooMany(
  writer: Writer,
  wait: number,
  request: AnswerTo,
  isHead: boolean,
  persistent: boolean,
): void {
  write(writer, tooMany, wait, request.minor, isHead, persistent);
}

/** 503 with the milliseconds after which it is worth another try. */
export function writeUnavailable(
  writer: Writer,
  wait: number,
  request: AnswerTo,
  isHead: boolean,
  persistent: boolean,
): void {
  write(writer, unavailable, wait, request.minor, isHead, persistent);
}

function write(
  writer: Writer,
  answer: ReadyAnswer,
  wait: number,
  minor: number,
  isHead: boolean,
  persistent: boolean,
): void {
  writer.all(answer.start);
  writer.decimal(retrySeconds(wait));
  if (!persistent) writer.all(close);
  else if (minor === 0) writer.all(keepAlive);
  writer.all(end);
  if (!isHead) writer.all(answer.body);
}
