/**
 * The routes of a proxied service as workers execute them. Pure.
 *
 * Invariant: a service without routes has one that leads everything to its pool.
 */
import type { Route, Service } from '../config/schema.js';
import type { L7Action, L7Conditions, L7Route } from '../l7/tables.js';
import { compileConditions, compileLimits, seconds } from './compile-l7-service.js';

type ServedBy = (pool: string) => string;
type FieldEdits = L7Route['requestEdits'];

export function compileRoutes(service: Service, servedBy: ServedBy): L7Route[] {
  const routes = service.routes ?? [];
  const compiled = routes.map((route, index) => compileRoute(route, index, servedBy));
  if (service.pool === undefined) return compiled;
  const rest: Route = { pool: service.pool };
  return [...compiled, compileRoute(rest, routes.length, servedBy)];
}

function compileRoute(route: Route, index: number, servedBy: ServedBy): L7Route {
  const name = route.name ?? String(index + 1);
  return {
    name,
    when: conditionsOf(route),
    action: actionOf(route, servedBy),
    requestEdits: editsOf(route['request-headers']),
    responseEdits: editsOf(route['response-headers']),
    limits: compileLimits(route.limits?.requests ?? [], `${name}/`),
  };
}

const ANYTHING: L7Conditions = {
  hosts: null,
  paths: null,
  methods: null,
  headers: [],
  query: [],
  cookies: [],
  sources: null,
};

function conditionsOf({ when, rewrite }: Route): L7Conditions | null {
  const conditions = compileConditions(when);
  // Without a pattern ** stands for the whole path, which is what this one matches.
  if (rewrite?.path?.endsWith('/**') !== true || conditions?.paths) return conditions;
  return { ...(conditions ?? ANYTHING), paths: [{ kind: 'pattern', value: '/**' }] };
}

function actionOf(route: Route, servedBy: ServedBy): L7Action {
  const { redirect, respond, maintenance, rewrite, mirror } = route;
  if (redirect !== undefined) return { kind: 'redirect', to: redirect.to, status: redirect.status };
  if (respond !== undefined) {
    const again = respond['retry-after'];
    return {
      kind: 'respond',
      status: respond.status,
      contentType: respond['content-type'],
      body: respond.body,
      retryAfter: again === undefined ? null : seconds(again),
    };
  }
  if (maintenance !== undefined) {
    return {
      kind: 'respond',
      status: 503,
      contentType: 'text/html; charset=utf-8',
      body: maintenancePage(maintenance.message),
      retryAfter: seconds(maintenance['retry-after']),
    };
  }
  return {
    kind: 'pools',
    pools: weightedPools(route, servedBy),
    rewrite: rewrite?.path ?? null,
    host: rewrite?.host ?? null,
    mirror:
      mirror === undefined
        ? null
        : { pool: servedBy(mirror.pool), percent: Number((mirror.share * 100).toFixed(3)) },
  };
}

/** Two pools that one stands in for are one. */
function weightedPools(
  { pool, pools }: Route,
  servedBy: ServedBy,
): { readonly pool: string; readonly weight: number }[] {
  const weights = new Map<string, number>();
  for (const one of pools ?? (pool === undefined ? [] : [{ pool, weight: 1 }])) {
    const serving = servedBy(one.pool);
    weights.set(serving, (weights.get(serving) ?? 0) + one.weight);
  }
  return Array.from(weights, ([serving, weight]) => ({ pool: serving, weight }));
}

/** In this order a field that is removed and added has only what was added. */
function editsOf(changes: Route['request-headers']): FieldEdits {
  if (changes === undefined) return [];
  const { set = {}, add = {}, remove = [] } = changes;
  return [
    ...remove.map((name) => ({ action: 'remove' as const, name })),
    ...Object.entries(set).map(([name, value]) => ({ action: 'set' as const, name, value })),
    ...Object.entries(add).map(([name, value]) => ({ action: 'add' as const, name, value })),
  ];
}

function maintenancePage(message: string): string {
  const text = message.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
  return [
    '<!doctype html>',
    '<html><head><meta charset="utf-8"><title>Under maintenance</title>',
    '<meta name="viewport" content="width=device-width">',
    '<style>body{font:1.2rem sans-serif;max-width:40rem;margin:20vh auto;padding:1rem}</style>',
    `</head><body><p>${text}</p></body></html>`,
    '',
  ].join('\n');
}
