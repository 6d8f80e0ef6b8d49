/**
 * The paths of the API, version 1. Each handler reads the request, asks the daemon,
 * and answers; there is no decision here that the daemon should take.
 *
 *   GET    /v1/status                         who, which revision, what is wrong
 *   GET    /v1/config                         the document (JSON; YAML by Accept)
 *   GET    /v1/schema                         the language, as JSON Schema
 *   PUT    /v1/config                         apply: ?dry-run=true &confirm-ms=N &comment=TEXT
 *   POST   /v1/config/diff                    what applying the body would change
 *   POST   /v1/config/confirm                 keep what waits for confirmation
 *   POST   /v1/config/rollback                {to, comment?, confirm-ms?}
 *   GET    /v1/revisions                      ?limit=N &before=N, newest first
 *   GET    /v1/revisions/N                    with its document
 *   GET    /v1/services, /v1/pools, /v1/tiers, /v1/hardware, /v1/counters
 *   GET    /v1/services/NAME                  one service with its routes
 *   GET    /v1/routes                         ?service=NAME, of the proxy
 *   GET    /v1/workers                        processes of the proxy
 *   POST   /v1/workers/restart                replaces them, and answers when that is done
 *   GET    /v1/routers                        virtual routers
 *   POST   /v1/routers/failover               gives up what one of them, or all, hold
 *   POST   /v1/routers/prefer                 puts a unit in front, as a change of the document
 *   GET    /v1/pools/NAME                     one pool with its members, and how it is off
 *   GET    /v1/members                        ?pool=NAME
 *   GET    /v1/pools/POOL/members/MEMBER      with what its monitor remembers
 *   GET    /v1/pools/POOL/members/MEMBER/setup  the commands that it needs
 *   POST   /v1/pools/POOL/members/MEMBER/test  {service?}: a packet to it through the fast path
 *   POST   /v1/pools/POOL/members/MEMBER/try  asks it once, as its monitor would
 *   PATCH  /v1/pools/POOL/members/MEMBER      {state?, weight?, comment?, confirm-ms?}
 *   GET    /v1/flows                          ?limit=N &service=NAME &member=MEMBER
 *   GET    /v1/events                         ?limit=N&kind=KIND[,KIND]&severity=LEAST
 *   GET    /v1/drops                          ?samples=N, by reason
 *          /v1/history, /v1/live              see traffic-routes.ts, live-stream.ts
 *   GET    /v1/access                         access lists and temporary entries
 *   GET    /v1/access/test                    ?address=ADDRESS &service=NAME
 *   POST   /v1/access/entries                 {prefix, verdict, for-ms, service?, comment?}
 *   DELETE /v1/access/entries                 ?prefix=PREFIX &service=NAME
 *   POST   /v1/access/reload                  reads the files of the lists again
 *          /v1/alerts…                        see alert-routes.ts
 *          /v1/certificates…                  see certificate-routes.ts
 *          /v1/network…                       see network-routes.ts
 *          /v1/pair…                          see pair-routes.ts
 *          /v1/users…, /v1/tokens…            see user-routes.ts, also for logins and the audit
 *          /v1/system…                        see system-routes.ts
 *   GET    /v1/stream                         ?topics=events,counters (NDJSON)
 *
 * Who may ask what says roles.ts.
 *
 * Invariant: what changes the unit takes If-Match and answers with the new
 * revision's ETag (RFC 9110 §8.8.3); without If-Match the last writer wins.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { addAccess } from './access-routes.js';
import { addAlerts } from './alert-routes.js';
import { addCertificates } from './certificate-routes.js';
import { addNetwork } from './network-routes.js';
import { addPair } from './pair-routes.js';
import { addProxy } from './proxy-routes.js';
import { addRouters } from './router-routes.js';
import { addLive } from './live-stream.js';
import { addTraffic } from './traffic-routes.js';
import { addSystem } from './system-routes.js';
import { addSchema } from './schema-route.js';
import { addUsers } from './user-routes.js';
import type { Gate } from './identity.js';
import { addUpgrade } from './upgrade-routes.js';
import { toYaml } from '../config/document.js';
import type { ApplyResult } from './contract.js';
import { type ChangeRequest, type DaemonPort, type MemberName, PortError } from './port.js';
import { mayAs } from './roles.js';
import {
  documentSource,
  entityTag,
  ifMatch,
  parseMember,
  parseQuery,
  parseRollback,
  parseTest,
  revisionNumber,
} from './requests.js';
import type { StreamHub, Topic } from './stream.js';
import { addTrial } from './trial-routes.js';

export interface RouteContext {
  readonly daemon: DaemonPort;
  readonly hub: StreamHub;
  readonly authorOf: (request: FastifyRequest) => string;
  readonly gate: Gate;
  /** Root, or an administrator who logged in. */
  readonly isProven: (request: FastifyRequest) => boolean;
}

const DEFAULT_LIMIT = { history: 50, flows: 1000, events: 200 } as const;
const ALL_TOPICS: readonly Topic[] = ['events', 'counters'];

export function addRoutes(app: FastifyInstance, context: RouteContext): void {
  addConfiguration(app, context);
  addSchema(app);
  addRevisions(app, context);
  addViews(app, context);
  addAccess(app, context);
  addAlerts(app, context);
  addCertificates(app, context);
  addNetwork(app, context);
  addPair(app, context);
  addProxy(app, context);
  addRouters(app, context);
  addTrial(app, context);
  addUsers(app, context.daemon.users, context.gate);
  addTraffic(app, context);
  addLive(app, context);
  addSystem(app, context);
  addStream(app, context);
  addUpgrade(app, context);
}

function addConfiguration(app: FastifyInstance, { daemon, authorOf, gate }: RouteContext): void {
  app.get('/v1/config', async (request, reply) => {
    parseQuery.none(request.query);
    const view = await daemon.config();
    reply.header('etag', entityTag(view.revision)).header('vary', 'accept');
    if (!wantsYaml(request)) return view;
    reply.type('application/yaml; charset=utf-8');
    return view.document === null ? '' : toYaml(view.document);
  });

  app.put('/v1/config', async (request, reply) => {
    const query = parseQuery.apply(request.query);
    const dryRun = query['dry-run'] === 'true';
    if (dryRun) gate.onlyLooks(request);
    const result = await daemon.apply({
      source: documentSource(request.body),
      dryRun,
      ...change(request, authorOf, query),
    });
    return changed(reply, result);
  });

  app.post('/v1/config/diff', async (request, reply) => {
    parseQuery.none(request.query);
    const result = await daemon.diff(documentSource(request.body));
    reply.header('etag', entityTag(result.revision));
    return result;
  });

  app.post('/v1/config/confirm', async (request, reply) => {
    parseQuery.none(request.query);
    const { role, author } = gate.identityOf(request);
    if (!mayAs(role, 'administrator')) await ownRevision(daemon, author);
    const result = await daemon.confirm({ author });
    reply.header('etag', entityTag(result.revision));
    return result;
  });

  app.post('/v1/config/rollback', async (request, reply) => {
    parseQuery.none(request.query);
    const body = parseRollback(request.body);
    const result = await daemon.rollback({ to: body.to, ...change(request, authorOf, body) });
    return changed(reply, result);
  });

  app.patch<{ Params: { pool: string; member: string } }>(
    '/v1/pools/:pool/members/:member',
    async (request, reply) => {
      parseQuery.none(request.query);
      const body = parseMember(request.body);
      const result = await daemon.setMember({
        pool: request.params.pool,
        member: request.params.member,
        ...(body.state === undefined ? {} : { state: body.state }),
        ...(body.weight === undefined ? {} : { weight: body.weight }),
        ...change(request, authorOf, body),
      });
      return changed(reply, result);
    },
  );
}

/** Who may set members may confirm that, and nobody else's change. Errors: forbidden. */
async function ownRevision(daemon: DaemonPort, author: string): Promise<void> {
  const [newest] = await daemon.history({ limit: 1 });
  if (newest === undefined || newest.author === author) return;
  throw new PortError(
    'forbidden',
    `This is a change of ${newest.author}: only they or an administrator may confirm it.`,
  );
}

function addRevisions(app: FastifyInstance, { daemon }: RouteContext): void {
  app.get('/v1/revisions', (request) => {
    const query = parseQuery.history(request.query);
    return daemon.history({
      limit: query.limit ?? DEFAULT_LIMIT.history,
      ...(query.before === undefined ? {} : { before: query.before }),
    });
  });

  app.get<{ Params: { number: string } }>('/v1/revisions/:number', async (request, reply) => {
    parseQuery.none(request.query);
    const revision = await daemon.revision(revisionNumber(request.params.number));
    reply.header('etag', entityTag(revision.revision)).header('vary', 'accept');
    if (!wantsYaml(request)) return revision;
    reply.type('application/yaml; charset=utf-8');
    return toYaml(revision.document);
  });
}

function addViews(app: FastifyInstance, { daemon }: RouteContext): void {
  const plain = {
    status: () => daemon.status(),
    services: () => daemon.services(),
    pools: () => daemon.pools(),
    tiers: () => daemon.tiers(),
    hardware: () => daemon.hardware(),
    counters: () => daemon.counters(),
  };
  for (const [name, answer] of Object.entries(plain)) {
    app.get(`/v1/${name}`, (request): Promise<unknown> => {
      parseQuery.none(request.query);
      return answer();
    });
  }

  app.get<{ Params: { pool: string } }>('/v1/pools/:pool', (request) => {
    parseQuery.none(request.query);
    return daemon.pool(request.params.pool);
  });

  app.get('/v1/members', (request) => {
    const { pool } = parseQuery.members(request.query);
    return daemon.members(pool === undefined ? {} : { pool });
  });

  app.get<{ Params: MemberName }>('/v1/pools/:pool/members/:member', (request) => {
    parseQuery.none(request.query);
    return daemon.member(request.params);
  });

  app.get<{ Params: MemberName }>('/v1/pools/:pool/members/:member/setup', (request) => {
    parseQuery.none(request.query);
    return daemon.memberSetup(request.params);
  });

  app.post<{ Params: MemberName }>('/v1/pools/:pool/members/:member/try', (request) => {
    parseQuery.none(request.query);
    return daemon.tryMember(request.params);
  });

  app.post<{ Params: MemberName }>('/v1/pools/:pool/members/:member/test', (request) => {
    parseQuery.none(request.query);
    const { service } = parseTest(request.body);
    return daemon.testMember({ ...request.params, ...(service === undefined ? {} : { service }) });
  });

  app.get('/v1/flows', (request) => {
    const { limit, service, member } = parseQuery.flows(request.query);
    return daemon.flows({
      limit: limit ?? DEFAULT_LIMIT.flows,
      ...(service === undefined ? {} : { service }),
      ...(member === undefined ? {} : { member }),
    });
  });

  app.get('/v1/events', (request) => {
    const { limit = DEFAULT_LIMIT.events, kind, severity } = parseQuery.events(request.query);
    return daemon.events({
      limit,
      ...(kind === undefined ? {} : { kinds: kind }),
      ...(severity === undefined ? {} : { severity }),
    });
  });
}

function addStream(app: FastifyInstance, { hub, gate }: RouteContext): void {
  app.get('/v1/stream', { exposeHeadRoute: false }, async (request, reply) => {
    const { topics } = parseQuery.stream(request.query);
    await hub.add(reply.raw, new Set(topics ?? ALL_TOPICS), () => gate.stillMay(request));
    // The hub writes and ends it from here on.
    reply.hijack();
    return reply;
  });
}

function change(
  request: FastifyRequest,
  authorOf: (request: FastifyRequest) => string,
  given: { readonly comment?: string | undefined; readonly 'confirm-ms'?: number | undefined },
): ChangeRequest {
  const revision = ifMatch(request.headers['if-match']);
  return {
    author: authorOf(request),
    comment: given.comment ?? '',
    ...(given['confirm-ms'] === undefined ? {} : { confirm: given['confirm-ms'] }),
    ...(revision === undefined ? {} : { ifMatch: revision }),
  };
}

function changed(reply: FastifyReply, result: ApplyResult): ApplyResult {
  reply.header('etag', entityTag(result.revision));
  return result;
}

function wantsYaml(request: FastifyRequest): boolean {
  return /\b(?:application|text)\/(?:x-)?yaml\b/.test(request.headers.accept ?? '');
}
