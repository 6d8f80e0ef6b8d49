/**
 * What is told of all that happens. What lasts is an alarm, told when it comes, when it goes, and
 * while it lasts; what an alarm tells is not told once more by the event beside it.
 */
import type { Alarm, AlarmCode, EventKind, EventRow } from '../api/contract.js';
import type { AlertKind } from '../config/alerts.js';
import { plain, type Occurrence } from './alert.js';

/** Events of single flows, of which there are hundreds a second, and those that an alarm tells. */
const UNTOLD_EVENTS = [
  ...(['flow-new', 'flow-moved', 'drop'] as const),
  ...(['member-state', 'next-hop', 'pool-state', 'weights', 'tier', 'access'] as const),
  ...(['member-flapping', 'limit', 'peer-lost', 'peer-back', 'disk-space', 'clock'] as const),
  'confirm-pending',
] as const satisfies readonly EventKind[];

/** The keeper's events tell of these in steps, of every certificate, and once. */
const UNTOLD_ALARMS = [
  'certificate-expiring',
  'certificate-expired',
] as const satisfies readonly AlarmCode[];

type UntoldEvent = (typeof UNTOLD_EVENTS)[number];
type UntoldAlarm = (typeof UNTOLD_ALARMS)[number];
/** Kinds that can be told and that `alertKinds` of the language lacks: there must be none. */
type Lacking = Exclude<
  Exclude<EventKind, UntoldEvent> | Exclude<AlarmCode, UntoldAlarm>,
  AlertKind
>;
const kindOf: Lacking extends never ? (kind: AlertKind) => AlertKind : Lacking = (kind) => kind;

const untoldEvents: ReadonlySet<string> = new Set(UNTOLD_EVENTS);
const untoldAlarms: ReadonlySet<string> = new Set(UNTOLD_ALARMS);

function toldEvent(kind: EventKind): kind is Exclude<EventKind, UntoldEvent> {
  return !untoldEvents.has(kind);
}

function toldAlarm(code: AlarmCode): code is Exclude<AlarmCode, UntoldAlarm> {
  return !untoldAlarms.has(code);
}

/** Null: it is not told. */
export function ofEvent(event: EventRow): Occurrence | null {
  const { kind, severity, message, time, subject } = event;
  if (!toldEvent(kind)) return null;
  // Links of the pair have alarms.
  if (kind === 'pair' && subject.after !== undefined) return null;
  return {
    ...{ kind: kindOf(kind), severity, time, state: 'event', since: null, reminder: false },
    ...{ object: plain(objectOf(subject)), message: plain(message) },
  };
}

/** As it is raised. Null: it is not told. */
export function ofAlarm(alarm: Alarm, now: number): Occurrence | null {
  const { code, severity, message, since, object } = alarm;
  if (!toldAlarm(code)) return null;
  return {
    ...{ kind: kindOf(code), severity, time: now, state: 'raised', reminder: false },
    ...{ since: since ?? now, object: plain(object ?? ''), message: plain(message) },
  };
}

function objectOf(subject: EventRow['subject']): string {
  const { pool, member, service, certificate, router, interface: link, peer } = subject;
  if (pool !== undefined) return member === undefined ? pool : `${pool}/${member}`;
  return service ?? certificate ?? router ?? link ?? peer ?? '';
}
