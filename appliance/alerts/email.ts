/**
 * Alerts by e-mail: those of one moment are one message of plain text.
 *
 * Invariants: nothing of an alert can begin a header or another line of one; a password is sent over
 * TLS alone; a message that is tried again has the same Message-ID.
 */
import { createHash } from 'node:crypto';
import { plain, type Alert } from './alert.js';
import { rank } from '../config/severities.js';
import {
  attempt,
  authoritiesOf,
  delivered,
  secretOf,
  type Outcome,
  type Sender,
  type SettingsOf,
  type Transport,
} from './transport.js';

const LONGEST_SUBJECT = 150;
const PORTS = { starttls: 587, tls: 465, none: 25 } as const;

function emailPort({ port, tls }: SettingsOf<'email'>): number {
  return port ?? PORTS[tls];
}

export function email(settings: SettingsOf<'email'>, sender: Sender): Transport {
  return {
    most: 50,
    send: (alerts, signal) =>
      attempt(settings.timeout, signal, (limit) => deliver(settings, sender, alerts, limit), final),
  };
}

async function deliver(
  settings: SettingsOf<'email'>,
  { version, now }: Sender,
  alerts: readonly Alert[],
  signal: AbortSignal,
): Promise<Outcome> {
  const { server, tls, user, timeout, from, to } = settings;
  const path = settings['password-file'];
  // Whoever sends no mail starts without it.
  const { createTransport } = await import('nodemailer');
  const transport = createTransport({
    ...{ host: server, port: emailPort(settings), secure: tls === 'tls' },
    ...{ requireTLS: tls === 'starttls', ignoreTLS: tls === 'none' },
    tls: { minVersion: 'TLSv1.2', ...authoritiesOf(settings['ca-file']) },
    ...(user === undefined || path === undefined
      ? {}
      : { auth: { user, pass: secretOf('password-file', path, 1) }, forceAuth: true }),
    ...{ connectionTimeout: timeout, greetingTimeout: timeout, socketTimeout: timeout },
    socketCloseTimeout: 0,
    ...{ disableFileAccess: true, disableUrlAccess: true, logger: false },
  });
  try {
    const { response, rejected } = await transport.sendMail({
      ...{ from, to, signal, text: textOf(alerts), subject: subjectOf(alerts) },
      ...{ date: new Date(now()), messageId: messageId(alerts, from) },
      headers: {
        'Auto-Submitted': 'auto-generated',
        'X-Auto-Response-Suppress': 'All',
        'User-Agent': `weir/${version}`,
      },
    });
    return delivered(
      `it answered ${response}`,
      rejected.length === 0 ? null : `the server does not take mail for ${rejected.join(', ')}`,
    );
  } finally {
    transport.close();
  }
}

/** About who we are and not about the message (RFC 4954 §6): a login in the document helps. */
const ABOUT_LOGIN: ReadonlySet<number> = new Set([530, 534, 535, 538]);

/** RFC 5321 §4.2.1: what is answered by 5yz has no better luck another time. */
function final(error: unknown): boolean {
  if (!(error instanceof Error) || !('responseCode' in error) || !('code' in error)) return false;
  const { code, responseCode: answer } = error;
  if (code !== 'EENVELOPE' && code !== 'EMESSAGE') return false;
  return typeof answer === 'number' && answer >= 500 && !ABOUT_LOGIN.has(answer);
}

function messageId(alerts: readonly Alert[], from: string): string {
  const name = createHash('sha256')
    .update(alerts.map(({ id }) => id).join())
    .digest('hex');
  return `<${name.slice(0, 32)}@${from.slice(from.lastIndexOf('@') + 1)}>`;
}

function subjectOf(alerts: readonly Alert[]): string {
  const [first] = alerts;
  if (first === undefined) return 'nothing';
  const worst = alerts.reduce((a, b) => (rank(b.severity) > rank(a.severity) ? b : a), first);
  const what =
    alerts.length === 1 ? headline(first) : `${alerts.length} alerts, such as ${headline(worst)}`;
  return plain(`[${first.unit}] ${what}`).slice(0, LONGEST_SUBJECT);
}

function headline({ kind, object, severity, state }: Alert): string {
  return `${state === 'cleared' ? 'over' : severity}: ${kind}${object === '' ? '' : ` ${object}`}`;
}

function textOf(alerts: readonly Alert[]): string {
  return alerts.map(paragraph).join('\n');
}

function paragraph(alert: Alert): string {
  const { id, unit, time, kind, severity, object, message, state, count } = alert;
  const lines = [
    plain(message),
    '',
    `Unit      ${unit}`,
    `Time      ${new Date(time).toISOString()}`,
    `Kind      ${kind}`,
    ...(object === '' ? [] : [`About     ${object}`]),
    `Severity  ${severity}`,
    `State     ${state}`,
    ...(count === 1 ? [] : [`Count     ${count}`]),
    `Id        ${id}`,
  ];
  return `${lines.join('\n')}\n`;
}
