/**
 * Reads a stream of requests or responses with the codec as a worker does, in pieces, and
 * says in one line what it was taken for: `METHOD target` or the status, the body, then
 * `close`, `continue`, `websocket`, `upgrade`, messages separated by ` | `; a refusal is
 * its status and code, `more` an unfinished message.
 */
import { upgradeKind } from '../../appliance/l7/http1/connection.js';
import { ChunkDecoder, chunkStep } from '../../appliance/l7/http1/chunked.js';
import { progress, type Fault } from '../../appliance/l7/http1/faults.js';
import type { FieldSection } from '../../appliance/l7/http1/fields.js';
import { latin1 } from '../../appliance/l7/http1/fields.js';
import { bodyKind, LengthCounter } from '../../appliance/l7/http1/framing.js';
import { defaultLimits, type Limits } from '../../appliance/l7/http1/limits.js';
import { method } from '../../appliance/l7/http1/methods.js';
import { RequestHead } from '../../appliance/l7/http1/request-head.js';
import { ResponseHead } from '../../appliance/l7/http1/response-head.js';

export interface Situation {
  readonly side: 'request' | 'response';
  readonly to: 'GET' | 'HEAD' | 'CONNECT';
  readonly upgrade: 'none' | 'websocket';
  readonly tunnels: boolean;
}

export interface Judgement {
  readonly verdict: string;
  /** Of the first message. */
  readonly host: string;
  readonly fields: Readonly<Record<string, string>>;
  readonly dropped: readonly string[];
  /** Bytes that no message claims. */
  readonly left: number;
}

const tunnelLimits: Limits = { ...defaultLimits, connect: 'forward' };
const methods = { GET: method.get, HEAD: method.head, CONNECT: method.connect } as const;

type Phase = 'head' | 'body' | 'over';

/** Takes bytes piece by piece; the array grows as a connection's buffer does. */
class Reader {
  private readonly request: RequestHead;
  private readonly response: ResponseHead;
  private readonly decoder: ChunkDecoder;
  private readonly counter = new LengthCounter();
  private phase: Phase = 'head';
  private at = 0;
  private readonly messages: string[] = [];
  private current = '';
  private data = '';
  private after = '';
  private first: Pick<Judgement, 'host' | 'fields' | 'dropped'> | null = null;

  constructor(private readonly situation: Situation) {
    const limits = situation.tunnels ? tunnelLimits : defaultLimits;
    this.request = new RequestHead(limits);
    this.response = new ResponseHead(limits);
    this.decoder = new ChunkDecoder(limits);
    this.beginHead();
  }

  private get head(): RequestHead | ResponseHead {
    return this.situation.side === 'request' ? this.request : this.response;
  }

  private beginHead(): void {
    this.phase = 'head';
    if (this.situation.side === 'request') this.request.reset(this.at);
    else {
      const { to, upgrade } = this.situation;
      this.response.reset(this.at, methods[to], upgradeKind[upgrade]);
    }
  }

  take(bytes: Uint8Array, end: number): void {
    while (this.phase !== 'over') {
      const goesOn = this.phase === 'head' ? this.takeHead(bytes, end) : this.takeBody(bytes, end);
      if (!goesOn) return;
    }
  }

  private refuse(fault: Fault | null): false {
    const status = this.situation.side === 'request' ? fault?.status : 502;
    this.messages.push(`${status ?? 0} ${fault?.code ?? 'no fault'}`);
    this.current = '';
    this.phase = 'over';
    return false;
  }

  private takeHead(bytes: Uint8Array, end: number): boolean {
    const head = this.head;
    const result = head.parse(bytes, end);
    if (result === progress.refused) return this.refuse(head.fault);
    if (result === progress.more) return false;
    this.at = head.end;
    this.first ??= { host: '', fields: fieldsOf(head, bytes), dropped: droppedOf(head, bytes) };
    if (head instanceof RequestHead) {
      this.first = { ...this.first, host: latin1(bytes, head.hostStart, head.authorityEnd) };
    }
    this.describe(head, bytes);
    this.data = '';
    this.decoder.reset(this.at);
    this.counter.reset(head.length);
    this.phase = 'body';
    return true;
  }

  private describe(head: RequestHead | ResponseHead, bytes: Uint8Array): void {
    const minor = head.minor === 0 ? ' 1.0' : '';
    const close = head.persistent ? '' : ' close';
    if (head instanceof ResponseHead) {
      this.current = `${head.status}${minor}`;
      this.after = close;
      return;
    }
    const words = ['', ' websocket', ' upgrade'];
    const name = latin1(bytes, head.methodStart, head.methodEnd);
    this.current = `${name} ${latin1(bytes, head.targetStart, head.targetEnd)}${minor}`;
    this.after = `${head.expectContinue ? ' continue' : ''}${words[head.upgrade] ?? ''}${close}`;
  }

  private body(): string {
    const head = this.head;
    switch (head.body) {
      case bodyKind.length:
        return ` length:${head.length}="${this.data}"`;
      case bodyKind.chunked:
        return ` chunked="${this.data}"`;
      case bodyKind.untilClose:
        return ` until-close="${this.data}"`;
      case bodyKind.tunnel:
        return ' tunnel';
      default:
        return '';
    }
  }

  private takeBody(bytes: Uint8Array, end: number): boolean {
    const head = this.head;
    switch (head.body) {
      case bodyKind.length: {
        const stop = this.counter.take(this.at, end);
        this.data += latin1(bytes, this.at, stop);
        this.at = stop;
        return this.counter.left > 0 ? false : this.endMessage('');
      }
      case bodyKind.chunked:
        return this.takeChunks(bytes, end);
      case bodyKind.untilClose:
        this.data += latin1(bytes, this.at, end);
        this.at = end;
        return false;
      default:
        return this.endMessage('');
    }
  }

  private takeChunks(bytes: Uint8Array, end: number): boolean {
    for (;;) {
      const step = this.decoder.next(bytes, end);
      this.at = this.decoder.at;
      if (step === chunkStep.data) {
        this.data += latin1(bytes, this.decoder.dataStart, this.decoder.dataEnd);
      } else if (step === chunkStep.more) return false;
      else if (step === chunkStep.refused) return this.refuse(this.decoder.fault);
      else {
        const trailers = Object.entries(fieldsOf(this.decoder.trailers, bytes, true));
        return this.endMessage(trailers.map(([name, value]) => ` ${name}=${value}`).join(''));
      }
    }
  }

  private endMessage(trailers: string): boolean {
    this.messages.push(`${this.current}${this.body()}${trailers}${this.after}`);
    this.current = '';
    const head = this.head;
    const more =
      head instanceof RequestHead
        ? head.persistent && head.method !== method.connect
        : head.interim;
    if (!more) {
      this.phase = 'over';
      return false;
    }
    this.beginHead();
    return true;
  }

  /** The connection ended here. */
  end(size: number): Judgement {
    const left = size - this.at;
    if (this.phase === 'head' && this.head.begun) this.messages.push('more');
    else if (this.phase === 'body' && this.head.body === bodyKind.untilClose) this.endMessage('');
    else if (this.phase === 'body') this.messages.push(`${this.current}${this.body()} more`);
    const verdict = this.messages.length === 0 ? 'idle' : this.messages.join(' | ');
    return { verdict, left, ...(this.first ?? { host: '', fields: {}, dropped: [] }) };
  }
}

/** Fields by name; `going` asks for those that are passed on, with their names as written. */
function fieldsOf(section: FieldSection, bytes: Uint8Array, going = false): Record<string, string> {
  const fields: Record<string, string> = {};
  for (let i = 0; i < section.count; i += 1) {
    const name = section.name(bytes, i);
    if (!going) fields[name.toLowerCase()] = section.value(bytes, i);
    else if (section.drop[i] === 0) fields[name] = section.value(bytes, i);
  }
  return fields;
}

function droppedOf(section: FieldSection, bytes: Uint8Array): string[] {
  const names: string[] = [];
  for (let i = 0; i < section.count; i += 1) {
    if (section.drop[i] !== 0) names.push(section.name(bytes, i));
  }
  return names;
}

/** What a stream is taken for when it comes in pieces that end at `cuts`. */
export function judge(
  bytes: Uint8Array,
  situation: Situation,
  cuts: readonly number[] = [],
): Judgement {
  const reader = new Reader(situation);
  // What has not come yet must not be looked at: it is there only when its piece is.
  const seen = new Uint8Array(bytes.length);
  let from = 0;
  for (const end of [...cuts, bytes.length]) {
    for (let i = from; i < end; i += 1) seen[i] = bytes[i] ?? 0;
    reader.take(seen, end);
    from = end;
  }
  return reader.end(bytes.length);
}
