/**
 * Where private keys are while a unit serves by them: looked for in the memory of the daemon and its
 * workers, and in what they leave when they crash.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../support/needs.js';
import { findTraces, told, tracesOf, type Trace } from '../support/process-memory.js';
import { TestAuthority } from '../support/tls-material.js';
import { listenAt, loud, membersOf, ProxyLab, service4 } from './proxy-lab.js';
import { until } from './unit.js';

const test = suite('secrecy of keys');
const lab = needs.lab(test);
let stage: ProxyLab;
let authority: TestAuthority;
const traces: Trace[] = [];

test.before(
  loud(async () => {
    authority = new TestAuthority();
    stage = await ProxyLab.open(['member-1']);
    const { unit } = stage;
    for (const kind of ['ecdsa', 'rsa'] as const) {
      const { certificateFile, keyFile, key } = authority.issue(['shop.example'], kind);
      await unit.must('cert', 'import', kind, certificateFile, keyFile);
      traces.push(...tracesOf(kind, key));
    }
    for (const kind of ['ecdsa-p256', 'rsa-2048']) {
      const [name, file] = [`made-${kind}`, join(authority.folder, `${kind}.pem`)];
      await unit.must('cert', 'self-signed', name, '--key', kind, '--names', `${kind}.example`);
      await unit.must('cert', 'export', name, '--key', '--output', file);
      traces.push(...tracesOf(name, readFileSync(file)));
    }
    const certificates = ['ecdsa', 'rsa', 'made-ecdsa-p256', 'made-rsa-2048'];
    await stage.apply({
      pools: { web: { members: membersOf(['member-1']) } },
      services: { shop: { listen: listenAt(443, 'https'), certificates, pool: 'web' } },
    });
    await stage.untilWorkers(2);
  }),
);

test.after(async () => {
  await stage.close();
  authority.close();
});

/** A handshake in which the client takes signatures by one kind of key. */
function shakeHands(name: string, version: string, kind: string): void {
  const algorithms = kind === 'ECDSA' ? 'ECDSA+SHA256' : 'RSA-PSS+SHA256:RSA+SHA256';
  const { stdout } = spawnSync(
    'openssl',
    // prettier-ignore
    ['s_client', '-connect', `${service4}:443`, '-servername', name, `-${version}`, '-sigalgs', algorithms],
    { input: '', encoding: 'utf8' },
  );
  assert.match(stdout, new RegExp(`^Peer signature type: ${kind}`, 'm'), `${name} by ${version}`);
}

function fieldOf(pid: number, name: string): string {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  return new RegExp(`^${name}:\\s+(\\S+)`, 'm').exec(text)?.[1] ?? '';
}

/** The parent of its workers. */
function daemon(): number {
  const [worker = 0] = stage.workers();
  return Number(fieldOf(worker, 'PPid'));
}

lab(
  'a worker has keys in memory that is locked and not dumped, but for primes of RSA',
  async () => {
    for (let round = 0; round < 8; round += 1) {
      for (const version of ['tls1_2', 'tls1_3']) {
        shakeHands('shop.example', version, 'ECDSA');
        shakeHands('shop.example', version, 'RSA');
        shakeHands('ecdsa-p256.example', version, 'ECDSA');
        shakeHands('rsa-2048.example', version, 'RSA');
      }
    }
    for (const pid of stage.workers()) {
      const finds = findTraces(pid, traces);
      const kept = finds.filter(({ region }) => region.flags.has('dd'));
      const names = new Set(kept.map(({ trace }) => trace.what.split(':')[0]));
      assert.is(names.size, 4, 'each key is found where it is kept');
      assert.equal(told(kept.filter(({ region }) => !region.flags.has('lo'))), [], 'locked');
      // Montgomery forms have the modulus in them (BN_MONT_CTX), and OpenSSL makes those of p and q in
      // ordinary memory when it signs for the first time.
      const elsewhere = finds.filter(
        ({ region, trace: { form, part } }) =>
          !region.flags.has('dd') && !(form === 'reversed' && (part === 'p' || part === 'q')),
      );
      assert.equal(told(elsewhere), [], `nothing in other memory of the worker ${pid}`);
    }
  },
);

lab('the daemon keeps no octets of keys that it was given, made, exported or handed on', () => {
  // Numbers of keys that it has looked at are OpenSSL's, which wipes them when they are collected.
  const finds = findTraces(daemon(), traces).filter(({ trace }) => trace.form !== 'reversed');
  assert.equal(told(finds), []);
});

/** CAP_SYS_RESOURCE, which root of a container may lack; without it the limits stay as they are. */
const mayRaiseLimits =
  (BigInt(`0x${/^CapEff:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'}`) >>
    24n) %
    2n ===
  1n;

const pattern = readFileSync('/proc/sys/kernel/core_pattern', 'utf8').trim();

/** Core files where one of a process with this working directory would be: core(5). */
function coresBy(workingDirectory: string): string[] {
  const folder = pattern.startsWith('/') ? dirname(pattern) : workingDirectory;
  const [begin = ''] = basename(pattern).split('%');
  const names = readdirSync(folder).filter((name) => name.startsWith(begin));
  return names.map((name) => join(folder, name));
}

needs['core-files'](test)('what crashes leaves no core file, whatever its limits', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-core-'));
  try {
    const former = coresBy(folder);
    spawnSync('sh', ['-c', 'ulimit -c unlimited; kill -SEGV $$'], { cwd: folder });
    const left = coresBy(folder).filter((path) => !former.includes(path));
    for (const path of left) rmSync(path);
    assert.is(left.length, 1, 'another program leaves one');
  } finally {
    rmSync(folder, { recursive: true });
  }
  const [worker = 0] = stage.workers();
  for (const [pid, signal] of [
    [worker, 'SIGSEGV'],
    [daemon(), 'SIGABRT'],
  ] as const) {
    const limits = readFileSync(`/proc/${pid}/limits`, 'utf8');
    assert.match(limits, /^Max core file size +0 +0 /m);
    if (mayRaiseLimits) {
      const raised = await stage.run('prlimit', '--pid', String(pid), '--core=unlimited:unlimited');
      assert.is(raised.status, 0, raised.stderr);
    }
    const workingDirectory = readlinkSync(`/proc/${pid}/cwd`);
    const before = coresBy(workingDirectory);
    process.kill(pid, signal);
    await until(`the end of ${pid}`, 10_000, () => Promise.resolve(ended(pid) || 'it lives'));
    const who = pid === worker ? 'a worker' : 'the daemon';
    assert.equal(coresBy(workingDirectory), before, `${signal} to ${who}`);
  }
});

function ended(pid: number): boolean {
  try {
    return fieldOf(pid, 'State') === 'Z';
  } catch {
    return true; // there is no such process any more
  }
}

test.run();
