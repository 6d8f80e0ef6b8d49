/**
 * HAProxy and nginx, from Debian's packages, set up to do what the scene asks for in the way that
 * each one's manual recommends: HAProxy looks routes up in a map and has cookies of its own; nginx
 * has servers and locations, and cookies by `map`, since its `sticky` is not in the free edition.
 * Both keep connections to members, as many as there are (HAProxy by itself stops where a part of its
 * descriptors is used), and neither writes bodies to disk.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { versionOf } from '../support/http1-peers.js';
import { freePort, Program } from './l7-processes.js';
import { type Pool, type Proxy, type ProxySettings, scene, type Started } from './l7-scene.js';

/** Of clients; with those to members and a few more they stay below 20,000 descriptors. */
const CONNECTIONS = 8192;
const FOREVER = 1_000_000_000;

/** Where a proxy listens. */
type Ports = Omit<Started, 'pid'>;

/** The same for all, so that they do the same arithmetic. */
const SUITES = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256';

function haproxyConfiguration(
  { scene: { pools }, workers, folder }: ProxySettings,
  { port, tls }: Ports,
): string {
  const backend = ({ name, members }: Pool): string => `
backend ${name}
  balance roundrobin
  cookie ${scene.cookie} insert indirect
${members.map((m) => `  server ${m.name} ${m.address}:${m.port} cookie ${m.name}`).join('\n')}
`;
  return `global
  maxconn ${CONNECTIONS}
  nbthread ${workers}
  tune.pool-low-fd-ratio 100
  tune.pool-high-fd-ratio 100
  ssl-default-bind-ciphersuites ${SUITES}
  stats socket unix@${folder}/stats mode 600
defaults
  mode http
  no log
  option forwardfor
  http-reuse always
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend bench
  bind 127.0.0.1:${port} backlog 4096
  bind 127.0.0.1:${tls.ecdsa} backlog 4096 ssl crt ${folder}/ecdsa.both alpn http/1.1
  bind 127.0.0.1:${tls.rsa} backlog 4096 ssl crt ${folder}/rsa.both alpn http/1.1
  maxconn ${CONNECTIONS}
  http-request set-header ${scene.requestSet.name} ${scene.requestSet.value}
  http-request del-header ${scene.requestRemove}
  http-response set-header ${scene.responseSet.name} ${scene.responseSet.value}
  use_backend %[base,map_beg(${folder}/routes.map)]
${pools.map(backend).join('')}`;
}

function nginxConfiguration(settings: ProxySettings, { port, tls }: Ports): string {
  const { pools, routes } = settings.scene;
  const { workers, folder } = settings;
  const kept = `keepalive 4096; keepalive_requests ${FOREVER};`;
  const servers = (members: Pool['members'], first: string): string =>
    members
      .map(
        (m) => `server ${m.address}:${m.port}${m.name === first || first === '' ? '' : ' backup'};`,
      )
      .join(' ');
  const upstreams = pools.flatMap(({ name, members }) => [
    `  upstream ${name} { ${servers(members, '')} ${kept} }`,
    ...members.map((m) => `  upstream ${name}-${m.name} { ${servers(members, m.name)} ${kept} }`),
    `  map $cookie_${scene.cookie} $to_${name} { default ${name}; ${members
      .map((m) => `${m.name} ${name}-${m.name};`)
      .join(' ')} }`,
  ]);
  const names = pools.flatMap(({ members }) =>
    members.map((m) => `${m.address}:${m.port} ${m.name};`),
  );
  const { certificates } = settings;
  const kinds = ['', 'ecdsa', 'rsa'] as const;
  const listen = (kind: (typeof kinds)[number], first: boolean): string => {
    const backlog = first ? ' backlog=4096' : '';
    if (kind === '') return `listen 127.0.0.1:${port}${backlog};`;
    const { certificateFile, keyFile } = certificates[kind];
    return `listen 127.0.0.1:${tls[kind]} ssl${backlog};
    ssl_certificate ${certificateFile};
    ssl_certificate_key ${keyFile};`;
  };
  const hosts = [...new Set(routes.map(({ host }) => host))].map((host, index) => {
    const locations = routes
      .filter((route) => route.host === host)
      .map(({ path, pool }) => `    location ${path} { proxy_pass http://$to_${pool}; }`);
    return kinds
      .map(
        (kind) => `  server {
    ${listen(kind, index === 0)}
    server_name ${host};
${locations.join('\n')}
  }`,
      )
      .join('\n');
  });
  return `daemon off;
master_process ${workers === 1 ? 'off' : 'on'};
worker_processes ${workers};
worker_rlimit_nofile ${2 * CONNECTIONS + 100};
user root;
pid ${folder}/nginx.pid;
error_log ${folder}/nginx.log error;
events { worker_connections ${2 * CONNECTIONS}; }
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  map_hash_bucket_size 128;
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_conf_command Ciphersuites ${SUITES};
  keepalive_timeout 60s;
  keepalive_requests ${FOREVER};
  proxy_http_version 1.1;
  proxy_buffer_size 16k;
  proxy_buffers 16 16k;
  proxy_busy_buffers_size 64k;
  proxy_max_temp_file_size 0;
  proxy_set_header Host $host;
  proxy_set_header Connection "";
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  proxy_set_header ${scene.requestSet.name} ${scene.requestSet.value};
  proxy_set_header ${scene.requestRemove} "";
  add_header ${scene.responseSet.name} ${scene.responseSet.value};
  add_header Set-Cookie $insert;
${upstreams.join('\n')}
  map $upstream_addr $member { ${names.join(' ')} }
  map $cookie_${scene.cookie} $insert { default ""; "" "${scene.cookie}=$member; path=/"; }
  server {
    listen unix:${folder}/status;
    location / { stub_status; }
  }
${hosts.join('\n')}
}
`;
}

/** Three at a time would be the same one thrice, were they not held meanwhile. */
export async function freePorts(): Promise<Ports> {
  const [port, ecdsa, rsa] = await Promise.all([freePort(), freePort(), freePort()]);
  return { port, tls: { ecdsa, rsa } };
}

function peer(
  name: 'haproxy' | 'nginx',
  configuration: (settings: ProxySettings, ports: Ports) => string,
  command: (file: string, folder: string) => readonly string[],
): Proxy {
  let program: Program | null = null;
  return {
    name,
    version: versionOf(name),
    async start(settings) {
      const { folder } = settings;
      const ports = await freePorts();
      const file = join(folder, `${name}.conf`);
      writeFileSync(file, configuration(settings, ports));
      program = new Program(name, command(file, folder), settings.cpus);
      return { pid: await program.listening(ports.port), ...ports };
    },
    async stop() {
      await program?.stop();
      program = null;
    },
  };
}

export function haproxy(): Proxy {
  const it = peer('haproxy', haproxyConfiguration, (file) => ['haproxy', '-db', '-f', file]);
  return {
    ...it,
    start(settings) {
      const lines = settings.scene.routes.map(({ host, path, pool }) => `${host}${path} ${pool}\n`);
      writeFileSync(join(settings.folder, 'routes.map'), lines.join(''));
      for (const [kind, { certificate, key }] of Object.entries(settings.certificates)) {
        const file = join(settings.folder, `${kind}.both`);
        writeFileSync(file, certificate + key, { mode: 0o600 });
      }
      return it.start(settings);
    },
  };
}

export function nginx(): Proxy {
  return peer('nginx', nginxConfiguration, (file, folder) => [
    'nginx',
    '-e',
    join(folder, 'nginx.log'),
    '-p',
    folder,
    '-c',
    file,
  ]);
}
