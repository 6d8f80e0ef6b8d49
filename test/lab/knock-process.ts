/**
 * Opens TCP connections, one after the other, in the client's namespace and closes them again, and
 * prints what became of each, as a JSON list in that order.
 *
 * Invariant: a connection that fails is an outcome and no error.
 */
import { connect } from 'node:net';

export interface KnockSettings {
  readonly address: string;
  readonly port: number;
  readonly count: number;
  /** Client address to speak from; null: as the routes say. */
  readonly from: string | null;
  /** After which silence is an outcome, in milliseconds. */
  readonly timeout: number;
}

/** `open`, `silent`, or the error's code. */
export type Outcome = string;

function knock({ address, port, from, timeout }: KnockSettings): Promise<Outcome> {
  return new Promise((resolve) => {
    const socket = connect({
      ...{ host: address, port },
      ...(from === null ? {} : { localAddress: from }),
    });
    const end = (outcome: Outcome): void => {
      socket.destroy();
      resolve(outcome);
    };
    socket.setTimeout(timeout, () => end('silent'));
    socket.once('connect', () => end('open'));
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
  });
}

async function main(settings: KnockSettings): Promise<void> {
  const outcomes: Outcome[] = [];
  for (let at = 0; at < settings.count; at += 1) outcomes.push(await knock(settings));
  console.log(JSON.stringify(outcomes));
}

if (process.argv[1]?.endsWith('knock-process.js') === true) {
  await main(JSON.parse(process.argv[2] ?? '') as KnockSettings);
}
