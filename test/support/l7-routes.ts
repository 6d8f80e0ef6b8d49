/** Routes and requests for tests of routing, and what they mean, said as plainly as can be. */
import { progress } from '../../appliance/l7/http1/faults.js';
import { RequestHead } from '../../appliance/l7/http1/request-head.js';
import type { ClientAddress } from '../../appliance/l7/client-address.js';
import { writeAddress } from '../../appliance/l7/http1/proxy-protocol.js';
import type { L7Conditions, L7FieldTest, L7Route } from '../../appliance/l7/tables.js';

export const noConditions: L7Conditions = {
  hosts: null,
  paths: null,
  methods: null,
  headers: [],
  query: [],
  cookies: [],
  sources: null,
};

export function routeOf(when: Partial<L7Conditions> | null, name = 'r'): L7Route {
  return {
    name,
    when: when === null ? null : { ...noConditions, ...when },
    action: { kind: 'redirect', to: '/', status: 302 },
    requestEdits: [],
    responseEdits: [],
    limits: [],
  };
}

export const pattern = (value: string) => ({ kind: 'pattern' as const, value });
export const regex = (value: string) => ({ kind: 'regex' as const, value });

export interface Parsed {
  readonly head: RequestHead;
  readonly bytes: Uint8Array;
}

/** A request that the parser takes, somewhere in a larger array. */
export function requestOf(
  line: string,
  host: string | null = 'a.example',
  fields: readonly string[] = [],
): Parsed {
  const version = / HTTP\/1\.\d$/.test(line) ? '' : ' HTTP/1.1';
  const hostLine = host === null ? [] : [`Host: ${host}`];
  const text = [`${line}${version}`, ...hostLine, ...fields, '', ''].join('\r\n');
  const bytes = Uint8Array.from(Buffer.from(`xx${text}xx`, 'latin1'));
  const head = new RequestHead();
  head.reset(2);
  const verdict = head.parse(bytes, bytes.length - 2);
  if (verdict !== progress.done) throw new Error(`${text}: ${head.fault?.code ?? 'no end'}`);
  return { head, bytes };
}

export function clientOf(address: string): ClientAddress {
  const bytes = new Uint8Array(16);
  if (address.includes(':')) {
    writeAddress(bytes, address);
    return { bytes, family: 6 };
  }
  bytes.fill(0xff, 10, 12);
  writeAddress(bytes.subarray(12), address);
  return { bytes, family: 4 };
}

/** A request in words, for the plain meaning. */
export interface PlainRequest {
  readonly method: string;
  readonly host: string;
  /** In its one form. */
  readonly path: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly query: readonly (readonly [string, string])[];
  readonly cookies: readonly (readonly [string, string])[];
  readonly client: string;
}

function testHolds(
  test: L7FieldTest,
  pairs: readonly (readonly [string, string])[],
  fold: boolean,
): boolean {
  const same = (name: string): boolean =>
    fold ? name.toLowerCase() === test.name.toLowerCase() : name === test.name;
  const values = pairs.filter(([name]) => same(name)).map(([, value]) => value);
  switch (test.kind) {
    case 'exact':
      return values.includes(test.value);
    case 'prefix':
      return values.some((value) => value.startsWith(test.value));
    case 'regex':
      return values.some((value) => new RegExp(test.value, 'su').test(value));
    case 'present':
      return values.length > 0;
    case 'absent':
      return values.length === 0;
  }
}

function hostHolds(text: string, host: string): boolean {
  if (!text.startsWith('*.')) return host === text;
  return host.endsWith(text.slice(1)) && host.length > text.length - 1;
}

function patternHolds(text: string, path: string): boolean {
  const source = text
    .replace(/\/\*\*$/, '')
    .split('/')
    .map((part) => (part === '*' ? '[^/]+' : part.replaceAll(/[.+?()[\]{}|^$\\]/g, '\\$&')))
    .join('/');
  return new RegExp(`^${source}${text.endsWith('/**') ? '(?:/.*)?' : ''}$`, 's').test(path);
}

function bitsOf(address: string): string {
  return [...clientOf(address).bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
}

function sourceHolds(prefix: string, client: string): boolean {
  const [address = '', length] = prefix.split('/');
  const bits = Number(length) + (address.includes(':') ? 0 : 96);
  return bitsOf(address).slice(0, bits) === bitsOf(client).slice(0, bits);
}

export function plainlyHolds(when: L7Conditions, request: PlainRequest): boolean {
  const path = (one: { readonly kind: string; readonly value: string }): boolean =>
    one.kind === 'pattern'
      ? patternHolds(one.value, request.path)
      : new RegExp(one.value, 'su').test(request.path);
  return (
    (when.hosts === null || when.hosts.some((host) => hostHolds(host, request.host))) &&
    (when.paths === null || when.paths.some(path)) &&
    (when.methods === null || when.methods.includes(request.method)) &&
    when.headers.every((test) => testHolds(test, request.headers, true)) &&
    when.query.every((test) => testHolds(test, request.query, false)) &&
    when.cookies.every((test) => testHolds(test, request.cookies, false)) &&
    (when.sources === null || when.sources.some((prefix) => sourceHolds(prefix, request.client)))
  );
}

/** The first route whose conditions hold; -1: none. */
export function plainlyFirst(routes: readonly L7Route[], request: PlainRequest): number {
  return routes.findIndex(({ when }) => when === null || plainlyHolds(when, request));
}
