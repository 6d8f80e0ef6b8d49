/** Routes of proxied services as people see them: conditions and targets in short. Pure. */
import type { ProxyTraffic, RouteRow } from '../api/contract.js';
import type { L7Action, L7Conditions, L7FieldTest, L7Service } from '../l7/tables.js';

export interface RouteTraffic {
  route(service: string, route: string): ProxyTraffic;
  shares(service: string, routes: readonly string[]): readonly (number | null)[];
}

export function routeRows({ name, routes }: L7Service, traffic: RouteTraffic): RouteRow[] {
  const shares = traffic.shares(
    name,
    routes.map((route) => route.name),
  );
  return routes.map((route, index) => ({
    service: name,
    route: route.name,
    order: index + 1,
    conditions: conditionText(route.when),
    action: route.action.kind === 'pools' ? 'pool' : route.action.kind,
    target: targetText(route.action),
    share: shares[index] ?? null,
    proxy: traffic.route(name, route.name),
  }));
}

/** `host shop.example, path /api/**, method GET|HEAD`; empty: every request. */
export function conditionText(when: L7Conditions | null): string {
  if (when === null) return '';
  const list = (word: string, values: readonly string[] | null): string[] =>
    values === null ? [] : [`${word} ${values.join('|')}`];
  const paths = when.paths?.map(({ kind, value }) => (kind === 'regex' ? `~${value}` : value));
  return [
    ...list('host', when.hosts),
    ...list('path', paths ?? null),
    ...list('method', when.methods),
    ...when.headers.map((test) => fieldText('header', test)),
    ...when.query.map((test) => fieldText('query', test)),
    ...when.cookies.map((test) => fieldText('cookie', test)),
    ...list('from', when.sources),
  ].join(', ');
}

function fieldText(word: string, test: L7FieldTest): string {
  switch (test.kind) {
    case 'exact':
      return `${word} ${test.name}=${test.value}`;
    case 'prefix':
      return `${word} ${test.name}=${test.value}*`;
    case 'regex':
      return `${word} ${test.name}~${test.value}`;
    case 'present':
      return `${word} ${test.name}`;
    case 'absent':
      return `no ${word} ${test.name}`;
  }
}

/** `web`, `web 95, next 5`, `301 https://…`, `503`. */
export function targetText(action: L7Action): string {
  switch (action.kind) {
    case 'redirect':
      return `${action.status} ${action.to}`;
    case 'respond':
      return String(action.status);
    case 'pools': {
      const { pools, rewrite, mirror } = action;
      const names = pools.map(({ pool, weight }) =>
        pools.length === 1 ? pool : `${pool} ${weight}`,
      );
      return [
        names.join(', '),
        ...(rewrite === null ? [] : [`as ${rewrite}`]),
        ...(mirror === null ? [] : [`copy ${mirror.percent}% ${mirror.pool}`]),
      ].join('; ');
    }
  }
}
