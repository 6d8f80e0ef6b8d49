/**
 * Which role each route of the API needs, and what it does in the words of the audit: the one place
 * that says so. A route that is not here is refused to everybody.
 */
import { ROLES, type Role } from './user-contract.js';

export interface RouteRule {
  /** `anyone`: also who has not logged in. */
  readonly role: Role | 'anyone';
  /** Null: it only looks, and is not written down. */
  readonly act: string | null;
}

const anyone: RouteRule = { role: 'anyone', act: null };
const view: RouteRule = { role: 'viewer', act: null };
const lookClosely: RouteRule = { role: 'administrator', act: null };
const own = (act: string): RouteRule => ({ role: 'viewer', act });
const operate = (act: string): RouteRule => ({ role: 'operator', act });
const administer = (act: string): RouteRule => ({ role: 'administrator', act });

export const ROUTE_RULES: Readonly<Record<string, RouteRule>> = {
  'GET /v1/version': anyone,
  // Writes itself down, by the name that was given.
  'POST /v1/login': anyone,
  'POST /v1/logout': own('log out'),
  'GET /v1/me': view,
  'POST /v1/me/password': own('change the own password'),
  'GET /v1/users': lookClosely,
  'POST /v1/users': administer('add a user'),
  'PUT /v1/users/:name': administer('change a user'),
  'DELETE /v1/users/:name': administer('remove a user'),
  'POST /v1/users/:name/unlock': administer('unlock a user'),
  'GET /v1/tokens': lookClosely,
  'POST /v1/tokens': administer('make a token'),
  'DELETE /v1/tokens/:name': administer('revoke a token'),
  'GET /v1/audit': lookClosely,

  'GET /v1/status': view,
  'GET /v1/schema': view,
  'GET /v1/config': view,
  'PUT /v1/config': administer('apply a document'),
  'POST /v1/config/diff': view,
  // Monitors may run programs.
  'POST /v1/config/trial': administer('try a document'),
  // An operator's own change alone (routes.ts).
  'POST /v1/config/confirm': operate('confirm'),
  'POST /v1/config/rollback': administer('roll back'),
  'GET /v1/revisions': view,
  'GET /v1/revisions/:number': view,
  'GET /v1/services': view,
  'GET /v1/services/:service': view,
  'GET /v1/routes': view,
  'GET /v1/workers': view,
  'POST /v1/workers/restart': administer('restart the workers'),
  'GET /v1/routers': view,
  'POST /v1/routers/failover': administer('fail over'),
  'POST /v1/routers/prefer': administer('prefer a unit'),
  'GET /v1/pools': view,
  'GET /v1/pools/:pool': view,
  'GET /v1/members': view,
  'GET /v1/pools/:pool/members/:member': view,
  'GET /v1/pools/:pool/members/:member/setup': view,
  'POST /v1/pools/:pool/members/:member/test': operate('test a member'),
  'POST /v1/pools/:pool/members/:member/try': operate('try a member'),
  'PATCH /v1/pools/:pool/members/:member': operate('set a member'),
  'GET /v1/tiers': view,
  'GET /v1/hardware': view,
  'GET /v1/counters': view,
  'GET /v1/flows': view,
  'GET /v1/history': view,
  'GET /v1/live': view,
  'GET /v1/events': view,
  'GET /v1/drops': view,
  'GET /v1/stream': view,
  'GET /v1/access': view,
  'GET /v1/access/test': view,
  'POST /v1/access/entries': administer('make a temporary entry'),
  'DELETE /v1/access/entries': administer('remove a temporary entry'),
  'POST /v1/access/reload': operate('read the access lists again'),
  'GET /v1/alerts': view,
  'POST /v1/alerts/test': administer('test alerts'),
  'GET /v1/certificates': view,
  'GET /v1/certificates/:name': view,
  'PUT /v1/certificates/:name': administer('import a certificate'),
  'DELETE /v1/certificates/:name': administer('remove a certificate'),
  'POST /v1/certificates/:name/authority': administer('make an authority'),
  'POST /v1/certificates/:name/self-signed': administer('make a certificate'),
  'POST /v1/certificates/:name/request': administer('make a certificate request'),
  'POST /v1/certificates/:name/renew': administer('renew a certificate'),
  'POST /v1/certificates/:name/export': administer('export a certificate'),
  'GET /v1/network': view,
  'POST /v1/network/ping': operate('ping an address'),
  'POST /v1/network/traceroute': operate('trace the way to an address'),
  'POST /v1/network/resolve': operate('look up a name'),
  'GET /v1/system': view,
  'POST /v1/system/backup': administer('back up'),
  'POST /v1/system/inspect': administer('look into a backup'),
  'POST /v1/system/restore': administer('restore a backup'),
  'POST /v1/system/support-bundle': administer('make a support bundle'),
  'POST /v1/system/factory-reset': administer('reset to factory state'),
  'POST /v1/system/power': administer('reboot or turn off'),
  'GET /v1/upgrade': view,
  'POST /v1/upgrade': administer('upgrade'),
  'POST /v1/upgrade/back': administer('go back to the other slot'),
  'GET /v1/pair': view,
  'POST /v1/pair/invite': administer('invite a unit'),
  'POST /v1/pair/join': administer('join a unit'),
  'DELETE /v1/pair': administer('leave the pair'),
};

/** Of a method and a pattern as they were given to the router. */
export function ruleOf(method: string, pattern: string): RouteRule | null {
  const key = `${method === 'HEAD' ? 'GET' : method} ${pattern}`;
  return Object.hasOwn(ROUTE_RULES, key) ? (ROUTE_RULES[key] ?? null) : null;
}

/** Of a path as it is asked for, encoded, without a query. */
export function ruleOfPath(method: string, path: string): RouteRule | null {
  const given = path.split('/');
  const key = Object.keys(ROUTE_RULES).find((one) => {
    const [known, pattern = ''] = one.split(' ');
    const parts = pattern.split('/');
    return (
      known === method &&
      parts.length === given.length &&
      parts.every((part, at) => part.startsWith(':') || part === given[at])
    );
  });
  return key === undefined ? null : (ROUTE_RULES[key] ?? null);
}

/** Whether a role may what another one may. */
export function mayAs(role: Role, needed: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(needed);
}
