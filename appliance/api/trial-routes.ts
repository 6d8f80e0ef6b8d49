/**
 * The path of the API that tries a document.
 *
 *   POST   /v1/config/trial   a document: its members are asked once by their monitors; nothing is changed
 *
 * Invariant: as in routes.ts, nothing is decided here.
 */
import type { FastifyInstance } from 'fastify';
import type { DaemonPort } from './port.js';
import { documentSource, parseQuery } from './requests.js';

export function addTrial(app: FastifyInstance, { daemon }: { readonly daemon: DaemonPort }): void {
  app.post('/v1/config/trial', (request) => {
    parseQuery.none(request.query);
    return daemon.trial(documentSource(request.body));
  });
}
