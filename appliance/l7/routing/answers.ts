/**
 * Answers of routes without a member: redirects (RFC 9110 §10.2.2 and §15.4) and fixed responses.
 *
 * Invariant: nothing of a request is in an answer but what uri-text.ts and a checked host write
 * into Location; each has one framing, and no body where its status or HEAD forbids it.
 */
import { editFault, noEdits, type Edits } from '../http1/edits.js';
import { method } from '../http1/methods.js';
import { octets, SLASH } from '../http1/octets.js';
import type { RequestHead } from '../http1/request-head.js';
import type { Writer } from '../http1/writer.js';
import { reasonOf } from './reasons.js';
import type { RequestParts } from './request-parts.js';
import { inUri, uriOctets, writePathFrom, writeQuery } from './uri-text.js';

const text = {
  date: octets('Date'),
  location: octets('Location'),
  noLength: octets('Content-Length: 0\r\n'),
  close: octets('Connection: close\r\n'),
  keepAlive: octets('Connection: keep-alive\r\n'),
};
const nothing = new Uint8Array(0);
const QUESTION = 0x3f;

/** The second of now as Date writes it (RFC 9110 §5.6.7), made once a second. */
export class HttpDate {
  readonly bytes = new Uint8Array(29);

  /** Milliseconds since 1970. */
  set(now: number): void {
    this.bytes.set(octets(new Date(now).toUTCString()));
  }
}

function statusLine(status: number): Uint8Array {
  return octets(`HTTP/1.1 ${status} ${reasonOf(status)}\r\n`);
}

function writeEnd(
  writer: Writer,
  head: RequestHead,
  persistent: boolean,
  date: HttpDate | null,
  edits: Edits,
  hasDate: boolean,
): void {
  if (date !== null && !hasDate) {
    writer.name(text.date);
    writer.all(date.bytes);
    writer.lineEnd();
  }
  if (!persistent) writer.all(text.close);
  else if (head.minor === 0) writer.all(text.keepAlive);
  writer.all(edits.lines);
  writer.lineEnd();
}

type Place = 'host' | 'path' | 'query';

class Piece {
  constructor(
    readonly place: Place | null,
    readonly literal: Uint8Array,
    /** Before a path: whether its slash is written already. Before a query: its "?". */
    readonly joined: boolean,
  ) {}
}

/** `to` of a redirect in pieces. Throws RangeError for what the configuration's checks refuse. */
function piecesOf(to: string): readonly Piece[] {
  let before = '';
  return to
    .split(/(\{[^{}]*\})/)
    .filter((part) => part !== '')
    .map((part) => {
      const written = before;
      before += part;
      if (part === '{host}') return new Piece('host', nothing, false);
      if (part === '{path}') return new Piece('path', nothing, written.endsWith('/'));
      if (part === '{query}') return new Piece('query', nothing, written.includes('?'));
      if (/[{}]/.test(part)) throw new RangeError(`there is no "${part}" in a redirect`);
      return new Piece(null, uriOctets(part), false);
    });
}

export class RedirectTemplate {
  private readonly line: Uint8Array;
  private readonly pieces: readonly Piece[];
  private readonly fallbackHost: Uint8Array;
  private readonly hasDate: boolean;

  /** `fallbackHost` is for requests of HTTP/1.0 that name none, mostly the service's address. */
  constructor(
    to: string,
    readonly status: number,
    fallbackHost: string,
    private readonly edits: Edits = noEdits,
  ) {
    this.line = statusLine(status);
    this.pieces = piecesOf(to);
    this.fallbackHost = octets(fallbackHost.includes(':') ? `[${fallbackHost}]` : fallbackHost);
    this.hasDate = edits.names('date');
  }

  /** The whole answer, which has no body. `parts` began with this request. */
  write(
    writer: Writer,
    head: RequestHead,
    bytes: Uint8Array,
    parts: RequestParts,
    persistent: boolean,
    date: HttpDate | null,
  ): void {
    writer.all(this.line);
    writer.name(text.location);
    const pieces = this.pieces;
    for (let i = 0; i < pieces.length; i += 1) {
      const piece = pieces[i];
      if (piece !== undefined) this.writePiece(writer, piece, head, bytes, parts);
    }
    writer.lineEnd();
    writer.all(text.noLength);
    writeEnd(writer, head, persistent, date, this.edits, this.hasDate);
  }

  private writePiece(
    writer: Writer,
    piece: Piece,
    head: RequestHead,
    bytes: Uint8Array,
    parts: RequestParts,
  ): void {
    switch (piece.place) {
      case null:
        writer.all(piece.literal);
        break;
      case 'host':
        if (parts.hostEnd > 0) writer.copy(parts.host, 0, parts.hostEnd);
        else writer.all(this.fallbackHost);
        break;
      case 'path':
        if (!piece.joined) writer.octet(SLASH);
        writePathFrom(writer, head, bytes, parts, 0, inUri);
        break;
      case 'query':
        writeQuery(writer, head, bytes, parts, piece.joined ? 0 : QUESTION, inUri);
        break;
    }
  }
}

export interface FixedText {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  /** Seconds. */
  readonly retryAfter: number | null;
}

export class FixedAnswer {
  readonly status: number;
  /** What follows the head, but for HEAD. */
  readonly body: Uint8Array;
  private readonly start: Uint8Array;
  private readonly hasDate: boolean;

  /** Throws RangeError when the type cannot be written into a head. */
  constructor(
    answer: FixedText,
    private readonly edits: Edits = noEdits,
  ) {
    const { status, contentType, retryAfter } = answer;
    const fault = editFault({ action: 'set', name: 'Content-Type', value: contentType });
    if (fault !== null) throw new RangeError(fault);
    const bodiless = status < 200 || status === 204 || status === 205 || status === 304;
    this.status = status;
    this.body = bodiless ? nothing : Uint8Array.from(Buffer.from(answer.body, 'utf8'));
    const lines: string[] = [];
    if (this.body.length > 0 && !edits.names('content-type')) {
      lines.push(`Content-Type: ${contentType}`);
    }
    if (retryAfter !== null && !edits.names('retry-after')) {
      lines.push(`Retry-After: ${Math.ceil(retryAfter)}`);
    }
    // RFC 9110 §8.6: 204 must not have it; in 304 it would be the length of another answer.
    if (status >= 200 && status !== 204 && status !== 304) {
      lines.push(`Content-Length: ${this.body.length}`);
    }
    const head = Buffer.from(lines.map((line) => `${line}\r\n`).join(''), 'utf8');
    this.start = Uint8Array.from(Buffer.concat([statusLine(status), head]));
    this.hasDate = edits.names('date');
  }

  writeHead(writer: Writer, head: RequestHead, persistent: boolean, date: HttpDate | null): void {
    writer.all(this.start);
    writeEnd(writer, head, persistent, date, this.edits, this.hasDate);
  }

  /** What follows the head in an answer to this request. */
  bodyFor(head: RequestHead): Uint8Array {
    return head.method === method.head ? nothing : this.body;
  }
}
