/**
 * Workers that ask clients for certificates, with a member that says what it was told, for tests.
 * What is right the openssl command says.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import * as assert from 'uvu/assert';
import { PackedSecrets } from '../../appliance/l7/supervisor/packed-secrets.js';
import type { L7Service, L7Tls } from '../../appliance/l7/tables.js';
import type { CertificateSecret } from '../../appliance/l7/tls/secrets.js';
import { type EchoMember, echoMember, type Told, toldOfCertificate } from './echo-member.js';
import { poolWith, serviceAt, tablesOf } from './l7-tables.js';
import type { TestAuthority, TestCertificate } from './tls-material.js';
import { type Stage, withTier } from './worker-stage.js';

export const versions = ['TLSv1.2', 'TLSv1.3'] as const;

type Clients = NonNullable<L7Tls['clients']>;

export class CertificateScene {
  readonly #ticketKeys = [randomBytes(80)];
  readonly #shop: CertificateSecret;

  /** `root` signs clients, and what the service shows itself. */
  constructor(
    readonly stage: Stage,
    readonly member: EchoMember,
    readonly root: TestAuthority,
  ) {
    this.#shop = root.secret('shop', ['shop.example']);
  }

  get port(): number {
    return this.stage.port;
  }

  /** What workers have besides the certificate of the service. */
  give(...certificates: readonly CertificateSecret[]): void {
    const copies = (): CertificateSecret[] =>
      [this.#shop, ...certificates].map((one) => ({
        ...one,
        key: one.key === null ? null : Buffer.from(one.key),
      }));
    const ticketKeys = this.#ticketKeys;
    this.stage.tier.setSecrets(
      new PackedSecrets(() => ({ certificates: copies(), ticketKeys, challenges: [] })),
    );
  }

  /** With what clients are asked for, else an optional certificate of the root; null: none. */
  async serve(clients: Partial<Clients> | null, facts: Partial<L7Service> = {}): Promise<void> {
    const tls: L7Tls = {
      policy: 'intermediate',
      certificates: ['shop'],
      alpn: ['http/1.1'],
      tickets: true,
      earlyData: false,
      unknownNames: 'default',
      clients:
        clients === null
          ? null
          : { mode: 'optional', authorities: ['root'], depth: 3, headers: [], ...clients },
    };
    const services = [serviceAt(this.port, { tls, ...facts })];
    await this.stage.tier.execute(tablesOf(services, [poolWith([this.member.port])], 2));
  }

  async open(
    options: ConnectionOptions,
    onSession: (session: Buffer) => void = () => undefined,
  ): Promise<TLSSocket> {
    const socket = connect({
      ...{ port: this.port, host: '127.0.0.1', servername: 'shop.example' },
      ca: this.root.authority.certificate,
      ...options,
    });
    socket.on('session', onSession);
    await once(socket, 'secureConnect');
    return socket;
  }

  /** One request on a connection of its own. */
  async ask(options: ConnectionOptions): Promise<Talk> {
    let session: Buffer | null = null;
    const socket = await this.open(options, (one) => (session = one));
    const reused = socket.isSessionReused();
    socket.write(get);
    const [body] = await answers(socket, 1);
    socket.destroy();
    return { told: told(body), reused, session };
  }

  /** Why one is not answered by a member. */
  async whyRefused(options: ConnectionOptions): Promise<string> {
    try {
      const socket = await this.open(options);
      socket.write(get);
      const [body] = await answers(socket, 1);
      socket.destroy();
      return body === undefined ? 'ended without an answer' : `answered: ${body}`;
    } catch (error) {
      return String((error as { code?: string }).code ?? error);
    }
  }
}

export async function withCertificateScene(
  root: TestAuthority,
  work: (scene: CertificateScene) => Promise<void>,
): Promise<void> {
  const member = await echoMember();
  try {
    await withTier(async (stage) => {
      const scene = new CertificateScene(stage, member, root);
      scene.give(root.trusted('root'));
      await work(scene);
    });
  } finally {
    member.close();
  }
}

/** With the chain that a client sends, its own certificate first. */
export function as(client: TestCertificate, ...chain: readonly TestAuthority[]): ConnectionOptions {
  const certificates = [client, ...chain.map(({ authority }) => authority)];
  return { cert: certificates.map(({ certificate }) => certificate).join(''), key: client.key };
}

/** The bodies of `count` answers on a connection that goes on, or what came before it ended. */
export async function answers(socket: Socket, count: number): Promise<string[]> {
  const bodies: string[] = [];
  let text = '';
  for await (const piece of socket.iterator({ destroyOnReturn: false })) {
    text += (piece as Buffer).toString('latin1');
    for (;;) {
      const [, head = '', length] =
        /^(HTTP\/1\.1 .*?content-length: (\d+)\r\n(?:.*?\r\n)?\r\n)/is.exec(text) ?? [];
      const end = head.length + Number(length);
      if (length === undefined || text.length < end) break;
      bodies.push(
        head.startsWith('HTTP/1.1 200 ') ? text.slice(head.length, end) : text.slice(9, 12),
      );
      text = text.slice(end);
    }
    if (bodies.length >= count) return bodies;
  }
  return bodies;
}

/** A request with these fields besides. */
export function asking(...lines: readonly string[]): string {
  return ['GET / HTTP/1.1', 'Host: shop.example', ...lines, '', ''].join('\r\n');
}

export const get = asking();

/** What a member that answered was told of the certificate. */
export function told(body: string | undefined): [string, string][] {
  assert.match(body ?? '', /^\{/, `a member answered, not: ${body ?? 'nothing'}`);
  return toldOfCertificate(JSON.parse(body ?? '') as Told);
}

export interface Talk {
  readonly told: readonly [string, string][];
  readonly reused: boolean;
  readonly session: Buffer | null;
}

function derOf(pem: string): string {
  return new X509Certificate(pem).raw.toString('base64');
}

/** What the openssl command says of a certificate. */
function openssl(certificate: TestCertificate, ...asked: readonly string[]): string {
  const parameters = ['x509', '-noout', '-nameopt', 'RFC2253', '-in', certificate.certificateFile];
  const said = execFileSync('openssl', [...parameters, ...asked]).toString();
  return said.replace(/\n$/, '').replace(/^[^=]*=/, '');
}

const rfc3339 = (date: string): string => new Date(date).toISOString().replace('.000', '');

/** All that can be told of a client whose chain is this one. */
export function everything(
  client: TestCertificate,
  chain: readonly TestAuthority[],
): [string, string][] {
  const links = chain.map(({ authority }) => `:${derOf(authority.certificate)}:`);
  const digest = openssl(client, '-fingerprint', '-sha256').replaceAll(':', '').toLowerCase();
  return [
    ['Client-Cert', `:${derOf(client.certificate)}:`],
    ...(links.length === 0 ? [] : [['Client-Cert-Chain', links.join(', ')] as [string, string]]),
    ['X-SSL-Client-Verify', 'SUCCESS'],
    ['X-SSL-Client-Subject', openssl(client, '-subject')],
    ['X-SSL-Client-Issuer', openssl(client, '-issuer')],
    ['X-SSL-Client-Serial', openssl(client, '-serial')],
    ['X-SSL-Client-Fingerprint', digest],
    ['X-SSL-Client-Not-Before', rfc3339(openssl(client, '-startdate'))],
    ['X-SSL-Client-Not-After', rfc3339(openssl(client, '-enddate'))],
  ];
}
