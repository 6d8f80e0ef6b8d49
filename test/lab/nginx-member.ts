/**
 * nginx as a member: a file of 100 KiB at /file on 8090, and on 8091, behind the PROXY protocol,
 * /who, which says the address and port that its header named.
 *
 * Invariant: it ends with the lab, as a child of its host.
 */
import type { ChildProcess } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { connect } from 'node:net';
import { labPaths, addressOf, type MemberName } from './topology.js';
import type { ProxyLab } from './proxy-lab.js';
import { until } from './unit.js';

export interface NginxMember {
  readonly content: string;
  readonly child: ChildProcess;
}

const running = new Map<MemberName, NginxMember>();

export async function nginxMember(lab: ProxyLab, name: MemberName): Promise<NginxMember> {
  const before = running.get(name);
  if (before !== undefined) return before;
  const { files } = labPaths(process.pid);
  mkdirSync(`${files}/${name}-nginx`, { recursive: true });
  const content = Array.from({ length: 12_800 }, (_, i) => String(i).padStart(7, '0')).join('\n');
  lab.file('file', content);
  const place = `${files}/${name}-nginx`;
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${place}/${kind};`)
    .join(' ');
  const configuration = lab.file(
    `${name}-nginx.conf`,
    `daemon off; user root; worker_processes 1; pid ${place}/pid; error_log ${place}/errors;
events { worker_connections 4096; }
http {
  access_log off; ${temporary} keepalive_timeout 120s; keepalive_requests 1000000;
  server { listen 8090; listen [::]:8090; root ${files}; }
  server {
    listen 8091 proxy_protocol;
    location /who { return 200 "$proxy_protocol_addr $proxy_protocol_port\\n"; }
  }
}
`,
  );
  const child = lab.startAt(name, ['nginx', '-e', `${place}/errors`, '-c', configuration]);
  let said = '';
  child.stderr?.on('data', (text: Buffer) => (said += text.toString()));
  child.once('close', () => running.delete(name));
  await until('nginx listens', 10_000, () => answers(addressOf(name, 4), () => said));
  const member = { content, child };
  running.set(name, member);
  return member;
}

function answers(host: string, said: () => string): Promise<true | string> {
  return new Promise((resolve) => {
    const socket = connect({ host, port: 8090 });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error) => {
      resolve(`${error.message}; it said: ${said() || 'nothing'}`);
    });
  });
}
