/**
 * Takes what is secret out of what is given to strangers, and clients' addresses if that is asked.
 *
 * Invariant: a value is left out by the name that it stands under or by its form; what names a secret is
 * left out whole, never shortened.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { isIP } from 'node:net';

const REMOVED = '(removed)';
const SECRET =
  /pass(word|phrase)|secret|token|cookie|authorization|api-?key|private-?key|credential|^community$|^code$/i;
const PRIVATE_KEY =
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)/g;
/** The rest of a URL may be what lets somebody in: names of webhooks are. */
const URL_REST = /\b([a-z][a-z0-9+.-]{1,20}:\/\/)(?:[^\s/@"']*@)?([^\s/?#"']+)[^\s"']*/gi;
const QUERY = /\?[^\s"'#]+/g;
const HEADER = /\b((?:proxy-)?authorization|(?:set-)?cookie|x-api-key)\b(\s*[:=]\s*)[^\r\n"]+/gi;
const ADDRESS =
  /(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?:\.\d{1,3}){0,3})(?![\w:])/gi;

/** What is in a value of JSON, without its secrets. */
export function redacted(value: unknown): unknown {
  if (typeof value === 'string') return redactedText(value);
  if (Array.isArray(value)) return value.map(redacted);
  if (typeof value !== 'object' || value === null) return value;
  const { name } = value as { readonly name?: unknown };
  const named = typeof name === 'string' && SECRET.test(name);
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => {
      const secret = SECRET.test(key) || (named && key === 'value');
      return [key, secret && hides(one) ? REMOVED : redacted(one)];
    }),
  );
}

/** Whether a value can be a secret: numbers and switches say how one is used. */
function hides(value: unknown): boolean {
  return typeof value === 'string' || (Array.isArray(value) && value.some(hides));
}

export function redactedText(text: string): string {
  return text
    .replace(PRIVATE_KEY, REMOVED)
    .replace(URL_REST, `$1$2/${REMOVED}`)
    .replace(HEADER, `$1$2${REMOVED}`)
    .replace(QUERY, `?${REMOVED}`);
}

/** Lines of a log; those that are JSON by what their keys say. */
export function redactedLog(text: string): string {
  return text
    .split('\n')
    .map((line) => {
      if (!line.startsWith('{')) return redactedText(line);
      try {
        return JSON.stringify(redacted(JSON.parse(line)));
      } catch {
        // Cut off, or no JSON: it is text then.
        return redactedText(line);
      }
    })
    .join('\n');
}

/** Gives each address a name that is the same throughout, and of no use elsewhere; `own` stay. */
export function addressMask(own: ReadonlySet<string>): (text: string) => string {
  const key = randomBytes(32);
  return (text) =>
    text.replace(ADDRESS, (address) => {
      const family = isIP(address);
      if (family === 0 || own.has(address)) return address;
      const digest = createHmac('sha256', key).update(address.toLowerCase()).digest('hex');
      return `client-v${family}-${digest.slice(0, 10)}`;
    });
}

/** Addresses in a text. */
export function addressesIn(text: string): string[] {
  return (text.match(ADDRESS) ?? []).filter((one) => isIP(one) !== 0);
}
