/**
 * The paths of the API for traffic of the past. Invariant: as in routes.ts, nothing is decided here.
 *
 *   GET /v1/history   ?of=unit|service:NAME &span=10m|1h|24h|30d|1y
 */
import type { FastifyInstance } from 'fastify';
import type { DaemonPort } from './port.js';
import { parseQuery } from './requests.js';

export function addTraffic(
  app: FastifyInstance,
  { daemon }: { readonly daemon: DaemonPort },
): void {
  app.get('/v1/history', (request) => {
    const { of = 'unit', span = '1h' } = parseQuery.traffic(request.query);
    return daemon.traffic.history({ of, span });
  });
}
