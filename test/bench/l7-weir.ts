/**
 * Weir as one of the proxies of the layer-7 benchmark: the scene as a document, through the real
 * checks and the real compiler to the tables of workers. The daemon itself does not run: it would
 * do nothing but wait.
 *
 * Invariant: nothing is set in the tables by hand, so what is measured is what a document gives.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkDocument } from '../../appliance/config/document.js';
import { formatConfigError } from '../../appliance/config/errors.js';
import { compile } from '../../appliance/control/compile.js';
import type { L7Tables } from '../../appliance/l7/tables.js';
import { projectRoot } from '../../appliance/paths.js';
import type { KeyKind } from '../support/tls-material.js';
import { freePorts } from './l7-peers.js';
import { Companion } from './l7-processes.js';
import type { SentTables } from './l7-workers-process.js';
import { type Proxy, type ProxySettings, type Scene, scene, type Started } from './l7-scene.js';

/** Workers that serve tables, as processes below `pid`. */
export interface Workers {
  readonly pid: number;
  stop(): Promise<void>;
}
/** Resolves when they listen. `tables.unit.workers` says how many. */
export type StartWorkers = (tables: L7Tables, settings: ProxySettings) => Promise<Workers>;

/** As of the others: kept connections enough for every client, each for as long as it is used. */
const kept = { connections: 4096, timeout: '60s', requests: 1_000_000_000 };

type Ports = Omit<Started, 'pid'>;

export function weirDocument(
  { pools, routes }: Scene,
  { port, tls }: Ports,
  workers: number,
): object {
  const service = (at: number): object => ({
    listen: { address: '127.0.0.1', port: at, protocol: 'http' },
    routes: routes.map(({ host, path, pool }) => ({
      when: { host, path: `${path}**` },
      pool,
      'request-headers': {
        set: { [scene.requestSet.name]: scene.requestSet.value },
        remove: [scene.requestRemove],
      },
      'response-headers': { set: { [scene.responseSet.name]: scene.responseSet.value } },
    })),
    persistence: { type: 'cookie', name: scene.cookie, protection: 'plain' },
  });
  const secure = (at: number, certificate: KeyKind): object => ({
    ...service(at),
    listen: { address: '127.0.0.1', port: at, protocol: 'https' },
    certificates: [certificate],
  });
  return {
    version: 1,
    unit: { name: 'bench', workers },
    pools: Object.fromEntries(
      pools.map(({ name, members }) => [
        name,
        {
          algorithm: 'round-robin',
          members: members.map((member) => ({ address: member.address, port: member.port })),
          'keep-alive': kept,
        },
      ]),
    ),
    services: {
      bench: service(port),
      'bench-ecdsa': secure(tls.ecdsa, 'ecdsa'),
      'bench-rsa': secure(tls.rsa, 'rsa'),
    },
  };
}

export function weirTables(made: Scene, ports: Ports, workers: number): L7Tables {
  const checked = checkDocument(weirDocument(made, ports, workers));
  if (!checked.ok) throw new Error(checked.errors.map(formatConfigError).join('\n'));
  const tables = compile({
    intent: checked.intent,
    health: new Map(),
    nextHop: () => ({ unresolved: 'no frames go to members of a proxied service' }),
  });
  return tables.l7;
}

/** Workers below a process that is for them what the daemon is. */
const startWorkers: StartWorkers = async (tables, { cpus, certificates, scene: { routes } }) => {
  const companion = new Companion('l7-workers-process', cpus);
  const sent: SentTables = {
    unit: tables.unit,
    services: [...tables.services.values()],
    pools: [...tables.pools.values()],
    certificates: Object.entries(certificates).map(([kind, { certificateFile, keyFile }]) => ({
      kind: kind as KeyKind,
      certificateFile,
      keyFile,
    })),
    names: [...new Set(routes.map(({ host }) => host))],
  };
  const said = await companion.ask(sent);
  if (typeof said !== 'object' || said === null || !('problem' in said) || said.problem !== null) {
    await companion.stop();
    throw new Error(`the workers do not serve: ${JSON.stringify(said)}`);
  }
  return { pid: companion.pid, stop: () => companion.leave() };
};

export function weir(): Proxy {
  let workers: Workers | null = null;
  return {
    name: 'weir',
    version: ourVersion(),
    async start(settings) {
      const ports = await freePorts();
      workers = await startWorkers(weirTables(settings.scene, ports, settings.workers), settings);
      return { pid: workers.pid, ...ports };
    },
    async stop() {
      await workers?.stop();
      workers = null;
    },
  };
}

function ourVersion(): string {
  const text: unknown = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8'));
  if (typeof text !== 'object' || text === null || !('version' in text)) {
    throw new Error('package.json has no version');
  }
  return String(text.version);
}
