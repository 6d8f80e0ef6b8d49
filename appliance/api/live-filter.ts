/**
 * What somebody wants to see of live traffic: words with spaces between them, all of which must hold.
 * `service:NAME`, `client:PREFIX`, `member:TEXT`, `status:404` or `status:5xx`, `method:GET`,
 * `path:TEXT`; a word without a key is looked for in all of them; `!` before one turns it around. Pure.
 *
 * Invariant: letters are compared without case; a term about something that a subject does not have
 * (the status of a flow) does not hold, and turned around it does.
 */
import { BlockList, isIP } from 'node:net';

export interface Subject {
  readonly service: string | null;
  /** An address. */
  readonly client: string | null;
  readonly member?: string | null;
  readonly method?: string | null;
  readonly host?: string | null;
  readonly path?: string | null;
  readonly userAgent?: string | null;
  readonly status?: number;
}

export type LiveFilter = (subject: Subject) => boolean;

export type FilterResult =
  | { readonly ok: true; readonly filter: LiveFilter }
  | { readonly ok: false; readonly message: string };

export const FILTER_KEYS = ['service', 'client', 'member', 'status', 'method', 'path'] as const;
const HELP =
  'give words, or service:NAME, client:PREFIX, member:TEXT, status:404 or status:5xx, method:GET, path:TEXT; ! before one turns it around';
const MOST_LETTERS = 500;

export function parseFilter(text: string): FilterResult {
  if (text.length > MOST_LETTERS) {
    return { ok: false, message: `a filter has at most ${MOST_LETTERS} letters` };
  }
  const terms: LiveFilter[] = [];
  for (const word of text.split(/\s+/).filter((one) => one !== '')) {
    const not = word.startsWith('!');
    const term = termOf(not ? word.slice(1) : word);
    if (typeof term === 'string') return { ok: false, message: `${term}: ${HELP}` };
    terms.push(not ? (subject) => !term(subject) : term);
  }
  return { ok: true, filter: (subject) => terms.every((term) => term(subject)) };
}

/** A term, or what is wrong with it. */
function termOf(word: string): LiveFilter | string {
  const [, key = '', value = ''] = /^([a-z]+):(.*)$/i.exec(word) ?? [];
  const known = FILTER_KEYS.find((one) => one === key.toLowerCase());
  if (known === undefined) {
    // Addresses of IPv6 and ports have colons too.
    if (key !== '' && isIP(word) === 0) return `"${key}" is not known here`;
    return word === '' ? 'a word is missing after "!"' : anywhere(word);
  }
  if (value === '') return `"${known}:" needs a value`;
  switch (known) {
    case 'client':
      return clientIn(value);
    case 'status':
      return statusIs(value);
    case 'method':
      return (subject) => subject.method?.toLowerCase() === value.toLowerCase();
    case 'service':
      return (subject) => subject.service?.toLowerCase() === value.toLowerCase();
    default:
      return contains(value, (subject) => [subject[known]]);
  }
}

function contains(
  text: string,
  of: (subject: Subject) => readonly (string | null | undefined)[],
): LiveFilter {
  const wanted = text.toLowerCase();
  return (subject) => of(subject).some((one) => one?.toLowerCase().includes(wanted) === true);
}

function anywhere(text: string): LiveFilter {
  return contains(text, ({ service, client, member, method, host, path, userAgent }) => [
    ...[service, client, member, method, host, path, userAgent],
  ]);
}

function clientIn(value: string): LiveFilter | string {
  const [address = '', length, more] = value.split('/');
  const version = isIP(address);
  const most = version === 6 ? 128 : 32;
  const bits = length === undefined ? most : /^\d{1,3}$/.test(length) ? Number(length) : -1;
  if (version === 0 || more !== undefined || bits < 0 || bits > most) {
    return `"${value}" is no address and no prefix`;
  }
  const list = new BlockList();
  const family = version === 6 ? 'ipv6' : 'ipv4';
  list.addSubnet(address, bits, family);
  return ({ client }) => {
    const of = client === null ? 0 : isIP(client);
    return client !== null && of === version && list.check(client, family);
  };
}

function statusIs(value: string): LiveFilter | string {
  const group = /^([1-5])xx$/i.exec(value)?.[1];
  if (group !== undefined) {
    return ({ status = -1 }) => Math.floor(status / 100) === Number(group);
  }
  if (!/^(?:0|[1-5]\d\d)$/.test(value)) return `"${value}" is no status`;
  return ({ status }) => status === Number(value);
}
