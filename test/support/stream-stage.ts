/** A stage for tests of streams: members, the engine in this process, clients; all gone at the end. */
import type { Socket } from 'node:net';
import { StreamDriver, type StreamDriverOptions } from './stream-engine.js';
import { type Serving, TcpPeers } from './tcp-peers.js';

export interface StreamStage {
  readonly unit: StreamDriver;
  readonly peers: TcpPeers;
  readonly client: () => Socket;
}

/** `servings`: one server for each, the members of the pool `main` in this order. */
export async function withStreams(
  servings: readonly Serving[],
  options: Omit<StreamDriverOptions, 'pools'>,
  work: (stage: StreamStage) => Promise<void>,
): Promise<void> {
  const peers = new TcpPeers();
  let unit: StreamDriver | null = null;
  try {
    const ports: number[] = [];
    for (const serving of servings) ports.push(await peers.serve(serving));
    const driver = new StreamDriver({ ...options, pools: { main: ports } });
    unit = driver;
    await work({ unit: driver, peers, client: () => peers.client(driver.port) });
  } finally {
    try {
      unit?.end();
    } finally {
      await peers.end();
    }
  }
}
