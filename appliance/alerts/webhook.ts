/**
 * Alerts by HTTP: one POST of JSON each, signed by HMAC-SHA-256 over time, id and body, so that who
 * receives it can tell that it is ours, whole and of now.
 *
 * Invariant: redirects are not followed, so nothing is sent where nobody declared it.
 */
import { createHmac } from 'node:crypto';
import { retryAfter } from '../tls/renewal.js';
import type { Alert } from './alert.js';
import {
  attempt,
  authoritiesOf,
  delivered,
  failed,
  refused,
  secretOf,
  type Outcome,
  type Sender,
  type SettingsOf,
  type Transport,
} from './transport.js';

const SHORTEST_SECRET = 16;
const MOST_OF_ANSWER = 1024;
/** A limit asks for minutes; what asks for more is taken for a mistake. */
const LONGEST_RETRY_AFTER = 3_600_000;
/** Client errors that say nothing against the request itself (RFC 9110 §15.5.9, RFC 6585 §4). */
const TRY_AGAIN = new Set([408, 429]);

export function webhook(settings: SettingsOf<'webhook'>, sender: Sender): Transport {
  return {
    most: 1,
    send: async ([alert], signal) => {
      if (alert === undefined) return delivered('there was nothing to send');
      return attempt(settings.timeout, signal, (limit) => post(settings, sender, alert, limit));
    },
  };
}

/** The value of Weir-Signature. `time`: seconds since 1970. */
export function signature(secret: string, time: number, id: string, body: string): string {
  const mac = createHmac('sha256', secret).update(`${time}.${id}.${body}`).digest('hex');
  return `t=${time},v1=${mac}`;
}

async function post(
  settings: SettingsOf<'webhook'>,
  { version, now }: Sender,
  alert: Alert,
  signal: AbortSignal,
): Promise<Outcome> {
  const body = JSON.stringify({ ...alert, time: new Date(alert.time).toISOString() });
  const path = settings['secret-file'];
  const time = Math.floor(now() / 1000);
  const signed =
    path === undefined
      ? {}
      : {
          'weir-signature': signature(
            secretOf('secret-file', path, SHORTEST_SECRET),
            ...([time, alert.id, body] as const),
          ),
        };
  // Whoever has no webhook starts without it.
  const { Agent, request } = await import('undici');
  const agent = new Agent({ connect: { ...authoritiesOf(settings['ca-file']) } });
  try {
    const {
      statusCode,
      headers,
      body: answer,
    } = await request(settings.url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json; charset=utf-8',
        'user-agent': `weir/${version}`,
        'weir-alert-id': alert.id,
        ...signed,
      },
      body,
      signal,
      dispatcher: agent,
    });
    const words = await beginning(answer);
    const asked = headers['retry-after'];
    return judge(statusCode, words, typeof asked === 'string' ? asked : undefined, now());
  } finally {
    await agent.destroy();
  }
}

/** The first line of an answer; the rest is not waited for. */
async function beginning(answer: AsyncIterable<Buffer>): Promise<string> {
  let text = '';
  for await (const piece of answer) {
    text += piece.toString('utf8');
    if (text.length >= MOST_OF_ANSWER || text.includes('\n')) break;
  }
  return text.split('\n')[0]?.trim() ?? '';
}

function judge(status: number, words: string, asked: string | undefined, now: number): Outcome {
  const said = `it answered ${status}${words === '' ? '' : `: ${words}`}`;
  if (status >= 200 && status < 300) return delivered(`it answered ${status}`);
  if (status >= 300 && status < 400) {
    return refused(`it answered ${status}, and redirects are not followed: declare the new URL`);
  }
  if (status >= 400 && status < 500 && !TRY_AGAIN.has(status)) return refused(said);
  return failed(said, Math.min(LONGEST_RETRY_AFTER, retryAfter(asked, now) ?? 0));
}
