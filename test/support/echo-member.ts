/** A member that answers with the head that it got, for tests of what members are told. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Names and values by turns, as they came; one that came twice is there twice. */
export interface Told {
  readonly fields: readonly string[];
  readonly trailers: readonly string[];
}

export interface EchoMember {
  readonly port: number;
  /** Requests so far. */
  readonly asked: () => number;
  readonly close: () => void;
}

export async function echoMember(): Promise<EchoMember> {
  let asked = 0;
  const server = createServer({ maxHeaderSize: 65_536 }, (request, response) => {
    asked += 1;
    request.resume();
    request.on('end', () => {
      const told: Told = { fields: request.rawHeaders, trailers: request.rawTrailers };
      const body = Buffer.from(JSON.stringify(told));
      response.writeHead(200, { 'content-length': body.length }).end(body);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    asked: () => asked,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** What a member was told of the client's certificate, by any name that a member may take for it. */
export function toldOfCertificate({ fields, trailers }: Told): [name: string, value: string][] {
  const all = [...fields, ...trailers];
  const pairs = Array.from({ length: all.length / 2 }, (_, i): [string, string] => [
    all[2 * i] ?? '',
    all[2 * i + 1] ?? '',
  ]);
  return pairs.filter(([name]) =>
    /client.(cert|verify|subject|issuer|serial|finger|not)/i.test(name),
  );
}
