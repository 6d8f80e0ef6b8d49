/**
 * The paths of the API for layer 7: routes of services, and worker processes.
 * Invariant: as in routes.ts, nothing is decided here.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { DaemonPort } from './port.js';
import { parseNothing, parseQuery } from './requests.js';

export function addProxy(
  app: FastifyInstance,
  {
    daemon,
    authorOf,
  }: { readonly daemon: DaemonPort; readonly authorOf: (request: FastifyRequest) => string },
): void {
  app.get<{ Params: { service: string } }>('/v1/services/:service', (request) => {
    parseQuery.none(request.query);
    return daemon.service(request.params.service);
  });

  app.get('/v1/routes', (request) => {
    const { service } = parseQuery.routes(request.query);
    return daemon.routes(service === undefined ? {} : { service });
  });

  app.get('/v1/workers', (request) => {
    parseQuery.none(request.query);
    return daemon.workers();
  });

  app.post('/v1/workers/restart', (request) => {
    parseQuery.none(request.query);
    parseNothing(request.body);
    return daemon.restartWorkers({ author: authorOf(request) });
  });
}
