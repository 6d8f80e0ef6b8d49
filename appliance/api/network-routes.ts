/**
 * The paths of the API for the unit's own network.
 *
 *   GET  /v1/network             interfaces, addresses, routes, names, time
 *   POST /v1/network/ping        {address, count?}: echo requests, one a second
 *   POST /v1/network/traceroute  {address, hops?}
 *   POST /v1/network/resolve     {name, server?}
 *
 * Invariant: as in routes.ts, nothing is decided here.
 */
import type { FastifyInstance } from 'fastify';
import type { DaemonPort } from './port.js';
import { parsePing, parseQuery, parseResolve, parseTrace } from './requests.js';

const COUNT = 4;
const HOPS = 30;

export function addNetwork(
  app: FastifyInstance,
  { daemon }: { readonly daemon: DaemonPort },
): void {
  const { network } = daemon;
  app.get('/v1/network', (request) => {
    parseQuery.none(request.query);
    return network.view();
  });
  app.post('/v1/network/ping', (request) => {
    parseQuery.none(request.query);
    const { address, count = COUNT } = parsePing(request.body);
    return network.ping({ address, count });
  });
  app.post('/v1/network/traceroute', (request) => {
    parseQuery.none(request.query);
    const { address, hops = HOPS } = parseTrace(request.body);
    return network.trace({ address, hops });
  });
  app.post('/v1/network/resolve', (request) => {
    parseQuery.none(request.query);
    const { name, server } = parseResolve(request.body);
    return network.resolve({ name, ...(server === undefined ? {} : { server }) });
  });
}
