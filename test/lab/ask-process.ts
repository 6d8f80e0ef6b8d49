/**
 * Asks a service some questions, one connection after the other, in the client's namespace,
 * and prints who answered, as a JSON list in that order. With `hold` it keeps all connections
 * open then, until its input closes.
 *
 * Invariant: the next connection is begun when the one before it was answered, and unless it
 * is held has been closed by both sides.
 */
import { once } from 'node:events';
import { openHttp, openTcp, openUdp, type Exchange, type Opener } from './client-sockets.js';

export interface AskSettings {
  readonly protocol: 'http' | 'tcp' | 'udp';
  readonly address: string;
  readonly port: number;
  readonly count: number;
  readonly hold: boolean;
  /** Client addresses to speak from, in turn; empty: as the routes say. */
  readonly from: readonly string[];
  /** Length of each question. */
  readonly bytes: number;
  /** After which silence is a failure, in milliseconds. */
  readonly timeout: number;
}

const openers: Readonly<Record<AskSettings['protocol'], Opener>> = {
  http: openHttp,
  tcp: openTcp,
  udp: openUdp,
};

async function main(settings: AskSettings): Promise<void> {
  const closed = once(process.stdin.resume(), 'close');
  const held: Exchange[] = [];
  const members: string[] = [];
  for (let at = 0; at < settings.count; at += 1) {
    const { address, port, timeout, from: sources } = settings;
    const from = sources[at % Math.max(1, sources.length)];
    const target = { address, port, timeout, ...(from === undefined ? {} : { from }) };
    const exchange = await openers[settings.protocol](target, () => undefined);
    members.push(await exchange.ask(String(at).padStart(settings.bytes, '.')));
    if (settings.hold) held.push(exchange);
    else {
      await exchange.close();
      exchange.destroy();
    }
  }
  console.log(JSON.stringify(members));
  if (settings.hold) await closed;
  for (const exchange of held) {
    await exchange.close();
    exchange.destroy();
  }
  process.exit(0);
}

if (process.argv[1]?.endsWith('ask-process.js') === true) {
  await main(JSON.parse(process.argv[2] ?? '') as AskSettings);
}
