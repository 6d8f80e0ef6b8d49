/** An alert from what happened to what is sent. Pure. */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { Severity } from '../api/contract.js';
import { alertKinds, type AlertKind } from '../config/alerts.js';
import { rank, SEVERITIES } from '../config/severities.js';

const LONGEST_TEXT = 1500;

/** `raised` and `cleared` are the two ends of an alarm. */
export type AlertState = 'raised' | 'cleared' | 'event';

/** What happened once. Times are in milliseconds since 1970. */
export interface Occurrence {
  readonly kind: AlertKind;
  /** What it is about, such as `POOL/MEMBER`; empty: the unit. */
  readonly object: string;
  readonly severity: Severity;
  readonly message: string;
  readonly state: AlertState;
  readonly time: number;
  /** Of an alarm, when it came. */
  readonly since: number | null;
  /** An alarm that lasts is told again. */
  readonly reminder: boolean;
}

export const waitingSchema = z.strictObject({
  id: z.string(),
  unit: z.string(),
  kind: z.enum(alertKinds),
  object: z.string(),
  severity: z.enum(SEVERITIES),
  message: z.string(),
  state: z.enum(['raised', 'cleared', 'event']),
  time: z.number(),
  /** When the latest of what it tells of happened. */
  last: z.number(),
  since: z.number().nullable(),
  reminder: z.boolean(),
  events: z.number(),
  raises: z.number(),
  /** Until then what happens to the same thing is told with it. */
  sealAt: z.number(),
});

/** What happened to one thing within a window, until it is delivered. */
export type Waiting = z.output<typeof waitingSchema>;

/** As it is sent. */
export interface Alert {
  readonly id: string;
  readonly unit: string;
  readonly time: number;
  readonly kind: AlertKind | 'test';
  readonly severity: Severity;
  readonly object: string;
  /** One sentence, or a few. */
  readonly message: string;
  readonly state: AlertState;
  /** How often it happened. */
  readonly count: number;
}

/** Alerts with the same one are about the same thing. */
export function keyOf({
  kind,
  object,
}: {
  readonly kind: string;
  readonly object: string;
}): string {
  return `${kind} ${object}`;
}

/** On one line without control characters, nor any that turn text around, and not too long. */
export function plain(text: string): string {
  const line = text.replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, '?');
  return line.length > LONGEST_TEXT ? `${line.slice(0, LONGEST_TEXT - 1)}…` : line;
}

export function begin(first: Occurrence, unit: string, sealAt: number): Waiting {
  const { time, state, reminder } = first;
  return {
    ...{ ...first, id: randomUUID(), unit: plain(unit), last: time, sealAt },
    ...{ events: state === 'event' ? 1 : 0, raises: state === 'raised' && !reminder ? 1 : 0 },
  };
}

/** Adds what happened to the same thing. Returns whether it says more than a count now. */
export function add(waiting: Waiting, next: Occurrence): boolean {
  const { state, severity, message, since } = waiting;
  waiting.last = Math.max(waiting.last, next.time);
  if (rank(next.severity) > rank(severity)) waiting.severity = next.severity;
  if (next.state === 'event') waiting.events += 1;
  else {
    if (next.state === 'raised' && !next.reminder) waiting.raises += 1;
    waiting.state = next.state;
    waiting.reminder = waiting.reminder && next.reminder;
    waiting.since ??= next.since;
  }
  if (next.state !== 'cleared') waiting.message = next.message;
  return (
    state !== waiting.state ||
    severity !== waiting.severity ||
    message !== waiting.message ||
    since !== waiting.since
  );
}

export function toSend(waiting: Waiting): Alert {
  const { id, unit, time, kind, severity, object, state, events, raises } = waiting;
  const count = Math.max(1, events, raises);
  return { id, unit, time, kind, severity, object, message: sentence(waiting), state, count };
}

function sentence({ message, state, since, last, raises, reminder }: Waiting): string {
  const lasted = since === null ? '' : lasting(last - since);
  if (state === 'cleared') {
    if (raises === 0) return `Over${lasted === '' ? '' : ` after ${lasted}`}: ${message}`;
    return `${message} This is over${lasted === '' ? '' : `, it lasted ${lasted}`}.`;
  }
  return reminder && lasted !== '' ? `${message} It has been so for ${lasted}.` : message;
}

const STEPS = [
  [172_800_000, 86_400_000, 'days'],
  [7_200_000, 3_600_000, 'h'],
  [120_000, 60_000, 'min'],
  [0, 1000, 's'],
] as const;

function lasting(milliseconds: number): string {
  for (const [from, unit, name] of STEPS) {
    if (milliseconds >= from) return `${Math.round(milliseconds / unit)} ${name}`;
  }
  return '';
}
