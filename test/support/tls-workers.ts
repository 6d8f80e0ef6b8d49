/** Whole workers that serve HTTPS, and a client of node's that asks them. */
import { once } from 'node:events';
import { connect, type ConnectionOptions } from 'node:tls';
import type { L7MemberTls, L7Tls } from '../../appliance/l7/tables.js';
import {
  type L7Traffic,
  memberTraffic,
  serviceTraffic,
} from '../../appliance/l7/telemetry/views.js';
import type { TlsSecrets } from '../../appliance/l7/tls/secrets.js';
import { memberAt, poolWith, serviceAt, tablesOf } from './l7-tables.js';
import { packed, type TestAuthority } from './tls-material.js';
import type { Stage } from './worker-stage.js';

export const tls: L7Tls = {
  policy: 'intermediate',
  certificates: ['shop'],
  alpn: ['http/1.1'],
  tickets: true,
  earlyData: false,
  unknownNames: 'default',
  clients: null,
};

export const memberTls: L7MemberTls = {
  policy: 'intermediate',
  verify: true,
  authorities: ['ca'],
  serverName: 'member.example',
  certificate: null,
};

/** From the next tables on, workers have these; `keys` of tickets are random unless given. */
export function give(
  { tier }: Stage,
  certificates: TlsSecrets['certificates'],
  keys?: readonly Buffer[],
): void {
  tier.setSecrets(packed(certificates, keys));
}

export async function serve(stage: Stage, facts: Partial<L7Tls> = {}, workers = 1): Promise<void> {
  const { tier, members, port } = stage;
  const services = [serviceAt(port, { tls: { ...tls, ...facts } })];
  await tier.execute(tablesOf(services, [poolWith(members)], workers));
}

export interface Talk {
  readonly answer: string;
  readonly reused: boolean;
  readonly names: string;
  readonly session: Buffer | null;
}

/** One request on a connection of its own. */
export async function ask(
  authority: TestAuthority,
  port: number,
  options: ConnectionOptions = {},
): Promise<Talk> {
  const socket = connect({
    port,
    host: '127.0.0.1',
    ca: authority.authority.certificate,
    servername: 'shop.example',
    ...options,
  });
  let session: Buffer | null = null;
  socket.on('session', (one: Buffer) => (session = one));
  await once(socket, 'secureConnect');
  const names = socket.getPeerCertificate().subjectaltname ?? '';
  const reused = socket.isSessionReused();
  socket.write('GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n');
  let answer = '';
  socket.setEncoding('latin1');
  for await (const piece of socket) answer += String(piece);
  return { answer, reused, names, session };
}

/** Handshakes so far with clients of `web`, or with the member of `web` at this port. */
export function handshakes({ tier }: Stage, member?: number): L7Traffic['totals']['tls'] {
  const now = tier.counters();
  const traffic =
    member === undefined
      ? serviceTraffic(null, now, 'web')
      : memberTraffic(null, now, memberAt('web', member).id);
  return traffic.totals.tls;
}
