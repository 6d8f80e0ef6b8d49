/** The language that this daemon speaks, as `weir schema` prints it: for whoever builds forms from it. */
import type { FastifyInstance } from 'fastify';
import { jsonSchema } from '../config/reference.js';
import { parseQuery } from './requests.js';

export function addSchema(app: FastifyInstance): void {
  // Made once, when somebody asks.
  let text: string | null = null;
  app.get('/v1/schema', (request, reply) => {
    parseQuery.none(request.query);
    text ??= JSON.stringify(jsonSchema());
    return reply.type('application/schema+json; charset=utf-8').send(text);
  });
}
