/**
 * The paths of the API for alerts.
 *
 *   GET    /v1/alerts       who is told, and how that goes
 *   POST   /v1/alerts/test  {targets?: [NAME]}: answers when all targets did
 *
 * Invariant: as in routes.ts, nothing is decided here.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { DaemonPort } from './port.js';
import { parseAlertTest, parseQuery } from './requests.js';

export function addAlerts(
  app: FastifyInstance,
  {
    daemon: { alerts },
    authorOf,
  }: { readonly daemon: DaemonPort; readonly authorOf: (request: FastifyRequest) => string },
): void {
  app.get('/v1/alerts', (request) => {
    parseQuery.none(request.query);
    return alerts.targets();
  });

  app.post('/v1/alerts/test', (request) => {
    parseQuery.none(request.query);
    const { targets = [] } = parseAlertTest(request.body);
    return alerts.test({ targets, author: authorOf(request) });
  });
}
