/**
 * The dns monitor: one question (RFC 1035 §4, over TCP §4.2.2); alive when it is answered without
 * an error and, where the settings name an address, when the answer contains it.
 *
 * Invariants:
 * - An answer counts only with the question's id and the question itself (RFC 5452 §9.1); others are
 *   not looked at.
 * - See datagram.ts and connection.ts.
 */
import { randomInt } from 'node:crypto';
import {
  decode,
  encode,
  RECURSION_DESIRED,
  type Answer,
  type DecodedPacket,
  type RecordType,
} from 'dns-packet';
import { readAddress } from '../config/address-codec.js';
import type { MonitorSettings } from '../config/schema.js';
import { formatDuration } from '../config/units-of-measure.js';
import type { Cancellation } from './cancellation.js';
import { probeConnection } from './connection.js';
import { probeDatagram } from './datagram.js';
import type { ProbeResult } from './state-machine.js';
import type { Endpoint, Finish } from './verdict.js';

export type DnsSettings = Pick<
  Extract<MonitorSettings, { type: 'dns' }>,
  'timeout' | 'source' | 'name' | 'record' | 'transport' | 'answer'
>;

export interface Question {
  readonly id: number;
  readonly name: string;
  readonly record: RecordType;
}

export type Verdict =
  | { readonly outcome: 'pass' | 'fail'; readonly reason: string }
  /** Not an answer to this question. */
  | null;

/** One probe. Never rejects. */
export function probeDns(
  endpoint: Endpoint,
  settings: DnsSettings,
  cancelled: Cancellation,
): Promise<ProbeResult> {
  const { name, record, answer } = settings;
  const question: Question = { id: randomInt(0x10000), name, record };
  const judge = (message: Buffer, finish: Finish): void => {
    const verdict = judgeAnswer(message, question, answer);
    if (verdict !== null) finish(verdict.outcome, verdict.reason);
  };
  const query = encodeQuestion(question);
  return settings.transport === 'udp'
    ? probeDatagram(endpoint, settings, cancelled, query, judge)
    : overTcp(endpoint, settings, cancelled, query, judge);
}

function overTcp(
  endpoint: Endpoint,
  settings: DnsSettings,
  cancelled: Cancellation,
  query: Buffer,
  judge: (message: Buffer, finish: Finish) => void,
): Promise<ProbeResult> {
  let connected = false;
  return probeConnection(
    endpoint,
    settings,
    cancelled,
    (socket, finish) => {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(query.length);
      socket.on('connect', () => {
        connected = true;
        socket.write(Buffer.concat([length, query]));
      });
      let received = Buffer.alloc(0);
      socket.on('data', (chunk: Buffer) => {
        received = Buffer.concat([received, chunk]);
        while (received.length >= 2) {
          const end = 2 + received.readUInt16BE(0);
          if (received.length < end) return;
          judge(received.subarray(2, end), finish);
          received = received.subarray(end);
        }
      });
      socket.on('end', () => finish('fail', 'connection closed without an answer'));
    },
    () => {
      const within = `within ${formatDuration(settings.timeout)}`;
      return connected ? `connected, but no answer ${within}` : `no answer ${within}`;
    },
  );
}

export function encodeQuestion({ id, name, record }: Question): Buffer {
  return encode({
    type: 'query',
    id,
    flags: RECURSION_DESIRED,
    questions: [{ type: record, name, class: 'IN' }],
  });
}

/** `wanted`: canonical address that the answer must contain. Pure, and never throws. */
export function judgeAnswer(
  message: Buffer,
  question: Question,
  wanted: string | undefined,
): Verdict {
  if (message.length < 12 || message.readUInt16BE(0) !== question.id) return null;
  let packet: DecodedPacket;
  try {
    packet = decode(message);
  } catch {
    // What is broken in it is of no help to anybody; that it is broken is the verdict.
    return { outcome: 'fail', reason: 'the answer is no valid DNS message' };
  }
  const asked = packet.questions?.[0];
  if (packet.type !== 'response') return null;
  const rcode = codeOf(message);
  // A server that cannot read the question may leave it out (RFC 1035 §4.1.1, FORMERR).
  if (asked === undefined ? rcode === 'NOERROR' : !isAsked(asked, question)) return null;
  if (rcode !== 'NOERROR') return { outcome: 'fail', reason: `answered with ${rcode}` };
  const answers = packet.answers ?? [];
  if (wanted === undefined) return { outcome: 'pass', reason: `answered, ${records(answers)}` };
  if (answers.some((one) => addressOf(one) === wanted)) {
    return { outcome: 'pass', reason: `answered with ${wanted}` };
  }
  return {
    outcome: 'fail',
    reason: packet.flag_tc
      ? `the answer was cut before ${wanted}: set the monitor's transport to tcp`
      : `answered, but not with ${wanted}`,
  };
}

const names = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED'];

function codeOf(message: Buffer): string {
  const code = message.readUInt8(3) & 0xf;
  return names[code] ?? `error ${code}`;
}

function isAsked(
  asked: { readonly name: string; readonly type: string },
  { name, record }: Question,
): boolean {
  return asked.type === record && asked.name.toLowerCase() === name.toLowerCase();
}

function records(answers: readonly Answer[]): string {
  return answers.length === 1 ? '1 record' : `${answers.length} records`;
}

/** The canonical text of an A or AAAA record's address. */
function addressOf(answer: Answer): string | null {
  if (answer.type !== 'A' && answer.type !== 'AAAA') return null;
  return readAddress(answer.data)?.text ?? null;
}
