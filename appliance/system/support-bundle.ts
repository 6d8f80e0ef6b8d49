/**
 * What somebody who is to help needs to know of a unit, as one archive: what the API says, facts of the
 * kernel, the last of the logs.
 *
 * Invariant: everything passes `redact.ts`; what cannot be read is named in the manifest, with the reason.
 */
import { execFile } from 'node:child_process';
import { closeSync, constants, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { release } from 'node:os';
import { basename } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { DaemonPort } from '../api/port.js';
import { addressesIn, addressMask, redacted, redactedLog, redactedText } from './redact.js';
import { tar } from './tar.js';

export interface BundleSources {
  readonly version: string;
  /** Links, addresses and routes as the unit sees them; JSON. */
  readonly network: () => unknown;
  /** Logs that the unit writes, full paths. */
  readonly logs: () => readonly string[];
}

const TAIL = 256 * 1024;
const EVENTS = 10_000;
const REVISIONS = 100;
const PROC = [
  ...['meminfo', 'loadavg', 'interrupts', 'softirqs', 'mounts', 'modules', 'version'],
  ...['net/dev', 'net/snmp', 'net/netstat', 'net/softnet_stat', 'net/sockstat', 'net/arp'],
];
const SYSCTLS = [
  ...['net/core/bpf_jit_enable', 'net/core/somaxconn', 'net/core/netdev_budget'],
  ...['net/core/netdev_max_backlog', 'net/core/rmem_max', 'net/core/wmem_max'],
  ...['net/ipv4/ip_forward', 'net/ipv4/ip_nonlocal_bind', 'net/ipv4/ip_local_port_range'],
  ...['net/ipv4/tcp_syncookies', 'net/ipv4/tcp_max_syn_backlog', 'net/ipv4/conf/all/rp_filter'],
  ...['net/ipv4/conf/all/arp_ignore', 'net/ipv4/conf/all/arp_announce'],
  ...[
    'net/ipv6/conf/all/forwarding',
    'kernel/io_uring_disabled',
    'kernel/unprivileged_bpf_disabled',
  ],
  ...['vm/overcommit_memory', 'vm/swappiness', 'fs/file-nr'],
];

const run = promisify(execFile);

/** @throws Error when the archive cannot be made */
export async function supportBundle(
  daemon: DaemonPort,
  sources: BundleSources,
  { maskAddresses }: { readonly maskAddresses: boolean },
): Promise<Buffer> {
  const texts: { readonly name: string; readonly text: string }[] = [];
  const missing: { readonly name: string; readonly why: string }[] = [];
  const add = async (name: string, read: () => string | Promise<string>): Promise<void> => {
    try {
      texts.push({ name, text: await read() });
    } catch (error) {
      missing.push({
        name,
        why: redactedText(error instanceof Error ? error.message : String(error)),
      });
    }
  };
  for (const [name, ask] of Object.entries(questions(daemon, sources))) {
    await add(`${name}.json`, async () => `${JSON.stringify(redacted(await ask()), null, 2)}\n`);
  }
  for (const name of PROC) {
    await add(`kernel/${name.replace('/', '-')}.txt`, () => readFileSync(`/proc/${name}`, 'utf8'));
  }
  await add('kernel/release.txt', () => `${release()}\n`);
  await add('kernel/sysctl.txt', sysctls);
  await add('kernel/dmesg.txt', () => redactedText(kernelLog()));
  await add('logs/daemon.log', async () => redactedLog(await journal()));
  for (const [index, path] of sources.logs().entries()) {
    const name = `logs/${index + 1}-${basename(path)
      .replace(/[^\w.-]/g, '_')
      .slice(0, 60)}`;
    await add(name, () => redactedLog(tailOf(path)));
  }
  const config = await daemon.config();
  const own = addressesIn(
    `${JSON.stringify(config.document)} ${JSON.stringify(sources.network())}`,
  );
  const mask = maskAddresses ? addressMask(new Set(own)) : (text: string): string => text;
  const time = Date.now();
  const files = texts.map(({ name, text }) => ({ name, content: Buffer.from(mask(text)) }));
  const manifest = {
    ...{ format: 1, weir: sources.version, unit: (await daemon.status()).unit, time },
    addressesMasked: maskAddresses,
    files: files.map(({ name, content }) => ({ name, bytes: content.length })),
    missing,
  };
  const first = {
    name: 'manifest.json',
    content: Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`),
  };
  const all = [first, ...files].map((file) => ({ ...file, name: `weir-support/${file.name}` }));
  return promisify(gzip)(tar(all, time));
}

function questions(
  daemon: DaemonPort,
  { network }: BundleSources,
): Readonly<Record<string, () => unknown>> {
  return {
    status: () => daemon.status(),
    config: () => daemon.config(),
    history: () => daemon.history({ limit: REVISIONS }),
    hardware: () => daemon.hardware(),
    events: () => daemon.events({ limit: EVENTS }),
    services: () => daemon.services(),
    routes: () => daemon.routes({}),
    pools: () => daemon.pools(),
    members: () => daemon.members({}),
    tiers: () => daemon.tiers(),
    workers: () => daemon.workers(),
    routers: () => daemon.routers(),
    counters: () => daemon.counters(),
    drops: () => daemon.drops({ samples: 8 }),
    access: () => daemon.access(),
    alerts: () => daemon.alerts.targets(),
    certificates: () => daemon.certificates.list(),
    pair: () => daemon.pair.view(),
    network,
  };
}

function sysctls(): string {
  return SYSCTLS.map((name) => {
    let value: string;
    try {
      value = readFileSync(`/proc/sys/${name}`, 'utf8').trim();
    } catch (error) {
      value = `(${(error as NodeJS.ErrnoException).code ?? 'cannot be read'})`;
    }
    return `${name.replaceAll('/', '.')} = ${value}\n`;
  }).join('');
}

/** The end of a file, from the start of a line. */
export function tailOf(path: string): string {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const about = fstatSync(file);
    if (!about.isFile()) throw new Error(`${path} is no file`);
    const from = Math.max(0, about.size - TAIL);
    const bytes = Buffer.alloc(about.size - from);
    const text = bytes.toString('utf8', 0, readSync(file, bytes, 0, bytes.length, from));
    return from === 0 ? text : text.slice(text.indexOf('\n') + 1);
  } finally {
    closeSync(file);
  }
}

/** The last of the kernel's messages (Documentation/ABI/testing/dev-kmsg): each read gives one. */
function kernelLog(): string {
  const file = openSync('/dev/kmsg', constants.O_RDONLY | constants.O_NONBLOCK);
  const record = Buffer.alloc(8192);
  const lines: string[] = [];
  try {
    for (;;) {
      let length: number;
      try {
        length = readSync(file, record, 0, record.length, null);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        // It was overwritten while it was read: the next one is there.
        if (code === 'EPIPE') continue;
        if (code === 'EAGAIN') break;
        throw error;
      }
      if (length === 0) break;
      lines.push(record.toString('utf8', 0, length).split('\n')[0] ?? '');
      if (lines.length > 4000) lines.splice(0, 2000);
    }
  } finally {
    closeSync(file);
  }
  return `${lines.slice(-2000).join('\n')}\n`;
}

/** What this daemon logged, where systemd keeps it. */
async function journal(): Promise<string> {
  const { stdout } = await run(
    'journalctl',
    ['--no-pager', '--quiet', '--output=cat', '--lines=2000', `_PID=${process.pid}`],
    { timeout: 10_000, maxBuffer: 16 * 1024 * 1024 },
  );
  return stdout;
}
