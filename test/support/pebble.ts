/** Pebble with its DNS on free ports of loopback, and peers that answer its challenges. */
import { rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { createSecureContext, createServer as createTlsServer, type SecureContext } from 'node:tls';
import { X509Certificate, createPrivateKey } from 'node:crypto';
import type {
  Account,
  AccountStore,
  Challenge,
  ChallengeResponder,
} from '../../appliance/tls/acme/issuer.js';
import { Certificates } from './certificates.js';
import { Child } from './child.js';

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listening(server);
  server.close();
  await once(server, 'close');
  return port;
}

/** It says that it is there a moment before it listens. */
async function listens(host: string, port: number): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    const socket = connect({ host, port });
    try {
      await once(socket, 'connect');
      return;
    } catch (error) {
      if (tries === 250) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    } finally {
      socket.destroy();
    }
  }
}

/** Answers challenges as the unit would, by node's own servers. */
export class Answers implements ChallengeResponder {
  readonly shown: Challenge[] = [];
  /** All that was ever presented. */
  readonly seen: Challenge[] = [];
  /** Presents nothing while true. */
  mute = false;
  readonly http = createHttpServer((asked, answer) => {
    const token = asked.url?.replace('/.well-known/acme-challenge/', '');
    const found = this.shown.find((one) => one.type === 'http-01' && one.token === token);
    if (found?.type === 'http-01') answer.end(found.keyAuthorization);
    else answer.writeHead(404).end();
  });
  readonly tls = createTlsServer({
    ALPNProtocols: ['acme-tls/1'],
    SNICallback: (name, done) => done(null, this.#context(name)),
  });

  present(challenge: Challenge): Promise<void> {
    this.seen.push(challenge);
    if (!this.mute) this.shown.push(challenge);
    return Promise.resolve();
  }

  withdraw(challenge: Challenge): Promise<void> {
    const at = this.shown.indexOf(challenge);
    if (at >= 0) this.shown.splice(at, 1);
    return Promise.resolve();
  }

  #context(name: string): SecureContext | undefined {
    const found = this.shown.find((one) => one.type === 'tls-alpn-01' && one.domain === name);
    if (found?.type !== 'tls-alpn-01') return undefined;
    const key = createPrivateKey({ key: found.key, format: 'der', type: 'pkcs8' });
    return createSecureContext({
      cert: new X509Certificate(found.certificate).toString(),
      key: key.export({ type: 'pkcs8', format: 'pem' }),
    });
  }
}

export class Accounts implements AccountStore {
  readonly kept = new Map<string, Account>();
  load(directory: string): Promise<Account | null> {
    const kept = this.kept.get(directory);
    return Promise.resolve(kept === undefined ? null : { ...kept, key: Buffer.from(kept.key) });
  }
  save(directory: string, account: Account): Promise<void> {
    this.kept.set(directory, account);
    return Promise.resolve();
  }
}

export interface Place {
  /** Where Pebble listens, as its directory is called. */
  readonly host: string;
  /** Where all names lead, and whom it asks there; left out: `answers` on free ports. */
  readonly unit?: { readonly address: string; readonly http: number; readonly tls: number };
}

export class Pebble {
  private constructor(
    readonly directory: string,
    readonly ca: Buffer,
    readonly answers: Answers,
    readonly children: readonly Child[],
    readonly certificates: Certificates,
  ) {}

  static async start(
    environment: Readonly<Record<string, string>> = {},
    settings: Readonly<Record<string, unknown>> = {},
    { host, unit }: Place = { host: 'localhost' },
  ): Promise<Pebble> {
    const certificates = new Certificates();
    const answers = new Answers();
    const children: Child[] = [];
    try {
      const own = certificates.make(host);
      const httpPort = unit?.http ?? (await listening(answers.http));
      const tlsPort = unit?.tls ?? (await listening(answers.tls));
      const [port, dns, management] = [await freePort(), await freePort(), await freePort()];
      const file = join(certificates.folder, 'pebble.json');
      const pebble = {
        listenAddress: `${host === 'localhost' ? '127.0.0.1' : host}:${port}`,
        managementListenAddress: '',
        certificate: own.certFile,
        privateKey: own.keyFile,
        httpPort,
        tlsPort,
        ocspResponderURL: '',
        externalAccountBindingRequired: false,
        ...settings,
      };
      writeFileSync(file, JSON.stringify({ pebble }));
      const names = new Child('pebble-challtestsrv', [
        ...['-dns01', `127.0.0.1:${dns}`, '-management', `127.0.0.1:${management}`],
        ...['-http01', '', '-https01', '', '-tlsalpn01', '', '-defaultIPv6', ''],
        ...['-defaultIPv4', unit?.address ?? '127.0.0.1'],
      ]);
      children.push(names);
      await names.says(/DNS-01|[Ss]tarting/);
      const words = Object.entries({
        PEBBLE_VA_NOSLEEP: '1',
        PEBBLE_AUTHZREUSE: '0',
        PEBBLE_WFE_NONCEREJECT: '0',
        ...environment,
      }).map(([name, value]) => `${name}=${value}`);
      const authority = new Child('env', [
        ...words,
        ...['pebble', '-config', file, '-dnsserver', `127.0.0.1:${dns}`],
      ]);
      children.push(authority);
      await authority.says(/ACME directory available/);
      await listens(host === 'localhost' ? '127.0.0.1' : host, port);
      const directory = `https://${host}:${port}/dir`;
      return new Pebble(directory, own.cert, answers, children, certificates);
    } catch (error) {
      await finish(answers, children, certificates);
      throw error;
    }
  }

  /** The authority goes, with its port; its names stay. */
  async die(): Promise<void> {
    await this.children.at(-1)?.end();
  }

  end(): Promise<void> {
    return finish(this.answers, this.children, this.certificates);
  }
}

async function finish(
  answers: Answers,
  children: readonly Child[],
  certificates: Certificates,
): Promise<void> {
  answers.http.close();
  answers.tls.close();
  await Promise.all(children.map((child) => child.end()));
  rmSync(certificates.folder, { recursive: true, force: true });
}
