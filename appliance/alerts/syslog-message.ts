/**
 * An alert as a message of syslog (RFC 5424). Pure.
 *
 * Invariant: whatever an alert says, it is one message: parameters are escaped, and the text has no
 * control characters.
 */
import { syslogFacilities } from '../config/alerts.js';
import type { Alert } from './alert.js';

export interface SyslogHead {
  readonly facility: (typeof syslogFacilities)[number];
  readonly appName: string;
  readonly processId: number;
  readonly version: string;
}

/** Of RFC 5612: Weir has no number of its own. */
const PRIVATE_ID = 'weir@32473';
/** What every receiver takes (RFC 5426 §3.2, RFC 5425 §4.3.1). */
const MOST_OCTETS = 2048;
const BOM = '\ufeff';

export function syslogMessage(alert: Alert, head: SyslogHead): Buffer {
  const { facility, appName, processId, version } = head;
  const priority = syslogFacilities.indexOf(facility) * 8 + severityOf(alert);
  const host = ascii(alert.unit, 255);
  const start = `<${priority}>1 ${new Date(alert.time).toISOString()} ${host} ${ascii(appName, 48)} ${processId} ${ascii(alert.kind, 32)} `;
  const data = element(PRIVATE_ID, {
    ...{ id: alert.id, kind: alert.kind, object: alert.object, severity: alert.severity },
    ...{ state: alert.state, count: String(alert.count) },
  });
  const origin = element('origin', { software: 'weir', swVersion: version });
  // §6.4: text that is not ASCII alone says by a byte order mark that it is UTF-8.
  const mark = /^\p{ASCII}*$/u.test(alert.message) ? '' : BOM;
  return cut(Buffer.from(`${start}${data}${origin} ${mark}${alert.message}`, 'utf8'));
}

/** RFC 6587 §3.4.1, RFC 5425 §4.3. */
export function counted(message: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${message.length} `, 'latin1'), message]);
}

/** §6.2.1; that something is over is worth a notice. */
function severityOf({ state, severity }: Alert): number {
  if (state === 'cleared') return 5;
  return { error: 3, warning: 4, info: 6 }[severity];
}

function ascii(text: string, most: number): string {
  return text.replaceAll(/[^!-~]/g, '_').slice(0, most) || '-';
}

/** §6.3.3 */
function element(id: string, parameters: Readonly<Record<string, string>>): string {
  const all = Object.entries(parameters).map(
    ([name, value]) => ` ${name}="${value.replaceAll(/["\\\]]/g, '\\$&')}"`,
  );
  return `[${id}${all.join('')}]`;
}

/** At the end of a character. */
function cut(message: Buffer): Buffer {
  if (message.length <= MOST_OCTETS) return message;
  let end = MOST_OCTETS;
  while (((message[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return message.subarray(0, end);
}
