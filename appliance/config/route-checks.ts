/**
 * What the keys of one route must have to do with each other.
 *
 * Invariant: a key that would do nothing beside the others is refused, never ignored.
 */
import type { When } from './conditions.js';
import { alternatives } from './words.js';

export type Refuse = (code: string, path: (string | number)[], message: string) => void;

/** The keys of a route that are looked at here. */
export interface RouteKeys {
  readonly when?: When | undefined;
  readonly pool?: string | undefined;
  readonly pools?: readonly { readonly pool: string; readonly weight: number }[] | undefined;
  readonly redirect?: object | undefined;
  readonly respond?: { readonly status: number; readonly body: string } | undefined;
  readonly maintenance?: object | undefined;
  readonly rewrite?:
    { readonly path?: string | undefined; readonly host?: string | undefined } | undefined;
  readonly 'request-headers'?: object | undefined;
  readonly mirror?: object | undefined;
}

const actions = ['pool', 'pools', 'redirect', 'respond', 'maintenance'] as const;
const towardsMembers = ['rewrite', 'request-headers', 'mirror'] as const;

export function checkRoute(route: RouteKeys, refuse: Refuse): void {
  const present = actions.filter((key) => route[key] !== undefined);
  const [action, second] = present;
  if (action === undefined) {
    const choices = alternatives(actions.map((key) => `"${key}"`));
    refuse('missing', [], `the route says not where to go: add ${choices}`);
    return;
  }
  if (second !== undefined) {
    refuse('conflict', [], `the route has ${present.join(' and ')}, only one can answer: keep one`);
    return;
  }
  if (action !== 'pool' && action !== 'pools') {
    for (const key of towardsMembers) {
      if (route[key] === undefined) continue;
      refuse(
        'conflict',
        [key],
        `is for requests that go to a member, but the route has ${action}: remove one of them`,
      );
    }
  }
  checkPools(route, refuse);
  checkRewrite(route, refuse);
  const { respond } = route;
  if (respond !== undefined && respond.body !== '' && [204, 205, 304].includes(respond.status)) {
    refuse(
      'conflict',
      ['respond', 'body'],
      `an answer of status ${respond.status} has no body (RFC 9110 §15): remove it or change the status`,
    );
  }
}

function checkPools({ pools }: RouteKeys, refuse: Refuse): void {
  if (pools === undefined) return;
  const seen = new Set<string>();
  for (const [index, { pool }] of pools.entries()) {
    if (seen.has(pool)) {
      refuse(
        'conflict',
        ['pools', index, 'pool'],
        'is in the list already: add its weights together',
      );
    }
    seen.add(pool);
  }
  if (pools.length > 0 && pools.every(({ weight }) => weight === 0)) {
    refuse(
      'conflict',
      ['pools'],
      'every pool has the weight 0, so none could take a request: give one a weight',
    );
  }
}

function checkRewrite({ rewrite, when }: RouteKeys, refuse: Refuse): void {
  if (rewrite === undefined) return;
  if (rewrite.path === undefined && rewrite.host === undefined) {
    refuse('missing', ['rewrite'], 'changes nothing: write "path" or "host", or remove it');
  }
  const segments = rewrite.path?.slice(1).split('/') ?? [];
  const stars = segments.filter((segment) => segment.includes('*'));
  if (stars.length === 0) return;
  if (stars.length > 1 || segments.at(-1) !== '**') {
    refuse(
      'value',
      ['rewrite', 'path'],
      'may have "**" as its last segment and no other "*": write a path such as /new or /new/**',
    );
  } else if (when?.path?.every((pattern) => pattern.endsWith('/**')) === false) {
    refuse(
      'conflict',
      ['rewrite', 'path'],
      '"**" stands for what the ** of the path matched: end every pattern in when.path with /**, or write a path without **',
    );
  } else if (when?.['path-regex'] !== undefined) {
    refuse(
      'conflict',
      ['rewrite', 'path'],
      '"**" stands for what the ** of a path matched, which path-regex does not have: use path, or write a path without **',
    );
  }
}
