/**
 * Sends the corpus' requests through HAProxy and nginx, each in front of a small origin,
 * and says what became of each: `200` when it reached the origin and the answer came back,
 * another status, or `closed`.
 *
 *     node build/test/support/http1-peers.js     writes test/corpus/http1/peers.json anew
 *
 * Everything is on Unix sockets below one temporary directory. A peer that waits for more
 * gives up by its own timer, so every case ends with an event of the peer.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';
import { projectRoot } from '../../appliance/paths.js';
import { corpus, type Case } from './http1-corpus.js';

export const peerNames = ['haproxy', 'nginx'] as const;
export type PeerName = (typeof peerNames)[number];
export type Verdicts = Readonly<Record<string, string>>;
export interface Recorded {
  readonly versions: Readonly<Record<PeerName, string>>;
  readonly verdicts: Readonly<Record<PeerName, Verdicts>>;
}

export const recordFile = join(projectRoot, 'test/corpus/http1/peers.json');
/** Instead of a verdict: the peer races with itself, taking the request once and refusing it once. */
export const unsteady = 'unsteady';
/** No case takes longer than the peers' own limits unless something hangs. */
const guard = 20_000;
const atOnce = 48;

const configurations: Readonly<Record<PeerName, (folder: string) => string>> = {
  haproxy: (folder) => `global
  maxconn 400
defaults
  mode http
  option httpclose
  timeout connect 2s
  timeout client 2s
  timeout server 4s
  timeout http-request 2s
listen peer
  bind unix@${folder}/haproxy
  server origin unix@${folder}/origin
`,
  nginx: (folder) => `daemon off;
master_process off;
pid ${folder}/nginx.pid;
error_log ${folder}/nginx.log crit;
events { worker_connections 400; }
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  keepalive_timeout 0;
  client_header_timeout 2s;
  client_body_timeout 2s;
  client_max_body_size 0;
  proxy_read_timeout 4s;
  server {
    listen unix:${folder}/nginx;
    location / { proxy_http_version 1.1; proxy_pass http://unix:${folder}/origin:; }
  }
}
`,
};

const commands: Readonly<Record<PeerName, (file: string, folder: string) => string[]>> = {
  haproxy: (file) => ['-db', '-q', '-f', file],
  nginx: (file, folder) => ['-e', `${folder}/nginx.log`, '-p', folder, '-c', file],
};

/** The first x.y.z that the program says of itself. */
export function versionOf(peer: PeerName): string {
  const { stdout, stderr } = spawnSync(peer, ['-v'], { encoding: 'utf8' });
  const version = /\d+\.\d+\.\d+/.exec(`${stdout}${stderr}`)?.[0];
  if (version === undefined) throw new Error(`${peer} -v says no version`);
  return version;
}

/** Whether a forwarded request is whole; peers write plain heads, so little is enough. */
function isWhole(text: string): boolean {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return false;
  const head = text.slice(0, end + 2);
  const body = text.slice(end + 4);
  if (/\r\ntransfer-encoding:/i.test(head)) {
    return /(^|\r\n)0+[^\r\n]*\r\n([^\r\n]+\r\n)*\r\n/.test(body);
  }
  return body.length >= Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
}

function startOrigin(path: string): Server {
  const server = createServer((socket) => {
    let text = '';
    socket.setEncoding('latin1');
    socket.on('data', (piece: string) => {
      if (isWhole(text)) return;
      text += piece;
      if (isWhole(text)) {
        socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok');
      }
    });
    // A peer that gives up resets; that is a verdict, not a failure.
    socket.on('error', () => socket.destroy());
  });
  server.listen(path);
  return server;
}

/** Sends the bytes and waits until the peer ends the connection. */
async function verdictOf(path: string, bytes: Uint8Array, name: string): Promise<string> {
  const socket = connect(path);
  let text = '';
  socket.setEncoding('latin1');
  socket.on('data', (piece: string) => (text += piece));
  socket.on('error', () => socket.destroy());
  const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  socket.write(bytes);
  const watch = setTimeout(() => socket.destroy(new Error('the peer hangs')), guard);
  await ended;
  clearTimeout(watch);
  const statuses = [...text.matchAll(/^HTTP\/1\.[01] (\d{3})/gm)].map(([, status]) => status);
  if (text !== '' && statuses.length === 0) return `other: ${text.slice(0, 20)} (${name})`;
  return statuses.find((status) => status !== '100') ?? 'closed';
}

async function startPeer(peer: PeerName, folder: string): Promise<ChildProcess> {
  const file = join(folder, `${peer}.conf`);
  writeFileSync(file, configurations[peer](folder));
  const child = spawn(peer, commands[peer](file, folder), { stdio: ['ignore', 'ignore', 'pipe'] });
  let output = '';
  child.stderr.on('data', (piece: Buffer) => (output += piece.toString()));
  child.once('error', (error) => (output += error.message));
  for (let tries = 0; tries < 200; tries += 1) {
    if (existsSync(join(folder, peer))) return child;
    if (child.exitCode !== null) break;
    await delay(50);
  }
  child.kill('SIGKILL');
  throw new Error(`${peer} did not start: ${output}`);
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

async function replay(peer: PeerName, folder: string, cases: readonly Case[]): Promise<Verdicts> {
  const child = await startPeer(peer, folder);
  try {
    const verdicts = new Map<string, string>();
    const queue = [...cases];
    const work = async (): Promise<void> => {
      for (let one = queue.shift(); one !== undefined; one = queue.shift()) {
        verdicts.set(one.id, await verdictOf(join(folder, peer), one.bytes, one.id));
      }
    };
    await Promise.all(Array.from({ length: atOnce }, work));
    return Object.fromEntries(cases.map(({ id }) => [id, verdicts.get(id) ?? 'none']));
  } finally {
    await stop(child);
  }
}

/** Requests of the corpus that both can be asked; without bytes there is nothing to ask. */
export function askable(): readonly Case[] {
  return corpus().filter(({ side, bytes }) => side === 'request' && bytes.length > 0);
}

export async function askPeers(): Promise<Recorded> {
  const folder = mkdtempSync(join(tmpdir(), 'weir-peers-'));
  const origin = startOrigin(join(folder, 'origin'));
  try {
    await once(origin, 'listening');
    const cases = askable();
    const haproxy = await replay('haproxy', folder, cases);
    const nginx = await replay('nginx', folder, cases);
    return {
      versions: { haproxy: versionOf('haproxy'), nginx: versionOf('nginx') },
      verdicts: { haproxy, nginx },
    };
  } finally {
    origin.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Cases that a peer took in one record and not in the other. Only that counts: a peer that
 * closes while the rest is being sent may take its own answer along, so the status may vary.
 */
export function changes(seen: Recorded, wanted: Recorded, peer: PeerName): string[] {
  return Object.entries(seen.verdicts[peer])
    .filter(([id, verdict]) => {
      const recordedVerdict = wanted.verdicts[peer][id];
      if (recordedVerdict === unsteady) return false;
      return (verdict === '200') !== (recordedVerdict === '200');
    })
    .map(([id]) => id);
}

export function recorded(): Recorded {
  return JSON.parse(readFileSync(recordFile, 'utf8')) as Recorded;
}

/** Asks three times; what does not come out alike is unsteady. */
async function record(): Promise<Recorded> {
  const first = await askPeers();
  const others = [await askPeers(), await askPeers()];
  const steady = (peer: PeerName): Verdicts => {
    const changed = new Set(others.flatMap((other) => changes(other, first, peer)));
    return Object.fromEntries(
      Object.entries(first.verdicts[peer]).map(([id, verdict]) => [
        id,
        changed.has(id) ? unsteady : verdict,
      ]),
    );
  };
  return {
    versions: first.versions,
    verdicts: { haproxy: steady('haproxy'), nginx: steady('nginx') },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(recordFile, `${JSON.stringify(await record(), null, 2)}\n`);
}
