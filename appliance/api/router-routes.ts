/**
 * The paths of the API for virtual routers.
 * Invariant: as in routes.ts, nothing is decided here.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Gate } from './identity.js';
import type { DaemonPort } from './port.js';
import { parseFailover, parsePreference, parseQuery } from './requests.js';

export function addRouters(
  app: FastifyInstance,
  {
    daemon,
    authorOf,
    gate,
  }: {
    readonly daemon: DaemonPort;
    readonly authorOf: (request: FastifyRequest) => string;
    readonly gate: Gate;
  },
): void {
  app.get('/v1/routers', (request) => {
    parseQuery.none(request.query);
    return daemon.routers();
  });

  app.post('/v1/routers/failover', (request) => {
    parseQuery.none(request.query);
    return daemon.failover({ ...parseFailover(request.body), author: authorOf(request) });
  });

  app.post('/v1/routers/prefer', (request) => {
    parseQuery.none(request.query);
    const { unit, share, comment = '', 'dry-run': dryRun } = parsePreference(request.body);
    if (dryRun) gate.onlyLooks(request);
    return daemon.prefer({ unit, share, comment, dryRun, author: authorOf(request) });
  });
}
